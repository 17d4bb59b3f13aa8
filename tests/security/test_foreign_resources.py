"""What belongs to somebody else does not exist (rows A5, O6; OWASP API1, API5): every route there is, by every caller.

The routes come from the descriptors. One with a path variable of a new kind fails here until something of that kind is
made in `belongings.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.local_stack import LocalStack
from tests.security.belongings import Belongings
from tests.security.routes import ROUTES, Route

NAMED = [route for route in ROUTES if route.variables and route.access != "PUBLIC"]
"""Routes that name a resource."""
UNNAMED = [route for route in ROUTES if not route.variables]
SILENT = {"DELETE /api/v1/files/uploads/{upload_id}": 204}
"""Giving up what one does not have succeeds, by contract; `unchanged` sees that nothing happened."""
OWNERS_ONLY = {"GET /api/v1/webhooks/{endpoint_id}/secret", "GET /api/v1/files/uploads/{upload_id}"}
"""What even an admin has no business with: a secret, and where to write in somebody's name."""
UNKNOWN = "01a1fb85-4555-748c-b96c-e00eee985b99"


@pytest.fixture(scope="module")
def unchanged(ada: httpx.Client, belongings: Belongings) -> Iterator[None]:
    """Whatever the others try, Ada's things are as they were."""
    before = _inventory(ada, belongings)
    yield
    assert _inventory(ada, belongings) == before


def _inventory(ada: httpx.Client, belongings: Belongings) -> dict[str, Any]:
    ids = belongings.ids
    paths = [
        f"/api/v1/jobs/{ids['job_id']}",
        f"/api/v1/webhooks/{ids['endpoint_id']}",
        f"/api/v1/webhooks/{ids['endpoint_id']}/secret",
        f"/api/v1/files/{ids['file_id']}",
        f"/api/v1/files/uploads/{ids['upload_id']}",
        "/api/v1/api-keys",
    ]
    answers = {path: ada.get(path) for path in paths}
    assert all(answer.is_success for answer in answers.values()), answers
    inventory = {path: answer.json() for path, answer in answers.items()}
    keys = inventory.pop("/api/v1/api-keys")["api_keys"]
    inventory["key"] = next(key for key in keys if key["api_key_id"] == ids["api_key_id"])
    return inventory


def outcome(client: httpx.Client, route: Route, values: dict[str, str]) -> int:
    """The status; a stream is not read to its end."""
    arguments = route.request(values)
    with client.stream(**arguments) as answer:
        if answer.status_code >= 400:
            answer.read()
            body = answer.json()["error"]
            assert body["error_code"], "not an error of ours"
    return answer.status_code


@pytest.mark.usefixtures("unchanged")
def test_a5_nobody_gets_in_anywhere(nobody: httpx.Client, belongings: Belongings) -> None:
    """Without a credential: 401 on every route that is not public."""
    closed = [route for route in ROUTES if route.access != "PUBLIC"]
    found = {str(route): outcome(nobody, route, belongings.ids) for route in closed}
    assert {route: status for route, status in found.items() if status != 401} == {}


@pytest.mark.usefixtures("unchanged")
def test_a5_another_user_finds_nothing(eve: httpx.Client, belongings: Belongings) -> None:
    """404 for what is Ada's, exactly as for what does not exist; 403 for what only admins may."""
    found, unknown = {}, {}
    for route in NAMED:
        found[str(route)] = outcome(eve, route, belongings.ids)
        unknown[str(route)] = outcome(eve, route, _unknown(belongings.ids))
    expected = {str(route): 403 if route.access == "ADMIN" else 404 for route in NAMED} | SILENT
    assert found == expected
    assert unknown == expected


@pytest.mark.usefixtures("unchanged")
def test_a5_a_reader_finds_nothing_and_changes_nothing(reader: httpx.Client, belongings: Belongings) -> None:
    """Role readonly: 403 wherever something would be written, 404 for what is Ada's."""
    found = {str(route): outcome(reader, route, belongings.ids) for route in NAMED}
    assert found == {str(route): 404 if route.access == "READ" else 403 for route in NAMED}


@pytest.mark.usefixtures("unchanged")
def test_a5_a_key_without_the_scope_opens_nothing(ada: httpx.Client, stack: LocalStack, belongings: Belongings) -> None:
    """Ada's own key, restricted to a scope that no other route has: 403 everywhere else, on her own things."""
    made = ada.post("/api/v1/api-keys", json={"name": "narrow", "scopes": ["webhooks:read"]}).json()
    try:
        with stack.client(made["secret"]) as narrow:
            routes = [r for r in ROUTES if r.access != "PUBLIC" and r.rpc.permission.scope != "webhooks:read"]
            found = {str(route): outcome(narrow, route, belongings.ids) for route in routes}
            allowed = outcome(narrow, _route("GET /api/v1/webhooks/{endpoint_id}"), belongings.ids)
    finally:
        assert ada.delete(f"/api/v1/api-keys/{made['api_key']['api_key_id']}").status_code == 204
    assert allowed == 200
    assert {route: status for route, status in found.items() if status != 403} == {}


