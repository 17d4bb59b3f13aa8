"""Errors of the REST face: one body for all (O6), and the table from gRPC status to HTTP.

A message of a backend is passed on only when it carries an `ErrorInfo` of domain `t2m`; what gRPC or a proxy
says about addresses and sockets stays in the log.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import orjson
from google.protobuf import any_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from gateway.codec import EncoderSet, Violation, snake_case

DOMAIN = "t2m"
DEFAULT_RETRY_AFTER_S = 2
_STREAM_RETRY_S = 5
MAX_VIOLATIONS = 100
MAX_TEXT = 300


@dataclass(slots=True)
class ApiError(Exception):
    """An answer other than success. `details` is merged with the reason into the body's `details`."""

    status: int
    error_code: str
    message: str
    reason: str
    details: dict[str, Any] = field(default_factory=dict)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def body(self, *, path: str, request_id: str) -> bytes:
        """The O6 body as JSON bytes."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return orjson.dumps(
            {
                "error": {
                    "message": self.message,
                    "error_code": self.error_code,
                    "details": {"reason": self.reason, **self.details},
                    "timestamp": now,
                    "path": shortened(path),
                    "request_id": request_id,
                }
            }
        )


def validation_failed(violations: Iterable[Violation]) -> ApiError:
    """422 with one entry per violation, of the first hundred: an answer is no larger than it needs to be."""
    everything = list(violations)
    listed = [
        {"field": shortened(item.field), "message": shortened(item.message)} for item in everything[:MAX_VIOLATIONS]
    ]
    message = "; ".join(f"{item['field']}: {item['message']}" for item in listed[:3])
    details: dict[str, Any] = {"violations": listed}
    if len(everything) > MAX_VIOLATIONS:
        details["violations_omitted"] = str(len(everything) - MAX_VIOLATIONS)
    return ApiError(422, "VALIDATION_ERROR", message, "VALIDATION_FAILED", details)


def shortened(text: str) -> str:
    """The text, or its beginning: what a client sends comes back in an error, but not a megabyte of it."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def malformed(message: str) -> ApiError:
    """400: the bytes could not be read at all."""
    return ApiError(400, "MALFORMED_REQUEST", message, "MALFORMED_REQUEST")


def unsupported_media_type(got: str, method: str = "POST") -> ApiError:
    """415: the body is not JSON by its own account."""
    message = f"expected Content-Type application/json, got {shortened(got) or 'none'}"
    headers = [(b"accept-patch" if method == "PATCH" else b"accept-post", b"application/json")]
    return ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message, "MALFORMED_REQUEST", headers=headers)


def unsupported_coding(got: str, supported: bytes = b"gzip, identity") -> ApiError:
    """415 with `Accept-Encoding`, which tells it from the one above (RFC 9110 section 12.5.3)."""
    message = f"Content-Encoding {shortened(got)} is not supported here"
    headers = [(b"accept-encoding", supported)]
    return ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message, "MALFORMED_REQUEST", headers=headers)


def precondition(message: str) -> ApiError:
    """412: what `If-Match` or `If-Unmodified-Since` ask for does not hold, or nobody here can tell."""
    return ApiError(412, "PRECONDITION_FAILED", message, "PRECONDITION_FAILED")


def body_too_large(limit: int) -> ApiError:
    """413; the connection is closed because the rest of the body is not read."""
    error = ApiError(413, "REQUEST_TOO_LARGE", f"body is larger than {limit} bytes", "REQUEST_TOO_LARGE")
    error.details["limit_bytes"] = limit
    error.headers.append((b"connection", b"close"))
    return error


def body_too_slow(message: str) -> ApiError:
    """408; the connection is closed, as what is left of the body may still be on its way."""
    headers = [(b"connection", b"close")]
    return ApiError(408, "REQUEST_TIMEOUT", message, "REQUEST_TOO_SLOW", headers=headers)


def route_not_found() -> ApiError:
    """404 for a path that no rpc has."""
    return ApiError(404, "NOT_FOUND", "no such route", "METHOD_NOT_FOUND")


