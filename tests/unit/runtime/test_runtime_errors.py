"""What exceptions become: by table, by nearest base, by what they carry, and when nobody mapped them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import kombu.exceptions
import pytest
import redis.exceptions
import sqlalchemy.exc
import structlog
from google.rpc import error_details_pb2, status_pb2

from services.runtime.errors import (
    DETAILS_KEY,
    ErrorSpec,
    ErrorTable,
    ServiceError,
    rpc_error_details,
    status_from_exception,
)
from t2m.common.v1.error_reason_pb2 import ErrorReason


class BaseProblemError(Exception):
    """Mapped."""


class SpecialProblemError(BaseProblemError):
    """Mapped by its base."""


class OtherProblemError(BaseProblemError):
    """Mapped itself."""


TABLE = ErrorTable(
    {
        BaseProblemError: ErrorSpec(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT),
        OtherProblemError: ErrorSpec(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
    }
)


def downstream(code: grpc.StatusCode, trailers: Any = ()) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*trailers)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details="secret detail")


def database_error(sqlstate: str, *, invalidated: bool = False) -> sqlalchemy.exc.DBAPIError:
    original = asyncpg.PostgresError("postgres says no")
    original.sqlstate = sqlstate
    return sqlalchemy.exc.DBAPIError("SELECT 1", {}, original, connection_invalidated=invalidated)


CODE = grpc.StatusCode
CASES: list[tuple[BaseException, grpc.StatusCode, str]] = [
    (BaseProblemError("x"), CODE.FAILED_PRECONDITION, "STATE_CONFLICT"),
    (SpecialProblemError("x"), CODE.FAILED_PRECONDITION, "STATE_CONFLICT"),
    (OtherProblemError("x"), CODE.NOT_FOUND, "NOT_FOUND"),
    (ServiceError(CODE.ABORTED, ErrorReason.ERROR_REASON_CONCURRENT_UPDATE, "x"), CODE.ABORTED, "CONCURRENT_UPDATE"),
    (KeyError("x"), CODE.INTERNAL, "INTERNAL"),
    (FileNotFoundError(2, "x", "/a/path"), CODE.INTERNAL, "INTERNAL"),
    (ConnectionResetError("x"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (TimeoutError(), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (OSError(113, "No route to host"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (redis.exceptions.ConnectionError("x"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (redis.exceptions.BusyLoadingError("x"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (redis.exceptions.TimeoutError("x"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (redis.exceptions.ResponseError("x"), CODE.INTERNAL, "INTERNAL"),
    (kombu.exceptions.OperationalError("x"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (asyncpg.CannotConnectNowError("x"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (asyncpg.InterfaceError("connection is closed"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (asyncpg.UniqueViolationError("x"), CODE.INTERNAL, "INTERNAL"),
    (sqlalchemy.exc.TimeoutError("pool"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (database_error("08006"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (database_error("57P01"), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (database_error("42601"), CODE.INTERNAL, "INTERNAL"),
    (database_error("42601", invalidated=True), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (downstream(CODE.UNAVAILABLE), CODE.UNAVAILABLE, "UNAVAILABLE"),
    (downstream(CODE.DEADLINE_EXCEEDED), CODE.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    (downstream(CODE.NOT_FOUND), CODE.INTERNAL, "INTERNAL"),
]


def names(case: Any) -> str:
    return f"{type(case).__name__}" if isinstance(case, BaseException) else ""


@pytest.mark.parametrize(("exc", "code", "reason"), CASES, ids=names)
def test_code_and_reason(exc: BaseException, code: grpc.StatusCode, reason: str) -> None:
    status = status_from_exception(exc, TABLE)
    assert status.code == code.value[0]
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("t2m", reason)
    retries = [detail for detail in status.details if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)]
    assert bool(retries) is (code is CODE.UNAVAILABLE)


@pytest.mark.parametrize("exc", [KeyError("secret detail"), downstream(CODE.NOT_FOUND)], ids=names)
def test_a_fault_shows_no_detail_and_is_logged(exc: BaseException) -> None:
    with structlog.testing.capture_logs() as logs:
        status = status_from_exception(exc, ErrorTable())
    assert "secret" not in str(status)
    assert logs[0]["exc_info"] is exc


def test_a_table_may_map_downstream_failures() -> None:
    table = ErrorTable({grpc.aio.AioRpcError: ErrorSpec(CODE.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND)})
    assert status_from_exception(downstream(CODE.NOT_FOUND), table).code == CODE.NOT_FOUND.value[0]


def as_received(status: status_pb2.Status, code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata((DETAILS_KEY, status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=status.message)


def test_what_an_exception_carries_comes_back_on_the_client() -> None:
    error = BaseProblemError("no credits")
    error.field_violations = [("a.b[0]", "is wrong")]  # type: ignore[attr-defined]
    error.retry_after = timedelta(seconds=90, milliseconds=500)  # type: ignore[attr-defined]
    error.metadata = {"needed": "3"}  # type: ignore[attr-defined]
    failure = rpc_error_details(as_received(status_from_exception(error, TABLE), CODE.FAILED_PRECONDITION))
    assert failure.reason == "STATE_CONFLICT"
    assert failure.message == "no credits"
    assert failure.violations == (("a.b[0]", "is wrong"),)
    assert failure.retry_after == timedelta(seconds=90, milliseconds=500)
    assert failure.metadata == {"needed": "3"}


@pytest.mark.parametrize("trailers", [(), ((DETAILS_KEY, b"\xff\xff"),), (("x", "y"),)])
def test_answers_that_are_not_ours_are_read_without_details(trailers: Any) -> None:
    failure = rpc_error_details(downstream(CODE.UNAVAILABLE, trailers))
    assert (failure.code, failure.reason, failure.violations) == (CODE.UNAVAILABLE, "", ())
