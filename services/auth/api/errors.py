"""How the errors of this domain look on the wire."""

from __future__ import annotations

from grpc import StatusCode

from services.auth.domain import errors
from services.runtime.errors import ErrorSpec, ErrorTable
from t2m.common.v1.error_reason_pb2 import ErrorReason

TABLE = ErrorTable(
    {
        errors.InvalidValue: ErrorSpec(StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_VALIDATION_FAILED),
        errors.EmailTaken: ErrorSpec(StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_ALREADY_EXISTS),
        errors.UserNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.ApiKeyNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.CreditsExhausted: ErrorSpec(StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXHAUSTED),
        errors.ReservationConflict: ErrorSpec(StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_ALREADY_EXISTS),
        errors.ReservationNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.ReservationEnded: ErrorSpec(StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT),
        errors.GrantConflict: ErrorSpec(StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT),
        errors.LastAdmin: ErrorSpec(StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT),
        errors.ScopeBeyondCaller: ErrorSpec(StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_PERMISSION_DENIED),
        errors.CredentialInvalid: ErrorSpec(StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIAL_INVALID),
        errors.CredentialExpired: ErrorSpec(StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIAL_EXPIRED),
        errors.FollowerTooSlow: ErrorSpec(StatusCode.ABORTED, ErrorReason.ERROR_REASON_READER_TOO_SLOW),
    }
)
