"""Sessions: a family of refresh tokens of which only the newest generation works."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=7)
SIBLINGS_MAX = 32
"""Further tokens of one generation: enough for all tabs of a browser that starts."""
AGENT_MAX = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Client:
    """What is known of the other end; both parts may be empty."""

    address: str = ""
    """IP address."""
    agent: str = ""
    """What it calls itself, at most `AGENT_MAX` characters."""

    @classmethod
    def of(cls, address: str, agent: str) -> Client:
        """With a name that is fit to be stored and shown."""
        return cls(address, _CONTROL.sub(" ", agent).strip()[:AGENT_MAX])


class Trade(Enum):
    """What comes of a refresh token that is presented."""

    NEXT = auto()
    """The next generation."""
    FURTHER = auto()
    """One more token of the generation that came of an earlier use."""
    REUSED = auto()
    """Nothing: somebody else has it. The session ends."""
    EXPIRED = auto()
    """Nothing: it came too late."""
    CLOSED = auto()
    """Nothing: the session has ended."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One link of a session's chain; only a digest of what the client holds."""

    digest: bytes = field(repr=False)
    session_id: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    """When it was traded for the next one."""
    generation: int = 0
    """How many trades lie before it. Tokens of one generation are alternatives: the first use uses up all."""


@dataclass(frozen=True, slots=True)
class Session:
    """A login and everything that was refreshed from it."""

    session_id: str
    user_id: str
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """The last refresh; None before the first."""
    client: Client = Client()
    """Who used it last."""
    generation: int = 0
    """Of the tokens that work."""
    rotated_at: datetime | None = None
    """When that generation came to be."""
    siblings: int = 0
    """Further tokens of that generation beside the first."""

    @property
    def active(self) -> bool:
        """Whether it has not been closed or revoked."""
        return self.revoked_at is None

    def trade(self, token: RefreshToken, now: datetime, grace: timedelta) -> Trade:
        """What comes of the token.

        One that was used gives a further pair within `grace` of that use, while no token that came of it has been
        used (RFC 9700, section 4.14.2 wants re-use found out; a thief's pair is an alternative to the owner's, so
        that the first use of one makes a later use of the other a re-use).
        """
        if not self.active:
            return Trade.CLOSED
        if token.generation == self.generation:
            return Trade.EXPIRED if token.expires_at <= now else Trade.NEXT
        if token.generation != self.generation - 1 or self.rotated_at is None:
            return Trade.REUSED
        lost = now - self.rotated_at <= grace and self.siblings < SIBLINGS_MAX
        return Trade.FURTHER if lost else Trade.REUSED

    def traded(self, trade: Trade, client: Client, now: datetime) -> Session:
        """The session after a trade that gives a pair."""
        if trade is Trade.FURTHER:
            return replace(self, siblings=self.siblings + 1, last_used_at=now, client=client)
        generation = self.generation + 1
        return replace(self, generation=generation, rotated_at=now, siblings=0, last_used_at=now, client=client)
