"""Tokens that come by mail."""

from __future__ import annotations

from datetime import datetime

from services.auth.application.ports import UnitOfWork
from services.auth.domain.errors import InvalidValue
from services.auth.domain.mail import EmailToken, TokenPurpose

PURPOSE = "email_token"
"""Of their digests."""


async def find_token(unit: UnitOfWork, digest: bytes, purpose: TokenPurpose, now: datetime) -> EmailToken:
    """The token, locked; perhaps used. Raises InvalidValue when there is none that is good for this purpose."""
    token = await unit.email_tokens.lock(digest)
    if token is None or token.purpose is not purpose or token.expires_at <= now:
        raise bad_token()
    return token


def bad_token() -> InvalidValue:
    """What is said of every token that does not work."""
    return InvalidValue([("token", "is not good, or not any more: ask for another mail")])
