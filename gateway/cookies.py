"""Session tokens in cookies, for browsers (A2): scripts cannot read them, and other sites cannot use them.

A client asks for it by `X-Session-Transport: cookie` at login. Three cookies come back, all `SameSite=Strict`:

- access: `HttpOnly`, for every path; stands for `Authorization: Bearer` where a request's header has no credential;
- refresh: `HttpOnly`, for the paths of refresh and logout only, which then need no body;
- csrf: readable, for the header `X-CSRF-Token` of every request that changes something.

The `__Host-` prefix binds a cookie to this host, by TLS; the refresh cookie has a path of its own, which that prefix
does not allow, so it is `__Secure-`.

The CSRF token is a double submit bound to the session: `<a>.<r>`, two HMACs under the access and the refresh token
themselves. Both are secrets that nobody but auth can make and that no script can read, so the gateways need no key of
their own, and keep no state: a request is checked against the cookie that it authenticates with. A page elsewhere can
neither read the cookie nor compute the value, and to plant one it would have to know the token. Beside it the browser
has to say where the request comes from: this origin, or a configured one.
"""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.errors import ApiError, unauthenticated
from gateway.http import Header, Request
from t2m.auth.v1 import session_service_pb2

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TRANSPORT_HEADER = b"x-session-transport"
CSRF_HEADER = b"x-csrf-token"
_COOKIE_OCTETS = re.compile(r"[A-Za-z0-9._~+/=-]+")
_MAC_BYTES = 18


@dataclass(frozen=True, slots=True)
class CookieNames:
    """What the cookies are called; browsers hold the prefixes to their promise."""

    access: str
    refresh: str
    csrf: str

    @classmethod
    def of(cls, *, secure: bool) -> CookieNames:
        """Without TLS the prefixes would have every browser drop the cookies."""
        host, tls = ("__Host-", "__Secure-") if secure else ("", "")
        return cls(f"{host}t2m-access", f"{tls}t2m-refresh", f"{host}t2m-csrf")


class SessionCookies:
    """Reads, checks and writes the cookies of sessions.

    `refresh_path` is the path that all methods which take the refresh token lie under; `origins` may use the cookies
    beside the gateway's own.
    """

    def __init__(
        self,
        *,
        secure: bool,
        refresh_path: str,
        origins: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.names = CookieNames.of(secure=secure)
        self._tls = "; Secure" if secure else ""
        self._refresh_path = refresh_path
        self._origins = frozenset(origin.rstrip("/").lower().encode() for origin in origins if origin)
        self._clock = clock

    def wanted(self, request: Request) -> bool:
        """Whether the client asks for cookies. Raises ApiError 403 when it may not have them, where it is."""
        if (request.header(TRANSPORT_HEADER) or b"").strip().lower() != b"cookie":
            return False
        self._check_origin(request)
        return True

    def access_token(self, request: Request) -> bytes | None:
        """The access token. Raises ApiError 401 for an ambiguous one, 403 when the request may be forged."""
        token = self._read(request, self.names.access)
        if token is not None and request.method not in SAFE_METHODS:
            self._check(request, token, part=0)
        elif token is not None and request.scope["type"] == "websocket":
            # There is no preflight, and every page may read what comes: only the origin is in between (RFC 6455 §10.2).
            self._check_origin(request)
        return token

    def refresh_token(self, request: Request) -> str | None:
        """The refresh token, of a request that will use it. Raises as `access_token`."""
        token = self._read(request, self.names.refresh)
        if token is None:
            return None
        self._check(request, token, part=1)
        return token.decode("ascii")

    def any_of(self, request: Request) -> bool:
        """Whether the request has session cookies at all."""
        names = (self.names.access, self.names.refresh)
        return any(_values(request, name) for name in names)

    def set(self, tokens: session_service_pb2.SessionTokens) -> tuple[list[Header], str]:
        """The header fields that hand a session to the browser, and its CSRF token."""
        csrf = f"{_mac(tokens.access_token.encode())}.{_mac(tokens.refresh_token.encode())}"
        now = self._clock()
        access_s = int(tokens.expires_at.seconds - now)
        refresh_s = int(tokens.refresh_expires_at.seconds - now)
        return [
            self._field(self.names.access, tokens.access_token, access_s, "/", "; HttpOnly"),
            self._field(self.names.refresh, tokens.refresh_token, refresh_s, self._refresh_path, "; HttpOnly"),
            self._field(self.names.csrf, csrf, refresh_s, "/"),
        ], csrf

    def clear(self) -> list[Header]:
        """The header fields that take them away."""
        return [
            self._field(self.names.access, "", 0, "/", "; HttpOnly"),
            self._field(self.names.refresh, "", 0, self._refresh_path, "; HttpOnly"),
            self._field(self.names.csrf, "", 0, "/"),
        ]

    def _field(self, name: str, value: str, max_age_s: int, path: str, more: str = "") -> Header:
        if value and not _COOKIE_OCTETS.fullmatch(value):
            raise ValueError("auth made a token that no cookie can hold")
        attributes = f"Max-Age={max(0, max_age_s)}; Path={path}{self._tls}; SameSite=Strict{more}"
        return (b"set-cookie", f"{name}={value}; {attributes}".encode("ascii"))

    def _read(self, request: Request, name: str) -> bytes | None:
        values = _values(request, name)
        if len(values) > 1:  # One of them was planted. Which one, nobody can tell.
            raise unauthenticated("CREDENTIAL_INVALID", f"more than one cookie {name}")
        return next(iter(values), None)

    def _check(self, request: Request, token: bytes, part: int) -> None:
        """Raises ApiError 403 unless the request was made by a page that may use this session."""
        self._check_origin(request)
        given = (request.header(CSRF_HEADER) or b"").split(b".")
        if part >= len(given) or not hmac.compare_digest(given[part], _mac(token).encode()):
            raise _refused(f"X-CSRF-Token must be the value of the cookie {self.names.csrf}")

    def _check_origin(self, request: Request) -> None:
        origin = request.header(b"origin")
        if origin is not None:
            _, _, host = origin.lower().partition(b"://")  # "null", as of a sandboxed page, has none.
            own = bool(host) and host == (request.header(b"host") or b"").lower()
            allowed = own or origin.lower() in self._origins
        else:
            allowed = request.header(b"sec-fetch-site") == b"same-origin"
        if not allowed:
            raise _refused("session cookies can be used by pages of this origin only; Origin or Sec-Fetch-Site says so")


def _values(request: Request, name: str) -> set[bytes]:
    wanted = name.encode()
    return {
        value.strip()
        for field, cookies in request.scope["headers"]
        if field == b"cookie"
        for key, _, value in (pair.partition(b"=") for pair in cookies.split(b";"))
        if key.strip() == wanted
    } - {b""}


def _mac(token: bytes) -> str:
    digest = hmac.digest(token, b"t2m csrf", "sha256")[:_MAC_BYTES]
    return base64.urlsafe_b64encode(digest).decode()


def _refused(message: str) -> ApiError:
    return ApiError(403, "PERMISSION_DENIED", message, "CSRF_REFUSED")
