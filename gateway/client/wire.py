"""What both clients do with httpx: requests and answers in its terms, and its errors in ours."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from httpx_sse import SSEError

from gateway.client.core.calls import Session
from gateway.client.core.credentials import Fixed, SessionCredential, TokenStore
from gateway.client.core.effects import Answer, Request
from gateway.client.core.retries import Policy
from gateway.client.errors import ConnectionFailedError, T2MError

VERSION = "0.1.0"
USER_AGENT = f"t2m-client/{VERSION} (Python {platform.python_version()}; {platform.system()})"
TIMEOUT_S = 30.0
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Options:
    """How a client is set up."""

    url: str
    session: Session
    timeout_s: float
    tokens: TokenStore | None = None
    headers: dict[str, str] = field(default_factory=lambda: {"User-Agent": USER_AGENT})

    @classmethod
    def of(cls, url: str, api_key: str | None, tokens: TokenStore | None, policy: Policy, timeout_s: float) -> Options:
        """Checked. ValueError for a URL that is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of a server: http://host:port or https://host is")
        if api_key is not None and tokens is not None:
            raise ValueError("either an API key or tokens")
        if tokens is not None:
            return cls(url, Session(SessionCredential(tokens, policy), policy), timeout_s, tokens)
        return cls(url, Session(Fixed({"X-API-Key": api_key} if api_key else {}), policy), timeout_s)

    def arguments(self, request: Request) -> dict[str, Any]:
        """For `build_request` of either httpx client."""
        pause_s = request.timeout_s or self.timeout_s
        arguments: dict[str, Any] = {
            "method": request.method,
            "url": request.url,
            "headers": dict(request.headers),
            "timeout": httpx.Timeout(self.timeout_s, read=pause_s, write=pause_s),
        }
        # httpx replaces the query of the URL by params, also by none: a signed URL must stay as it is.
        if request.params:
            arguments["params"] = dict(request.params)
        if request.json is not None:
            arguments["json"] = request.json
        if request.content is not None:
            arguments["content"] = request.content
        return arguments


def answer_of(response: httpx.Response, *, content: bool) -> Answer:
    """Ours."""
    return Answer(response.status_code, response.headers, response.content if content else b"")


@contextmanager
def errors_of_ours() -> Iterator[None]:
    """httpx's errors as ConnectionFailedError, without a word about headers."""
    try:
        yield
    except httpx.RequestError as error:
        text = str(error) or type(error).__name__
        raise ConnectionFailedError(text, unsent=isinstance(error, _UNSENT)) from error
    except SSEError as error:
        raise T2MError(0, "UNKNOWN", "the answer is no event stream: is this the URL of t2m?", {}) from error
