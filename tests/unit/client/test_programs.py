"""The core of the clients as programs: calls, pages, streams and logins, step by step (O8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.client import MemoryTokens
from gateway.client.api import account, jobs, videos, webhooks
from gateway.client.core.credentials import SessionCredential
from gateway.client.core.effects import Answer
from gateway.client.errors import (
    ConnectionFailedError,
    NotFoundError,
    NotLoggedInError,
    PositionExpiredError,
    T2MError,
    UnavailableError,
)
from gateway.client.models.account import SessionTokens
from gateway.client.tokens import FileTokens
from tests.unit.client.programs import POLICY, Script, event, json_answer

AWAY = json_answer({"error": {"error_code": "SERVICE_UNAVAILABLE", "message": "away", "details": {}}}, 503)
EXPIRED = json_answer({"error": {"error_code": "UNAUTHENTICATED", "message": "late", "details": {}}}, 401)
MISSING = json_answer({"error": {"error_code": "NOT_FOUND", "message": "none", "details": {}}}, 404)
GONE = json_answer({"error": {"error_code": "POSITION_EXPIRED", "message": "old", "details": {}}}, 410)
CUT = ConnectionFailedError("cut")
NOW = datetime(2026, 11, 21, 20, 40, tzinfo=UTC)


def pair(number: int, lives: timedelta = timedelta(minutes=15)) -> SessionTokens:
    """The tokens of a session after so many renewals."""
    return {
        "access_token": f"access-{number}",
        "refresh_token": f"refresh-{number}",
        "token_type": "Bearer",
        "expires_at": (NOW + lives).isoformat(),
        "refresh_expires_at": (NOW + timedelta(days=7)).isoformat(),
    }


def test_O8_an_order_keeps_its_key_over_attempts() -> None:
    """O8, V1: a lost answer and a service away: the same key each time."""
    script = Script(CUT, AWAY, json_answer({"job_id": "1"}, 201))
    assert script.run(videos.generate("a", "b")) == {"job_id": "1"}
    keys = {request.headers["Idempotency-Key"] for request in script.requests}
    assert len(keys) == 1
    assert len(script.requests) == 3
    assert {request.headers["X-API-Key"] for request in script.requests} == {"key"}


def test_O8_a_removal_whose_answer_was_lost_is_done() -> None:
    """O8: 404 after an attempt that may have got through is success; the first 404 is not."""
    assert Script(CUT, MISSING).run(jobs.delete_job("1")) is None
    with pytest.raises(NotFoundError):
        Script(MISSING).run(jobs.delete_job("1"))


def test_O8_what_may_not_be_repeated_is_not() -> None:
    """O8: a new webhook after a cut is an error at once; after a refused connection it is tried again."""
    script = Script(CUT)
    with pytest.raises(ConnectionFailedError):
        script.run(webhooks.create_webhook("https://example.com"))
    unsent = Script(ConnectionFailedError("refused", unsent=True), json_answer({"secret": "s"}, 201))
    assert unsent.run(webhooks.create_webhook("https://example.com")) == {"secret": "s"}


def test_O8_an_id_cannot_leave_its_place_in_the_path() -> None:
    """O8: whatever is given as an id stays one segment."""
    assert jobs.job("../users/me?x=1#").request.url == "/api/v1/jobs/..%2Fusers%2Fme%3Fx%3D1%23"


def test_O8_pages_are_asked_for_as_they_are_taken() -> None:
    """O8, J2: all items over all pages with the same filters; a token that comes again ends it."""
    script = Script(
        json_answer({"jobs": [{"job_id": "1"}, {"job_id": "2"}], "next_page_token": "t"}),
        json_answer({"jobs": [{"job_id": "3"}], "next_page_token": ""}),
    )
    script.run(jobs.jobs(status=["failed"], include_total=True))
    assert [job["job_id"] for job in script.emitted] == ["1", "2", "3"]
    assert [request.params for request in script.requests] == [
        {"status": ["failed"], "include_total": "true"},
        {"status": ["failed"], "include_total": "true", "page_token": "t"},
    ]
    forever = json_answer({"jobs": [], "next_page_token": "t"})
    with pytest.raises(T2MError, match="repeats a page token"):
        Script(forever, forever, forever).run(jobs.jobs())


def test_O8_J7_a_stream_is_resumed_behind_the_last_event() -> None:
    """O8, J7: cut, refused, ended and repeated events: each event once, and the position in each request."""
    script = Script(
        [event(1, "snapshot", status="processing"), event(2), CUT],
        AWAY,
        [event(2), event(3)],
        [],
        [event(4, "status", status="completed")],
    )
    script.run(jobs.watch("1"))
    assert [item.seq for item in script.emitted] == [1, 2, 3, 4]
    assert [request.headers.get("Last-Event-ID") for request in script.requests] == [None, "2", "2", "3", "3"]
    assert script.emitted[-1].body == {"status": "completed"}


def test_O8_J7_a_stream_ends_when_the_server_says_so() -> None:
    """O8, J7: 204 is the end, an expired position an error; the last event needs no further request."""
    script = Script([event(5)], Answer(204))
    script.run(jobs.watch("1", 4))
    assert [item.seq for item in script.emitted] == [5]
    assert script.requests[0].headers["Last-Event-ID"] == "4"
    with pytest.raises(PositionExpiredError):
        Script(GONE).run(jobs.watch("1", 4))
    followed = Script([event(1, "position", last_seq=0), event(2, "entry", message="done", last=True)])
    followed.run(jobs.follow_logs("1"))
    assert len(followed.requests) == 1


def test_O8_tokens_are_renewed_before_they_end() -> None:
    """O8: with half a minute to go there is a new pair first; it is kept, and used."""
    store = MemoryTokens(pair(1, timedelta(seconds=20)))
    script = Script(json_answer(pair(2)), json_answer({"user_id": "u"}))
    assert script.run(account.profile(), SessionCredential(store, POLICY, lambda: NOW)) == {"user_id": "u"}
    assert script.requests[0].json == {"refresh_token": "refresh-1"}
    assert "Authorization" not in script.requests[0].headers
    assert script.requests[1].headers["Authorization"] == "Bearer access-2"
    assert store.load() == pair(2)


def test_O8_a_refused_token_is_renewed_once() -> None:
    """O8: 401 brings a new pair and one more attempt; if that is refused as well, that is the answer."""
    store = MemoryTokens(pair(1))
    credential = SessionCredential(store, POLICY, lambda: NOW)
    script = Script(EXPIRED, json_answer(pair(2)), json_answer({"user_id": "u"}))
    assert script.run(account.profile(), credential) == {"user_id": "u"}
    again = Script(EXPIRED, json_answer(pair(3)), EXPIRED)
    with pytest.raises(NotLoggedInError):
        again.run(account.profile(), credential)
    assert len(again.requests) == 3


def test_O8_a_pair_that_somebody_else_got_is_used() -> None:
    """O8: a refresh token works once; whoever finds another pair in the store takes that."""
    store = MemoryTokens(pair(1))

    def meanwhile(_request: object) -> Answer:
        store.save(pair(2))
        return EXPIRED

    script = Script(meanwhile, json_answer({"user_id": "u"}))
    script.run(account.profile(), SessionCredential(store, POLICY, lambda: NOW))
    assert [request.url for request in script.requests] == ["/api/v1/users/profile"] * 2
    assert script.requests[1].headers["Authorization"] == "Bearer access-2"


def test_O8_a_session_that_has_ended_is_forgotten_but_not_one_whose_server_is_away() -> None:
    """O8: 401 to the refresh token ends the login; 503 keeps it for later. The lock is let go of in both cases."""
    store = MemoryTokens(pair(1))
    hasty = SessionCredential(store, POLICY, lambda: NOW)
    with pytest.raises(UnavailableError):
        Script(EXPIRED, json_answer({"error": {}}, 503, retry_after="61")).run(account.profile(), hasty)
    assert store.load() == pair(1)
    with pytest.raises(NotLoggedInError):
        Script(EXPIRED, EXPIRED).run(account.profile(), hasty)
    assert store.load() is None
    assert store.try_lock()
    with pytest.raises(NotLoggedInError, match="not logged in"):
        Script().run(account.profile(), SessionCredential(MemoryTokens(), POLICY))


def test_O8_a_file_of_tokens_is_private_whole_and_locked(tmp_path: Path) -> None:
    """O8: mode 0600; one renews at a time, also of two stores of the same file; what is broken counts as none."""
    path = tmp_path / "new" / "tokens.json"
    one, other = FileTokens(path), FileTokens(path)
    assert one.load() is None
    one.save(pair(1))
    assert other.load() == pair(1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert one.try_lock()
    assert not one.try_lock()
    assert not other.try_lock()
    one.unlock()
    assert other.try_lock()
    other.unlock()
    for broken in ("{", "[]", "{}", '{"expires_at": "soon", "access_token": "a", "refresh_token": "r"}'):
        path.write_text(broken)
        assert one.load() is None
    one.save(None)
    assert not path.exists()