def test_a5_the_owner_and_an_admin_do_find_them(ada: httpx.Client, admin: httpx.Client, belongings: Belongings) -> None:
    """The other half: what was refused above is there for whom it should be."""
    reads = [r for r in NAMED if r.binding.verb == "GET" and r.access in ("READ", "WRITE")]
    for client, name, hidden in ((ada, "owner", set()), (admin, "admin", OWNERS_ONLY)):
        found = {str(route): outcome(client, route, belongings.ids) for route in reads}
        assert {route for route, status in found.items() if status not in (200, 307)} == hidden, name


def test_a5_lists_of_another_user_are_empty(eve: httpx.Client, belongings: Belongings) -> None:
    """No list shows anything of Ada's: neither an id nor a word."""
    lists = [r for r in UNNAMED if r.binding.verb == "GET" and r.access == "READ" and "export" not in r.template.source]
    assert len(lists) > 8
    ids = {value for name, value in belongings.ids.items() if name != "quality"}
    for route in lists:
        text = eve.get(route.template.source).text
        # Her own trail names what she asked for.
        secrets = {*belongings.markers.values(), *(() if "/me/audit" in route.template.source else ids)}
        assert {secret for secret in secrets if secret in text} == set(), str(route)


def test_a5_filters_do_not_reach_other_owners(eve: httpx.Client, belongings: Belongings) -> None:
    """A filter by somebody else's id finds nothing or is no filter; it never widens what one sees."""
    tries = [
        ("/api/v1/jobs", {"batch_id": belongings.ids["batch_id"]}),
        ("/api/v1/jobs", {"owner_id": belongings.ids["user_id"]}),
        ("/api/v1/jobs", {"user_id": belongings.ids["user_id"]}),
        ("/api/v1/jobs", {"search": belongings.markers["topic"]}),
        ("/api/v1/jobs", {"topic": belongings.markers["topic"]}),
        ("/api/v1/files", {"owner_id": belongings.ids["user_id"]}),
        ("/api/v1/users/sessions", {"user_id": belongings.ids["user_id"]}),
        ("/api/v1/users/me/audit", {"caller_id": belongings.ids["user_id"]}),
    ]
    for path, query in tries:
        answer = eve.get(path, params=query)
        assert answer.status_code in (200, 422), answer.text
        assert belongings.ids["job_id"] not in answer.text
        if answer.status_code == 200:
            lists = [value for value in answer.json().values() if isinstance(value, list)]
            assert all(belongings.markers["topic"] not in str(items) for items in lists)


def test_a5_page_tokens_are_of_use_to_whom_they_were_given(ada: httpx.Client, eve: httpx.Client) -> None:
    """Ada's page token shows Eve nothing of Ada's."""
    page = ada.get("/api/v1/jobs", params={"page_size": 1}).json()
    assert page["next_page_token"]
    answer = eve.get("/api/v1/jobs", params={"page_size": 1, "page_token": page["next_page_token"]})
    assert answer.status_code in (200, 422)
    assert answer.json().get("jobs", []) == []


def test_a5_an_idempotency_key_belongs_to_its_user(ada: httpx.Client, eve: httpx.Client) -> None:
    """Eve, who guessed Ada's key, gets a job of her own, not Ada's."""
    body = {"topic": "Keys", "context": "# One\n- two\n", "quality": "low"}
    headers = {"Idempotency-Key": "guessable-1"}
    jobs = [client.post("/api/v1/videos/generate", json=body, headers=headers).json() for client in (ada, eve)]
    assert jobs[0]["job_id"] != jobs[1]["job_id"]
    for client, job in zip((ada, eve), jobs, strict=True):
        assert client.post(f"/api/v1/jobs/{job['job_id']}/cancel", json={}).status_code == 200


def test_a5_a_file_of_another_user_is_shown_in_no_video(eve: httpx.Client, belongings: Belongings) -> None:
    scene = {"id": "theft", "image": {"file_id": belongings.ids["file_id"]}}
    answer = eve.post("/api/v1/videos/render", json={"storyboard": {"title": "Theft", "scenes": [scene]}})
    assert answer.status_code == 422, answer.text
    fields = [violation["field"] for violation in answer.json()["error"]["details"]["violations"]]
    assert fields == ["storyboard.scenes[0].image.file_id"]


def test_a5_refusals_do_not_tell_what_exists(eve: httpx.Client, belongings: Belongings) -> None:
    """The bodies of "somebody else's" and "nobody's" differ in ids, time and path only."""
    for route in NAMED:
        if route.access == "ADMIN":
            continue
        bodies = []
        for values in (belongings.ids, _unknown(belongings.ids)):
            answer = eve.request(**route.request(values))
            error = answer.json()["error"] if answer.content else {}
            told = str([answer.status_code, error.get("message"), error.get("error_code"), error.get("details")])
            for value in values.values():
                told = told.replace(value, "…")
            bodies.append(told)
        assert bodies[0] == bodies[1], str(route)


def test_every_kind_of_resource_is_covered(belongings: Belongings) -> None:
    kinds = Counter(name for route in NAMED for name in route.variables)
    assert set(kinds) <= set(belongings.ids), "make one in belongings.py"
    assert kinds["job_id"] > 15


def _unknown(ids: dict[str, str]) -> dict[str, str]:
    return {name: value if name == "quality" else UNKNOWN for name, value in ids.items()}


def _route(text: str) -> Route:
    return next(route for route in ROUTES if str(route) == text)