def method_not_allowed(allowed: Iterable[str]) -> ApiError:
    """405 with `Allow`."""
    listed = ", ".join(allowed)
    headers = [(b"allow", listed.encode())]
    return ApiError(405, "METHOD_NOT_ALLOWED", f"allowed here: {listed}", "METHOD_NOT_FOUND", headers=headers)


def unauthenticated(reason: str, message: str) -> ApiError:
    """401 with `WWW-Authenticate`."""
    challenge = b'Bearer realm="t2m"'
    if reason != "CREDENTIAL_MISSING":
        challenge += b', error="invalid_token"'
    return ApiError(401, "UNAUTHENTICATED", message, reason, headers=[(b"www-authenticate", challenge)])


def unavailable(message: str, retry_after_s: float = DEFAULT_RETRY_AFTER_S) -> ApiError:
    """503 with `Retry-After`."""
    headers = [(b"retry-after", str(max(1, math.ceil(retry_after_s))).encode())]
    return ApiError(503, "SERVICE_UNAVAILABLE", message, "UNAVAILABLE", headers=headers)


def deadline_exceeded() -> ApiError:
    """504: the time that the client gave is over."""
    return ApiError(504, "DEADLINE_EXCEEDED", "the service did not answer in time", "DEADLINE_EXCEEDED")


def too_many_streams(limit: int) -> ApiError:
    """429: the caller has to close one before opening another."""
    details = {"class": "stream", "scope": "user", "open_streams": limit, "retry_after_seconds": _STREAM_RETRY_S}
    message = f"{limit} streams are open already"
    headers = [(b"retry-after", b"%d" % _STREAM_RETRY_S)]
    return ApiError(429, "RATE_LIMIT_EXCEEDED", message, "RATE_LIMITED", details, headers)


def internal() -> ApiError:
    """500 that says nothing; the request id finds the log lines."""
    return ApiError(500, "INTERNAL_ERROR", "internal error", "INTERNAL")


def range_not_satisfiable(message: str, size: int) -> ApiError:
    """416 with the size that a valid range must fit (RFC 9110 §15.5.17)."""
    headers = [(b"content-range", b"bytes */%d" % size), (b"accept-ranges", b"bytes")]
    error = ApiError(416, "RANGE_NOT_SATISFIABLE", message, "RANGE_NOT_SATISFIABLE", headers=headers)
    error.details["size_bytes"] = size
    return error


_Code = grpc.StatusCode

