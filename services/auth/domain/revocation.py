"""Revocations: what ended before its tokens did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.auth.domain.session import ACCESS_LIFETIME
from services.auth.domain.tokens import INTERNAL_LIFETIME

EXTERNAL_LIFETIME_MAX = timedelta(hours=1)
"""How long after it was issued a token of another issuer is accepted, whatever it says itself."""
_MARGIN = timedelta(minutes=2)
"""The minute that verifiers forgive (`services.runtime.tokens.LEEWAY_S`), and one for clocks that differ."""


class RevocationKind(StrEnum):
    """What a revocation names."""

    SESSION = "session"
    """Every token made in the session's name."""
    API_KEY = "api_key"
    """Every token made in the key's name."""
    USER = "user"
    """Every token of the user that was issued before the revocation."""


_TOKENS_LIVE = {
    RevocationKind.SESSION: ACCESS_LIFETIME,
    RevocationKind.API_KEY: INTERNAL_LIFETIME,
    RevocationKind.USER: max(ACCESS_LIFETIME, EXTERNAL_LIFETIME_MAX),
}


@dataclass(frozen=True, slots=True)
class Revocation:
    """An ending that verifiers have to know of."""

    sequence: int
    """Counts revocations; a transaction that was undone leaves a gap."""
    kind: RevocationKind
    subject_id: str
    at: datetime
    until: datetime
    """No token that it concerns is alive after this moment."""


def needed_until(kind: RevocationKind, at: datetime) -> datetime:
    """When a revocation of this moment can be forgotten."""
    return at + _TOKENS_LIVE[kind] + _MARGIN
