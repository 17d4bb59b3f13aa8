"""What refresh tokens give, whoever presents which of them when (row A2): properties of any history."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.auth.domain.session import (
    REFRESH_LIFETIME,
    SIBLINGS_MAX,
    Client,
    RefreshToken,
    Session,
    Trade,
)
from tests.fakes.auth import START

GRACE = timedelta(seconds=10)
GIVES = {Trade.NEXT, Trade.FURTHER}

uses = st.lists(st.tuples(st.sampled_from([0, 1, 5, 10, 11, 900, 86_400]), st.integers(0, 40)), min_size=1, max_size=40)
"""So many seconds after the one before, the token with this number (from the newest back) is presented."""


@dataclass
class History:
    """A session in the hands of any number of people."""

    session: Session = field(default_factory=lambda: Session("s", "u", START))
    now: datetime = START
    tokens: list[RefreshToken] = field(default_factory=list)
    first_use: dict[int, datetime] = field(default_factory=dict)
    """Of a token of each generation."""
    given: dict[int, int] = field(default_factory=dict)
    """How many tokens of each generation there are."""

    def __post_init__(self) -> None:
        self.issue()

    def issue(self) -> None:
        """One more token of the session's generation."""
        generation = self.session.generation
        token = RefreshToken(b"%d" % len(self.tokens), "s", self.now, self.now + REFRESH_LIFETIME, None, generation)
        self.tokens.append(token)
        self.given[generation] = self.given.get(generation, 0) + 1

    def present(self, token: RefreshToken) -> Trade:
        """As the use case does it."""
        trade = self.session.trade(token, self.now, GRACE)
        if trade in GIVES:
            self.session = self.session.traded(trade, Client(), self.now)
            self.issue()
            self.first_use.setdefault(token.generation, self.now)
        elif trade is Trade.REUSED:
            self.session = replace(self.session, revoked_at=self.now)
        return trade


@given(uses)
@settings(max_examples=100, deadline=None)
def test_whoever_presents_which_token_when(schedule: list[tuple[int, int]]) -> None:
    history = History()
    for wait, back in schedule:
        history.now += timedelta(seconds=wait)
        token = history.tokens[-1 - back % len(history.tokens)]
        closed = not history.session.active
        first = history.first_use.get(token.generation)
        trade = history.present(token)
        if closed:
            assert trade is Trade.CLOSED
        elif first is None:
            # Unused, and so are all of its generation: only time is against it.
            assert trade is (Trade.EXPIRED if token.expires_at <= history.now else Trade.NEXT)
        elif trade is Trade.FURTHER:
            # A use after the first: soon, and while nothing that came of it has been used.
            assert history.now - first <= GRACE
            assert token.generation + 1 not in history.first_use
        else:
            assert trade is Trade.REUSED
        assert history.session.active is not (closed or trade is Trade.REUSED)
    assert max(history.given.values()) <= SIBLINGS_MAX + 1


@given(
    st.integers(0, 10),
    st.lists(st.tuples(st.booleans(), st.integers(11, 86_400)), min_size=2, max_size=30).filter(
        lambda rounds: len({thief for thief, _ in rounds}) == 2
    ),
)
@settings(max_examples=100, deadline=None)
def test_a_thief_who_was_quick_enough_is_found_out_once_both_have_refreshed(
    delay_s: int, rounds: list[tuple[bool, int]]
) -> None:
    """The thief takes a pair within the grace; then each goes on with what it holds, never within 10 s of the other."""
    history = History()
    stolen = history.tokens[0]
    assert history.present(stolen) is Trade.NEXT
    held = {False: history.tokens[-1]}
    history.now += timedelta(seconds=delay_s)
    assert history.present(stolen) is Trade.FURTHER
    held[True] = history.tokens[-1]
    refreshed = set()
    for thief, wait in rounds:
        history.now += timedelta(seconds=wait)
        refreshed.add(thief)
        trade = history.present(held[thief])
        if len(refreshed) == 2:
            assert trade is Trade.REUSED
            assert not history.session.active
            return
        assert trade is Trade.NEXT or trade is Trade.EXPIRED
        held[thief] = history.tokens[-1]
