"""What the document says about who may call: credentials, session cookies, rate limits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gateway.catalog import HttpBinding, Rpc
from gateway.cookies import SAFE_METHODS, CookieNames
from gateway.openapi.schemas import field_rules
from gateway.ratelimit import CLASS_NAMES
from t2m.common.v1 import options_pb2

_NAMES = CookieNames.of(secure=True)

SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": _NAMES.access,
        "description": "The session of a browser that has logged in with `X-Session-Transport: cookie`.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": f"With the cookie, on calls that change something: the value of the cookie `{_NAMES.csrf}`.",
    },
}

_TRANSPORT = {
    "name": "X-Session-Transport",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": ["cookie"]},
    "description": "`cookie`: the tokens come in cookies that scripts cannot read, and not in the body, which has a "
    "`csrf_token` in their place. A refresh and a logout with these cookies need no body.",
}


def security(rpc: Rpc, binding: HttpBinding) -> list[dict[str, list[str]]]:
    """The credentials that an operation takes, one of them; none for a public one."""
    if rpc.public:
        return []
    cookie: dict[str, list[str]] = {"cookie": []}
    if binding.verb not in SAFE_METHODS:
        cookie["csrf"] = []
    return [{"bearer": []}, {"apiKey": []}, cookie]


def rate_class(rpc: Rpc) -> str:
    """The budget that a call counts for."""
    return CLASS_NAMES[rpc.rate_class]


def session_parameters(rpc: Rpc) -> list[dict[str, Any]]:
    """Of operations that hand out tokens."""
    return [_TRANSPORT] if rpc.extras.session_cookies == options_pb2.SESSION_COOKIES_SET else []


def body_required(rpc: Rpc, binding: HttpBinding, elsewhere: Collection[str]) -> bool:
    """Whether a call fails without a body; `elsewhere` are the fields that come from path and headers."""
    if by_session_cookie(rpc):
        return False
    if binding.body != "*":
        return field_rules(rpc.input.fields_by_name[binding.body]).required
    return any(field_rules(field).required for field in rpc.input.fields if field.name not in elsewhere)


def by_session_cookie(rpc: Rpc) -> bool:
    """Whether a public call may stand on the refresh token of a cookie, which then has to be proven by CSRF token."""
    return bool(rpc.extras.session_cookies) and "refresh_token" in rpc.input.fields_by_name
