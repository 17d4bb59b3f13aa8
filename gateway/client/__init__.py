"""Python client of t2m's REST face, blocking and asynchronous, and the command `t2m`.

Needs httpx and httpx-sse (the command also click, rich and PyYAML), and nothing else of this repository.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.client.core.credentials import TokenStore
from gateway.client.core.retries import Policy
from gateway.client.core.streams import Event
from gateway.client.errors import (
    ChecksumError,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    NotLoggedInError,
    PermissionDeniedError,
    PositionExpiredError,
    QuotaExhaustedError,
    RateLimitedError,
    T2MError,
    UnavailableError,
    Violation,
)
from gateway.client.sync import T2MClient
from gateway.client.tokens import FileTokens, MemoryTokens

if TYPE_CHECKING:
    from gateway.client.aio import AsyncT2MClient

__all__ = [
    "AsyncT2MClient",
    "ChecksumError",
    "ConflictError",
    "ConnectionFailedError",
    "Event",
    "FileTokens",
    "InvalidRequestError",
    "MemoryTokens",
    "NotFoundError",
    "NotLoggedInError",
    "PermissionDeniedError",
    "Policy",
    "PositionExpiredError",
    "QuotaExhaustedError",
    "RateLimitedError",
    "T2MClient",
    "T2MError",
    "TokenStore",
    "UnavailableError",
    "Violation",
]


def __getattr__(name: str) -> Any:
    """The asynchronous client when it is asked for (PEP 562): asyncio is a fifth of the time that `t2m` takes to start,
    and it does not need it.
    """
    if name == "AsyncT2MClient":
        from gateway.client.aio import AsyncT2MClient

        return AsyncT2MClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
