"""Errors as data: how exceptions become a `google.rpc.Status`, and how a caller reads one back.

A domain exception knows nothing of gRPC; its service's `ErrorTable` gives it a code and a reason. It may
carry `field_violations`, `retry_after` and `metadata`, which become `BadRequest`, `RetryInfo` and
`ErrorInfo.metadata`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from t2m.common.v1.error_reason_pb2 import ErrorReason

_VIOLATIONS_BYTES = 4096
"""Of all violations together. The status travels in trailers, and gRPC ends a call whose trailers exceed 8 KiB with
RESOURCE_EXHAUSTED in place of what they say."""
_LONGEST_TEXT = 300
_LONGEST_MESSAGE = 500
OMITTED = "violations_omitted"
"""Key in the metadata of `ErrorInfo`: how many violations are not listed."""
DOMAIN = "t2m"
DETAILS_KEY = "grpc-status-details-bin"
DEFAULT_RETRY_AFTER = timedelta(seconds=1)
_REASON_PREFIX = "ERROR_REASON_"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """How an exception type looks on the wire; `reason` is a value of `ErrorReason`."""

    code: grpc.StatusCode
    reason: int


class ErrorTable(dict[type[BaseException], ErrorSpec]):
    """A service's exception types and what each becomes; a subclass inherits its nearest base's entry."""

    def lookup(self, exception: type[BaseException]) -> ErrorSpec | None:
        """The entry of the type or of its nearest base by method resolution order."""
        for base in exception.__mro__:
            if (spec := self.get(base)) is not None:
                return spec
        return None


class ServiceError(Exception):
    """An error raised by plumbing, which already knows its code and reason."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: int,
        message: str,
        *,
        field_violations: Sequence[tuple[str, str]] = (),
        retry_after: timedelta | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.field_violations = field_violations
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})


def unavailable(message: str, retry_after: timedelta = DEFAULT_RETRY_AFTER) -> ServiceError:
    """The error for a part that is away for the moment."""
    return ServiceError(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE, message, retry_after=retry_after
    )


def reason_name(reason: int) -> str:
    """The reason as it travels: the enum value's name without its prefix."""
    return ErrorReason.Name(cast(Any, reason)).removeprefix(_REASON_PREFIX)


def status_from_exception(exc: BaseException, table: ErrorTable) -> status_pb2.Status:
    """The status for an exception; one that nobody mapped is logged and becomes INTERNAL without detail."""
    if isinstance(exc, ServiceError):
        return _status(ErrorSpec(exc.code, exc.reason), str(exc), exc)
    spec = table.lookup(type(exc))
    if spec is not None:
        return _status(spec, str(exc) or reason_name(spec.reason).lower().replace("_", " "), exc)
    if isinstance(exc, grpc.aio.AioRpcError):
        return _status_from_downstream(exc)
    if is_dependency_away(exc):
        _log.warning("dependency away", error=f"{type(exc).__name__}: {exc}")
        spec = ErrorSpec(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE)
        return _status(spec, "a part of the service is away for the moment", None)
    if lost_to_another_transaction(exc):
        _log.warning("given up for a concurrent transaction", error=type(exc).__name__)
        spec = ErrorSpec(grpc.StatusCode.ABORTED, ErrorReason.ERROR_REASON_CONCURRENT_UPDATE)
        return _status(spec, "another call changed the same things at the same time; try again", None)
    _log.error("unhandled exception", exc_info=exc)
    return _internal()


def _internal() -> status_pb2.Status:
    spec = ErrorSpec(grpc.StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL)
    return _status(spec, "internal error", None)


def _status_from_downstream(exc: grpc.aio.AioRpcError) -> status_pb2.Status:
    """UNAVAILABLE and DEADLINE_EXCEEDED stay what they are; any other failure is a fault of this service."""
    failure = rpc_error_details(exc)
    if failure.code is grpc.StatusCode.UNAVAILABLE:
        _log.warning("downstream service away", error=failure.message)
        spec = ErrorSpec(failure.code, ErrorReason.ERROR_REASON_UNAVAILABLE)
        return _status(spec, "a service that is needed is away for the moment", failure)
    if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        spec = ErrorSpec(failure.code, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED)
        return _status(spec, "a service that is needed did not answer in time", None)
    _log.error("unhandled downstream failure", code=failure.code.name, reason=failure.reason, exc_info=exc)
    return _internal()


