"""Pages of other origins: which may call, what they may send and what they may read (the Fetch standard, CORS)."""

from __future__ import annotations

from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SENT = (
    "authorization", "x-api-key", "x-csrf-token", "x-session-transport", "content-type", "content-encoding",
    "idempotency-key", "upload-offset", "last-event-id", "grpc-timeout", "x-request-id", "traceparent", "tracestate",
    # A player's byte ranges, and conditions; browsers differ in which of them need to be asked for.
    "range", "if-range", "if-none-match", "if-modified-since",
)  # fmt: skip
_READ = (
    "x-request-id", "etag", "content-length", "content-range", "content-disposition", "accept-ranges", "allow",
    "retry-after", "ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset",
)  # fmt: skip
_PREFLIGHT_S = 600


def cors(origins: tuple[str, ...], *, credentials: bool) -> Callable[[ASGIApp], ASGIApp]:
    """A wrapper that tells browsers what pages of `origins` may do; none without origins.

    With `credentials` browsers send cookies, too. Every answer varies by `Origin`, also to a request without one: else
    a cache would give a page what was told to another.
    """
    if not origins:
        return lambda app: app
    return lambda app: CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_credentials=credentials,
        allow_headers=_SENT,
        expose_headers=_READ,
        max_age=_PREFLIGHT_S,
    )