BY_CODE: Mapping[grpc.StatusCode, tuple[int, str, str]] = {
    _Code.INVALID_ARGUMENT: (422, "VALIDATION_ERROR", "VALIDATION_FAILED"),
    _Code.UNAUTHENTICATED: (401, "UNAUTHENTICATED", "CREDENTIAL_INVALID"),
    _Code.PERMISSION_DENIED: (403, "PERMISSION_DENIED", "PERMISSION_DENIED"),
    _Code.NOT_FOUND: (404, "NOT_FOUND", "NOT_FOUND"),
    _Code.ALREADY_EXISTS: (409, "CONFLICT", "ALREADY_EXISTS"),
    _Code.FAILED_PRECONDITION: (409, "CONFLICT", "STATE_CONFLICT"),
    _Code.ABORTED: (409, "CONFLICT", "CONCURRENT_UPDATE"),
    _Code.OUT_OF_RANGE: (422, "VALIDATION_ERROR", "VALIDATION_FAILED"),
    _Code.RESOURCE_EXHAUSTED: (429, "RATE_LIMIT_EXCEEDED", "RATE_LIMITED"),
    _Code.UNAVAILABLE: (503, "SERVICE_UNAVAILABLE", "UNAVAILABLE"),
    _Code.DEADLINE_EXCEEDED: (504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
    _Code.UNIMPLEMENTED: (501, "NOT_IMPLEMENTED", "METHOD_NOT_FOUND"),
    # We cancel only when our own client has gone, and then nobody reads this. Otherwise the server went away.
    _Code.CANCELLED: (503, "SERVICE_UNAVAILABLE", "UNAVAILABLE"),
}
"""gRPC code → HTTP status, error_code and the reason when the backend gave none. Other codes are a 500."""

BY_REASON: Mapping[str, tuple[int, str]] = {
    "MALFORMED_REQUEST": (400, "MALFORMED_REQUEST"),
    "POSITION_EXPIRED": (410, "POSITION_EXPIRED"),
    "RANGE_NOT_SATISFIABLE": (416, "RANGE_NOT_SATISFIABLE"),
    "REQUEST_TOO_LARGE": (413, "REQUEST_TOO_LARGE"),
    "QUOTA_EXHAUSTED": (429, "QUOTA_EXHAUSTED"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "UNSUPPORTED_MEDIA_TYPE"),
    "MALWARE_FOUND": (422, "MALWARE_FOUND"),
    "REQUEST_TOO_SLOW": (408, "REQUEST_TIMEOUT"),
    "PRECONDITION_FAILED": (412, "PRECONDITION_FAILED"),
}
"""Reasons that are more precise than their code."""

_OWN_WORDS = {
    503: "the service is not available at the moment",
    504: "the service did not answer in time",
}


def from_rpc(error: grpc.aio.AioRpcError) -> ApiError:
    """Translate a failed call by the two tables."""
    found = _Details()
    for detail in _rich_status(error).details:
        with contextlib.suppress(DecodeError):
            found.add(detail)
    http_status, error_code, reason = BY_CODE.get(error.code(), (500, "INTERNAL_ERROR", "INTERNAL"))
    message = error.details() or ""
    if found.info is not None:
        reason = found.info.reason
        http_status, error_code = BY_REASON.get(reason, (http_status, error_code))
    elif http_status >= 500 or not message:
        message = _OWN_WORDS.get(http_status, "internal error" if http_status >= 500 else error_code.lower())
    if http_status == 401:
        return unauthenticated(reason, message)
    metadata = dict(found.info.metadata) if found.info is not None else {}
    result = ApiError(http_status, error_code, message, reason, {**metadata, **found.extras})
    if found.violations:
        result.details["violations"] = found.violations
    if http_status in (429, 503):
        delay_s = DEFAULT_RETRY_AFTER_S if found.retry_after_s is None else found.retry_after_s
        seconds = max(1, math.ceil(delay_s))
        result.headers.append((b"retry-after", str(seconds).encode()))
        result.details["retry_after_seconds"] = seconds
    return result


def _rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                return status_pb2.Status.FromString(value)
    return status_pb2.Status()


@dataclass(slots=True)
class _Details:
    """What the details of a status say."""

    info: error_details_pb2.ErrorInfo | None = None
    violations: list[dict[str, str]] = field(default_factory=list)
    retry_after_s: float | None = None
    extras: dict[str, Any] = field(default_factory=dict)

    def add(self, detail: any_pb2.Any) -> None:
        """Take one detail in. Raises DecodeError."""
        match detail.TypeName():
            case "google.rpc.ErrorInfo":
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                self.info = info if info.domain == DOMAIN else self.info
            case "google.rpc.BadRequest":
                bad = error_details_pb2.BadRequest.FromString(detail.value)
                self.violations += [{"field": v.field, "message": v.description} for v in bad.field_violations]
            case "google.rpc.RetryInfo":
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                self.retry_after_s = delay.seconds + delay.nanos / 1e9
            case other:
                self.extras |= _own_detail(other, detail.value)


def _own_detail(type_name: str, value: bytes) -> dict[str, Any]:
    """A message of ours in the details, such as the `JobProgress` to go on from, under its snake_case name."""
    if not type_name.startswith(DOMAIN + "."):
        return {}
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(type_name)
    except KeyError:
        return {}
    message = message_factory.GetMessageClass(descriptor).FromString(value)
    return {snake_case(descriptor.name): EncoderSet().message(descriptor)(message)}
