"""What a call that went wrong ends with."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from gateway.h2.frames import ErrorCode
from gateway.h2.headers import Head

Code = grpc.StatusCode

BY_NUMBER: Mapping[int, Code] = {code.value[0]: code for code in Code}

BY_RESET: Mapping[int, Code] = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
}
"""Of a stream that was reset (gRPC's PROTOCOL-HTTP2.md, "Errors"); INTERNAL for all others."""

BY_HTTP: Mapping[int, Code] = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}
"""Of an answer that is not gRPC's (gRPC's http-grpc-status-mapping.md); UNKNOWN for all others."""


def failure(
    code: Code, details: str, trailers: Head | None = None, initial: Head | None = None
) -> grpc.aio.AioRpcError:
    """The error that `grpc.aio` raises for it."""
    return grpc.aio.AioRpcError(
        code,
        grpc.aio.Metadata(*(initial.metadata if initial else ())),
        grpc.aio.Metadata(*(trailers.metadata if trailers else ())),
        details=details,
    )


def of_reset(number: int) -> grpc.aio.AioRpcError:
    """Of a stream that the server has reset."""
    name = ErrorCode(number).name if number in ErrorCode.__members__.values() else f"code {number}"
    return failure(BY_RESET.get(number, Code.INTERNAL), f"the stream was reset: {name}")


def of_trailers(trailers: Head, initial: Head | None) -> grpc.aio.AioRpcError | None:
    """Of an answer that is complete; None when the call succeeded."""
    if trailers.grpc_status == 0:
        return None
    if trailers.grpc_status is not None:
        code = BY_NUMBER.get(trailers.grpc_status, Code.UNKNOWN)
        return failure(code, trailers.grpc_message, trailers, initial)
    if initial is None or initial is trailers:
        return of_foreign(trailers)
    return failure(Code.UNKNOWN, "the answer ended without a grpc-status", trailers, initial)


def of_foreign(head: Head) -> grpc.aio.AioRpcError:
    """Of an answer that does not come from a gRPC server."""
    if head.http_status == 200:
        return failure(Code.UNKNOWN, f"not an answer of gRPC: content-type {head.content_type[:100]!r}", head)
    code = BY_HTTP.get(head.http_status or 0, Code.UNKNOWN)
    return failure(code, f"not an answer of gRPC: HTTP status {head.http_status}", head)
