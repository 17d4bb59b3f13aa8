"""Headers and parameters that many operations have."""

from __future__ import annotations

from typing import Any

_INTEGER = {"type": "integer"}
_TEXT = {"type": "string"}

TRANSPORT_OWNED = frozenset({"content-length", "content-type"})
"""Headers that an HTTP client sets by itself; OpenAPI has no parameters of these names."""

HEADERS: dict[str, Any] = {
    "X-Request-ID": {
        "schema": {"type": "string", "examples": ["4bf92f3577b34da6a3ce929d0e0e4736"]},
        "required": True,
        "description": "Names this request in the logs: the one that was sent, or a new one.",
    },
    "RateLimit-Policy": {
        "schema": {"type": "string", "examples": ['"generate";q=10;w=60']},
        "description": "The budget that the call counts for: its class, calls, seconds of the sliding window.",
    },
    "RateLimit": {
        "schema": {"type": "string", "examples": ['"generate";r=9;t=60']},
        "description": "Calls that are left of it, and the seconds until there are more.",
    },
    "RateLimit-Limit": {"schema": _INTEGER, "description": "Calls in a window."},
    "RateLimit-Remaining": {"schema": _INTEGER, "description": "Calls that are left."},
    "RateLimit-Reset": {"schema": _INTEGER, "description": "Seconds until there are more."},
    "Retry-After": {"schema": _INTEGER, "description": "Seconds."},
    "ETag": {
        "schema": {"type": "string", "examples": ['"5d41402abc4b2a76b9719d911017c592"']},
        "description": "Names what was sent, byte by byte; for `If-None-Match`.",
    },
    "Content-Disposition": {"schema": _TEXT, "description": "A name to save it under."},
    "Content-Range": {"schema": _TEXT, "description": "Which bytes these are, and of how many."},
    "Accept-Ranges": {"schema": {"type": "string", "const": "bytes"}, "description": "`Range` is honoured."},
    "Last-Modified": {"schema": _TEXT, "description": "For `If-Modified-Since`."},
    "Location": {"schema": {"type": "string", "format": "uri-reference"}, "description": "Where to go."},
}
"""`components.headers`; the limits are on every answer of a call that is counted."""

PARAMETERS: dict[str, Any] = {
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "schema": _TEXT,
        "description": "8 to 128 letters, digits, `.`, `_` or `-`: the id of this request in our logs. Anything else "
        "is ignored.",
    },
    "GrpcTimeout": {
        "name": "Grpc-Timeout",
        "in": "header",
        "schema": {"type": "string", "pattern": "^[0-9]{1,8}[HMSmun]$", "examples": ["5S"]},
        "description": "How long the client waits, as gRPC writes it: `500m` are 500 ms, `5S` 5 s. It shortens the "
        "deadline of the call, and never lengthens it; what takes longer is 504.",
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "schema": _TEXT,
        "description": "ETags of copies that the client has; 304 when one of them is still good.",
    },
    "IfModifiedSince": {
        "name": "If-Modified-Since",
        "in": "header",
        "schema": _TEXT,
        "description": "An HTTP date; 304 when nothing has changed since. Not read beside `If-None-Match`.",
    },
    "Range": {
        "name": "Range",
        "in": "header",
        "schema": {"type": "string", "examples": ["bytes=0-1023"]},
        "description": "One range of bytes (RFC 9110 §14). Lists of ranges and other units are ignored.",
    },
    "IfRange": {
        "name": "If-Range",
        "in": "header",
        "schema": _TEXT,
        "description": "The ETag or date that `Range` was made for; the whole object is sent when it has changed.",
    },
}
"""`components.parameters`, which every operation may have beside its own."""


def reference(kind: str, name: str) -> dict[str, Any]:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def references(*names: str) -> dict[str, Any]:
    """Headers of an answer, by reference."""
    return {name: reference("headers", name) for name in names}


REQUEST_ID_HEADERS = references("X-Request-ID")
LIMIT_HEADERS = references(*(name for name in HEADERS if name.startswith("RateLimit")))
RETRY_HEADERS = references("Retry-After")
ANSWER_HEADERS = {**REQUEST_ID_HEADERS, **LIMIT_HEADERS}
FILE_HEADERS = references("ETag", "Accept-Ranges", "Last-Modified", "Content-Disposition")
DOWNLOAD_HEADERS = references("Content-Disposition")
UNCHANGED = {"description": "The copy that `If-None-Match` names is still good.", "headers": references("ETag")}
