"""What every error of the domain is on the wire."""

from __future__ import annotations

from grpc import StatusCode

from services.runtime.errors import ErrorSpec, ErrorTable
from services.storage.domain import errors
from t2m.common.v1.error_reason_pb2 import ErrorReason

ERROR_TABLE = ErrorTable(
    {
        errors.InvalidInput: ErrorSpec(StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_VALIDATION_FAILED),
        errors.ObjectNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.WriteConflict: ErrorSpec(StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT),
        errors.BytesMismatch: ErrorSpec(StatusCode.DATA_LOSS, ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH),
        errors.BytesLost: ErrorSpec(StatusCode.DATA_LOSS, ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH),
        errors.ObjectTooLarge: ErrorSpec(StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE),
        errors.StorageFull: ErrorSpec(StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXHAUSTED),
        errors.StorageUnavailable: ErrorSpec(StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE),
        errors.UploadIncomplete: ErrorSpec(StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT),
        errors.UnsupportedContent: ErrorSpec(
            StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE
        ),
        errors.MalwareFound: ErrorSpec(StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_MALWARE_FOUND),
        errors.ScannerUnavailable: ErrorSpec(StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE),
        errors.FileQuotaExceeded: ErrorSpec(StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXHAUSTED),
        errors.WriteTooSlow: ErrorSpec(StatusCode.DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED),
        errors.WriteSuperseded: ErrorSpec(StatusCode.ABORTED, ErrorReason.ERROR_REASON_CONCURRENT_UPDATE),
        errors.RangeNotSatisfiable: ErrorSpec(StatusCode.OUT_OF_RANGE, ErrorReason.ERROR_REASON_RANGE_NOT_SATISFIABLE),
        errors.TicketInvalid: ErrorSpec(StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIAL_INVALID),
        errors.TicketExpired: ErrorSpec(StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIAL_EXPIRED),
        errors.ServiceOnly: ErrorSpec(StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_PERMISSION_DENIED),
    }
)
