"""Every error of the domain has its place in the table, and the code that the contract promises."""

from __future__ import annotations

import inspect

import pytest
from grpc import StatusCode

from services.runtime.errors import status_from_exception
from services.storage.api.errors import ERROR_TABLE
from services.storage.domain import errors
from services.storage.domain.errors import StorageError
from t2m.common.v1.error_reason_pb2 import ErrorReason

EXPECTED: dict[type[StorageError], tuple[StatusCode, str]] = {
    errors.InvalidInput: (StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED"),
    errors.ObjectNotFound: (StatusCode.NOT_FOUND, "NOT_FOUND"),
    errors.WriteConflict: (StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT"),
    errors.BytesMismatch: (StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH"),
    errors.BytesLost: (StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH"),
    errors.ObjectTooLarge: (StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
    errors.StorageFull: (StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED"),
    errors.StorageUnavailable: (StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    errors.UploadIncomplete: (StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT"),
    errors.UnsupportedContent: (StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE"),
    errors.MalwareFound: (StatusCode.INVALID_ARGUMENT, "MALWARE_FOUND"),
    errors.ScannerUnavailable: (StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    errors.FileQuotaExceeded: (StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED"),
    errors.WriteTooSlow: (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    errors.WriteSuperseded: (StatusCode.ABORTED, "CONCURRENT_UPDATE"),
    errors.RangeNotSatisfiable: (StatusCode.OUT_OF_RANGE, "RANGE_NOT_SATISFIABLE"),
    errors.TicketInvalid: (StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
    errors.TicketExpired: (StatusCode.UNAUTHENTICATED, "CREDENTIAL_EXPIRED"),
    errors.ServiceOnly: (StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
}


def test_the_table_is_complete() -> None:
    defined = {
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, StorageError) and cls is not StorageError
    }
    assert set(ERROR_TABLE) == set(EXPECTED) == defined


@pytest.mark.parametrize("error", EXPECTED, ids=lambda error: error.__name__)
def test_code_and_reason(error: type[StorageError]) -> None:
    spec = ERROR_TABLE[error]
    name = ErrorReason.Name(spec.reason).removeprefix("ERROR_REASON_")  # type: ignore[arg-type]
    assert (spec.code, name) == EXPECTED[error]


def test_details_travel() -> None:
    status = status_from_exception(errors.InvalidInput([("lifetime", "must be short")]), ERROR_TABLE)
    assert [detail.type_url.rpartition(".")[2] for detail in status.details] == ["ErrorInfo", "BadRequest"]
    status = status_from_exception(errors.StorageUnavailable("away"), ERROR_TABLE)
    assert [detail.type_url.rpartition(".")[2] for detail in status.details] == ["ErrorInfo", "RetryInfo"]
