"""How an inspection says what is wrong."""

from __future__ import annotations

from services.storage.domain.errors import InvalidInput


def refused(why: str) -> InvalidInput:
    """The error for bytes that are of a type that is accepted, and are not accepted all the same."""
    return InvalidInput([("content", why)])