def _status(spec: ErrorSpec, message: str, source: object) -> status_pb2.Status:
    status = status_pb2.Status(code=spec.code.value[0], message=_shortened(message, _LONGEST_MESSAGE))
    info = error_details_pb2.ErrorInfo(reason=reason_name(spec.reason), domain=DOMAIN)
    metadata = getattr(source, "metadata", None)
    if isinstance(metadata, Mapping):
        info.metadata.update({str(key): str(value) for key, value in metadata.items()})
    bad = _bad_request(getattr(source, "field_violations", None) or ())
    if bad.omitted:
        info.metadata[OMITTED] = str(bad.omitted)
    status.details.add().Pack(info)
    if bad.message.field_violations:
        status.details.add().Pack(bad.message)
    retry_after = getattr(source, "retry_after", None)
    if retry_after is None and spec.code is grpc.StatusCode.UNAVAILABLE:
        retry_after = DEFAULT_RETRY_AFTER
    if retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromTimedelta(retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


@dataclass(frozen=True, slots=True)
class _BadRequest:
    """The violations that fit, and how many more there are."""

    message: error_details_pb2.BadRequest
    omitted: int


def _bad_request(violations: Sequence[tuple[str, str]]) -> _BadRequest:
    message, size = error_details_pb2.BadRequest(), 0
    for path, description in violations:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_shortened(path, _LONGEST_TEXT), description=_shortened(description, _LONGEST_TEXT)
        )
        size += violation.ByteSize()
        if size > _VIOLATIONS_BYTES:
            break
        message.field_violations.append(violation)
    return _BadRequest(message, len(violations) - len(message.field_violations))


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def is_dependency_away(exc: BaseException) -> bool:
    """Whether the exception says that a database or Redis cannot be reached right now."""
    if isinstance(exc, ConnectionError | TimeoutError):
        return True
    module = type(exc).__module__.partition(".")[0]
    match module:
        case "sqlalchemy":
            return _sqlalchemy_away(exc)
        case "asyncpg":
            return _postgres_away(exc)
        case "redis":
            # Its own types, not the built-in ones; BusyLoadingError is one of them.
            return any(base.__name__ in {"ConnectionError", "TimeoutError"} for base in type(exc).__mro__)
        case "kombu":  # Celery's transport wraps what its broker raised
            return type(exc).__name__ == "OperationalError"
        case _:
            # Name resolution and unreachable hosts surface as plain OSError while connecting.
            return isinstance(exc, OSError) and type(exc).__name__ in {"OSError", "gaierror"} and not exc.filename


def _sqlalchemy_away(exc: BaseException) -> bool:
    if type(exc).__name__ == "TimeoutError":  # the pool had no free connection in time
        return True
    if getattr(exc, "connection_invalidated", False):
        return True
    original = getattr(exc, "orig", None)
    cause = original.__cause__ if original is not None else None
    return any(_postgres_away(candidate) for candidate in (original, cause) if candidate is not None)


def lost_to_another_transaction(exc: BaseException) -> bool:
    """Whether Postgres undid a transaction because of a concurrent one (deadlock, serialization): a repeat may work."""
    original = getattr(exc, "orig", None)
    causes = (original, original.__cause__) if original is not None else (exc,)
    return any(getattr(cause, "sqlstate", None) in {"40001", "40P01"} for cause in causes)


def _postgres_away(exc: BaseException) -> bool:
    """Connection failures (class 08), too many connections, and shutdown, crash or start-up of the server."""
    sqlstate = str(getattr(exc, "sqlstate", None) or "")
    if sqlstate.startswith("08") or sqlstate in {"53300", "57P01", "57P02", "57P03"}:
        return True
    return type(exc).__name__ == "InterfaceError" and "closed" in str(exc)


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """A failed call to another service, read from its status details."""

    code: grpc.StatusCode
    reason: str
    """Name of the `ErrorReason` without its prefix; empty when the answer did not come from a t2m service."""
    message: str
    violations: tuple[tuple[str, str], ...] = ()
    retry_after: timedelta | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def rpc_error_details(err: grpc.aio.AioRpcError) -> RpcFailure:
    """The reason, violations and retry delay that a failed call carries; bad details are ignored."""
    failure = RpcFailure(err.code(), "", err.details() or "")
    for key, value in err.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return _with_details(failure, status_pb2.Status.FromString(value).details)
            except DecodeError:  # somebody else's trailer
                return failure
    return failure


def _with_details(failure: RpcFailure, details: Iterable[any_pb2.Any]) -> RpcFailure:
    for detail in details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            if info.domain == DOMAIN:
                failure = replace(failure, reason=info.reason, metadata=dict(info.metadata))
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            violations = tuple((violation.field, violation.description) for violation in bad.field_violations)
            failure = replace(failure, violations=violations)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            failure = replace(failure, retry_after=delay.ToTimedelta())
    return failure
