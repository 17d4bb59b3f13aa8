"""Path, query, headers and body → request message."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from google.protobuf import message_factory

from gateway.binding import Binder
from gateway.catalog import CatalogError, Rpc, load_catalog, stub_modules
from gateway.codec import DecoderSet
from gateway.errors import ApiError
from gateway.http import Request
from gateway.http_rules import Match, Router, compile_template


@pytest.fixture
def rpc(kitchen: Any) -> Rpc:
    """CreateDish with its three bindings."""
    (only,) = load_catalog([kitchen])
    return only


def bind(
    rpc: Rpc, method: str, target: str, body: object = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Route and bind a request; the fields that were set."""
    router: Router[Binder] = Router()
    for binding in rpc.bindings:
        template = compile_template(binding.template)
        router.add(binding.verb, template, Binder(rpc, binding, template, DecoderSet()))
    path, _, query = target.partition("?")
    found = router.match(method, path)
    assert isinstance(found, Match)
    raw = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    sent = {"content-type": "application/json", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
    }
    unused: Any = None  # Nothing is received or sent.
    request = Request(scope, unused, unused)
    message = message_factory.GetMessageClass(rpc.input).FromString(found.target.bind(request, found.variables, raw))
    return {field.name: value for field, value in message.ListFields()}


def refused(rpc: Rpc, method: str, target: str, body: object = None, headers: Any = None) -> dict[str, str]:
    """Violations of a request, field → message."""
    with pytest.raises(ApiError) as caught:
        bind(rpc, method, target, body, headers)
    assert caught.value.status == 422
    return {item["field"]: item["message"] for item in caught.value.details["violations"]}


def test_path_body_and_header_meet_in_one_message(rpc: Rpc) -> None:
    fields = bind(
        rpc,
        "POST",
        "/v1/shelves/7/dishes/soup:cook",
        {"i32": 3, "many": [{"name": "salt"}]},
        {"x-colour": "red"},
    )
    assert (fields["text"], fields["nested"].name) == ("shelves/7", "soup")
    assert (fields["i32"], fields["colour"], fields["many"][0].name) == (3, 1, "salt")


def test_a_body_selector_leaves_the_rest_to_the_query(rpc: Rpc) -> None:
    query = (
        "texts=a&texts=b&i64=5&flag=true&colours=red&colours=2&at=2030-01-31T12:00:00Z&boxed_flag=false&right.name=r"
    )
    fields = bind(rpc, "PUT", f"/v1/dishes/9?{query}", {"name": "bread"})
    assert (fields["u32"], fields["nested"].name, list(fields["texts"])) == (9, "bread", ["a", "b"])
    assert (fields["i64"], fields["flag"], list(fields["colours"])) == (5, True, [1, 2])
    assert (fields["at"].seconds, fields["boxed_flag"].value, fields["right"].name) == (1896091200, False, "r")


def test_names_in_queries_are_those_of_the_dialect(rpc: Rpc) -> None:
    assert bind(rpc, "GET", "/v1/files/a?other-name=x&from=y&maybe=")["renamed"] == "x"
    assert refused(rpc, "GET", "/v1/files/a?renamed=x") == {"renamed": "unknown query parameter"}


def test_a_path_variable_may_span_segments(rpc: Rpc) -> None:
    assert bind(rpc, "GET", "/v1/files/a/b%20c/d")["text"] == "a/b c/d"


@pytest.mark.parametrize(
    ("target", "field", "message"),
    [
        ("/v1/dishes/many", "u32", "expected integer, got 'many'"),
        ("/v1/dishes/-1", "u32", "out of range: 0 to 4294967295"),
        ("/v1/dishes/1?i32=x", "i32", "expected integer, got 'x'"),
        ("/v1/dishes/1?i32=1&i32=2", "i32", "given more than once"),
        ("/v1/dishes/1?flag=1", "flag", "expected true or false"),
        ("/v1/dishes/1?colours=red&colours=blue", "colours[1]", "unknown value 'blue'; expected one of red, 4k"),
        ("/v1/dishes/1?at=now", "at", "expected an RFC 3339 time such as 2030-01-31T12:00:00Z"),
        ("/v1/dishes/1?nope=1", "nope", "unknown query parameter"),
        ("/v1/dishes/1?nested.name=x", "nested.name", "unknown query parameter"),
        ("/v1/dishes/1?u32=2", "u32", "unknown query parameter"),
        ("/v1/dishes/1?labels=x", "labels", "unknown query parameter"),
        ("/v1/dishes/1?right.weight=x", "right.weight", "expected integer, got 'x'"),
    ],
)
def test_O6_a_bad_value_names_its_field(rpc: Rpc, target: str, field: str, message: str) -> None:
    """O6."""
    assert refused(rpc, "PUT", target, {}) == {field: message}


