"""What was revoked, and what of it a verifier refuses (A2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from joserfc.jwk import OKPKey

from services.runtime.identity import Principal, Role
from services.runtime.revocations import RevocationList
from services.runtime.tokens import CredentialError, StaticKeys, TokenSigner, TokenVerifier

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(minutes=15)


class SetClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment


def principal(user: str = "ada", session: str = "", key: str = "", issued_at: datetime | None = START) -> Principal:
    """Somebody with a token."""
    return Principal(user, Role.USER, None, "token", LATER, session_id=session, api_key_id=key, issued_at=issued_at)


def test_a_session_and_a_key_end_with_all_their_tokens_and_nobody_elses() -> None:
    revoked = RevocationList(SetClock())
    revoked.end_session("s1", LATER)
    revoked.end_api_key("k1", LATER)
    assert revoked.covers(principal(session="s1", issued_at=LATER))
    assert revoked.covers(principal(key="k1"))
    for other in (principal(), principal(session="s2"), principal(key="s1"), principal(session="k1"), principal("s1")):
        assert not revoked.covers(other)


def test_a_user_loses_what_was_issued_before_and_the_latest_moment_counts() -> None:
    revoked = RevocationList(SetClock())
    moment, tick = START + timedelta(seconds=1), timedelta(microseconds=1)
    revoked.end_user("ada", moment, LATER)
    revoked.end_user("ada", START, LATER)
    assert revoked.covers(principal(issued_at=moment - tick))
    assert revoked.covers(principal(issued_at=None))
    assert not revoked.covers(principal(issued_at=moment))
    assert not revoked.covers(principal("eve"))


def test_an_entry_is_kept_until_no_token_can_need_it() -> None:
    clock = SetClock()
    revoked = RevocationList(clock)
    revoked.end_session("s1", LATER)
    revoked.end_user("ada", START, LATER + timedelta(hours=1))
    clock.moment = LATER - timedelta(seconds=1)
    revoked.settle()
    assert len(revoked) == 2
    clock.moment = LATER + timedelta(minutes=2)
    revoked.settle()
    assert len(revoked) == 1
    assert not revoked.covers(principal(session="s1", user="eve"))


def test_a_watcher_is_told_once_and_only_of_its_own_token() -> None:
    revoked, told = RevocationList(SetClock()), []
    revoked.watch(principal(session="s1"), lambda: told.append("s1"))
    revoked.watch(principal(session="s2"), lambda: told.append("s2"))
    revoked.watch(principal(session="s1"), lambda: told.append("gone"))()
    revoked.end_session("s1", LATER)
    revoked.settle()
    revoked.settle()
    assert told == ["s1"]


def test_a_token_that_was_verified_before_is_refused_too() -> None:
    key, clock = OKPKey.generate_key("Ed25519", parameters={"kid": "one"}), SetClock()
    revoked = RevocationList(clock)
    verifier = TokenVerifier(StaticKeys([key]), clock, revoked)
    token, _ = TokenSigner(key, clock).sign("ada", Role.USER, timedelta(minutes=5))
    assert verifier.verify(token).issued_at == START
    revoked.end_user("ada", START + timedelta(microseconds=1), LATER)
    with pytest.raises(CredentialError, match="revoked"):
        verifier.verify(token)
    with pytest.raises(CredentialError, match="revoked"):
        TokenVerifier(StaticKeys([key]), clock, revoked).verify(token)
