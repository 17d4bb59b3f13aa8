"""The outermost layer: request id, security headers, access log, metrics, and a 500 for what nobody
foresaw.
"""

from __future__ import annotations

import itertools
import re
import time
import uuid
from collections.abc import Awaitable, Iterable
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access import Write, through_structlog
from gateway.errors import shortened
from gateway.http import ClientGoneError, Header
from gateway.metrics import REQUESTS
from gateway.sockets import as_denial

log = structlog.get_logger("gateway.edge")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,128}")

SECURITY_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_STRICT_CONTENT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox")
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_STATUS_CLIENT_GONE = 499
_STATUS_UPGRADED = 101
_HEADS = frozenset({"http.response.start", "websocket.accept"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Edge:
    """Wraps the whole app."""

    def __init__(self, app: ASGIApp, *, crash: ASGIApp, hsts: bool, write: Write = through_structlog) -> None:
        """`crash` answers what `app` broke on, to pages of other origins, too; `write` takes the lines of the log."""
        self._app = app
        self._write = write
        self._crash = crash
        self._headers = [*SECURITY_HEADERS, *([_HSTS] if hsts else [])]
        self._strict_headers = [*self._headers, _STRICT_CONTENT]
        # Unique without asking the kernel for every request: random per process, counted within.
        self._id_prefix = uuid.uuid4().hex[:20]
        self._ids = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":
            scope["method"], send = "GET", as_denial(send)
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A dictionary of its own: the server shares one `state` between all requests.
        state = scope["state"] = {**scope.get("state", {}), "request_id": self._request_id(scope)}
        status = 0

        def outgoing(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] in _HEADS:
                status = message.get("status", _STATUS_UPGRADED)
                message["headers"] = self._completed(message["headers"], state)
            return send(message)

        started = time.perf_counter()
        REQUESTS.in_flight += 1
        try:
            await self._app(scope, receive, outgoing)
        except ClientGoneError:
            status = status or _STATUS_CLIENT_GONE
        except Exception:
            log.exception("request.crashed", request_id=state["request_id"])
            if status:
                raise  # The answer has begun; only breaking the connection tells the client.
            await self._crash(scope, receive, outgoing)
        finally:
            REQUESTS.in_flight -= 1
            self._account(scope, status, time.perf_counter() - started)

    def _completed(self, headers: Iterable[Header], state: dict[str, Any]) -> list[Header]:
        """The head of an answer with what every answer says."""
        request_id = (b"x-request-id", state["request_id"].encode())
        own_policy = False
        for name, _ in headers:
            if name == b"content-security-policy":
                own_policy = True
        always = self._headers if own_policy else self._strict_headers
        return [*headers, *always, request_id, *state.get("rate_limit", ())]

    def _request_id(self, scope: Scope) -> str:
        """The client's id when it is harmless, else a new one."""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                return str(value, "ascii")
        return f"{self._id_prefix}{next(self._ids):012x}"

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope["state"]
        route = state.get("route", "")
        if not state.get("streaming"):
            method = scope["method"] if scope["method"] in _METHODS else "other"
            REQUESTS.observe(method, route or "unmatched", status, seconds)
        if route in ("/health", "/health/ready", "/metrics") and status < 400:
            return  # Probes and scrapes would drown everything else.
        fields = {
            "method": scope["method"],
            # Whoever holds a ticket may read the object.
            "path": route if "ticket}" in route else shortened(scope["path"]),
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_id": state["request_id"],
            "user_id": state.get("user_id", ""),
            "error_code": state.get("error_code", ""),
            "grpc_detail": state.get("grpc_detail", ""),
        }
        if "close_code" in state:
            fields["close_code"] = state["close_code"]
        self._write(fields)