def test_O6_what_path_or_header_give_the_body_must_not(rpc: Rpc) -> None:
    """O6: two sources for one field would make one of them a lie."""
    target = "/v1/shelves/7/dishes/soup:cook"
    problems = refused(rpc, "POST", target, {"text": "x", "nested": {"name": "y"}, "colour": "red"})
    assert set(problems) == {"text", "nested.name", "colour"}
    assert bind(rpc, "POST", target, {"nested": {"weight": 3}})["nested"].weight == 3
    assert refused(rpc, "POST", target, {}, {"x-colour": "blue"})["colour"].startswith("unknown value 'blue'")
    assert set(refused(rpc, "POST", target + "?i32=1", {})) == {"i32"}


@pytest.mark.parametrize(
    ("query", "body", "refused_field"),
    [
        ("left=a&right.name=b", {}, "right.name"),
        ("right.name=b&left=a", {}, "left"),
        ("right.name=b&right.weight=1", {}, None),
    ],
)
def test_O6_a_oneof_has_one_member_from_all_sources(
    rpc: Rpc, query: str, body: dict[str, object], refused_field: str | None
) -> None:
    """O6: in the query as in the body."""
    target = f"/v1/dishes/9?{query}"
    if refused_field is None:
        assert bind(rpc, "PUT", target, body)["right"].weight == 1
    else:
        [(field, message)] = refused(rpc, "PUT", target, body).items()
        assert field == refused_field
        assert message.startswith("only one of ")


def test_no_body_sets_nothing_and_neither_does_null(rpc: Rpc) -> None:
    assert "nested" not in bind(rpc, "PUT", "/v1/dishes/9", b"")
    assert "nested" not in bind(rpc, "PUT", "/v1/dishes/9", b"null")
    assert "nested" in bind(rpc, "PUT", "/v1/dishes/9", {})


def test_O6_all_sources_report_at_once(rpc: Rpc) -> None:
    """O6."""
    problems = refused(rpc, "PUT", "/v1/dishes/x?nope=1", {"weight": "y"})
    assert set(problems) == {"nested.weight", "u32", "nope"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xef\xbb\xbf{}", "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json; charset=utf-16", 415),
        (b"{}", "application/json; profile=x; charset=utf-16", 415),
        (b"{}", "application/jsonp", 415),
    ],
)
def test_O6_unreadable_bodies(rpc: Rpc, body: bytes, content_type: str, status: int) -> None:
    """O6: malformed JSON and wrong content types."""
    with pytest.raises(ApiError) as caught:
        bind(rpc, "PUT", "/v1/dishes/1", body, {"content-type": content_type})
    assert caught.value.status == status


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=UTF-8", "application/json;a=b", "application/merge-patch+json"],
)
def test_content_types_that_are_json(rpc: Rpc, content_type: str) -> None:
    assert bind(rpc, "PUT", "/v1/dishes/1", {"name": "x"}, {"content-type": content_type})["u32"] == 1


def test_a_call_without_a_body_refuses_one(rpc: Rpc) -> None:
    assert bind(rpc, "GET", "/v1/files/a", b"{}")["text"] == "a"
    with pytest.raises(ApiError, match="takes no body"):
        bind(rpc, "GET", "/v1/files/a", b'{"text": "b"}')


def test_a_contract_that_cannot_be_served_stops_the_start(contracts: Any, rpc: Rpc) -> None:
    """An rpc without a permission, a path variable without a field."""
    with pytest.raises(CatalogError, match="no permission option"):
        load_catalog([contracts["broken"]])
    template = compile_template("/v1/{nowhere}")
    with pytest.raises(CatalogError, match="nowhere"):
        Binder(rpc, rpc.bindings[0], template, DecoderSet())


def test_every_rpc_of_ours_with_a_route_is_served() -> None:
    """O8: the catalog is the descriptors; nothing is listed twice."""
    from gateway.catalog import stub_modules

    paths = {rpc.path for rpc in load_catalog(stub_modules())}
    assert "/t2m.job.v1.JobService/WatchJob" in paths
    assert "/t2m.storage.v1.ObjectService/ReadObject" not in paths


def test_A6_a_body_of_bytes_arrives_as_it_was_signed() -> None:
    """A6: not one byte is read as JSON and written again, whatever the content type."""
    [receive] = [found for found in load_catalog(stub_modules()) if found.path.endswith("/ReceiveStripeEvent")]
    body = b'{ "id" :\t"evt_1", "id":"\xff" }\n'
    sent = {"stripe-signature": "t=1,v1=ab", "content-type": "text/plain"}
    message = bind(receive, "POST", "/api/v1/billing/stripe/webhook", body, sent)
    assert (message["body"].data, message["body"].content_type) == (body, "text/plain")
    assert message["signature"] == "t=1,v1=ab"
