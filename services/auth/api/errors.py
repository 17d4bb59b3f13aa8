"""How the errors of this domain look on the wire."""

from __future__ import annotations

from grpc import StatusCode

from services.auth.domain import billing_errors, errors
from services.runtime.errors import ErrorSpec, ErrorTable
from t2m.common.v1.error_reason_pb2 import ErrorReason

TABLE = ErrorTable(
    {
        errors.InvalidValue: ErrorSpec(StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_VALIDATION_FAILED),
        errors.EmailTaken: ErrorSpec(StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_ALREADY_EXISTS),
        errors.TooManyAttempts: ErrorSpec(StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_RATE_LIMITED),
        errors.SessionNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.UserNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.ApiKeyNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.CreditsExhausted: ErrorSpec(StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXHAUSTED),
        errors.ReservationConflict: ErrorSpec(StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_ALREADY_EXISTS),
        errors.ReservationNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.ReservationEnded: ErrorSpec(StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT),
        errors.GrantConflict: ErrorSpec(StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT),
        errors.ErasureByKey: ErrorSpec(StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_PERMISSION_DENIED),
        errors.LoginTooOld: ErrorSpec(StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIAL_EXPIRED),
        errors.ErasureNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        billing_errors.AlreadySubscribed: ErrorSpec(StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_ALREADY_EXISTS),
        billing_errors.SubscriptionNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        billing_errors.SubscriptionUnpaid: ErrorSpec(
            StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT
        ),
        billing_errors.BillingRequestConflict: ErrorSpec(
            StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT
        ),
        billing_errors.ChargeNotFound: ErrorSpec(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        billing_errors.ChargeSettled: ErrorSpec(
            StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT
        ),
        billing_errors.ProviderAway: ErrorSpec(StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE),
        billing_errors.NotRefundable: ErrorSpec(
            StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT
        ),
        billing_errors.BillingEventsNotTaken: ErrorSpec(
            StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT
        ),
        billing_errors.SignatureInvalid: ErrorSpec(
            StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_VALIDATION_FAILED
        ),
        errors.LastAdmin: ErrorSpec(StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT),
        errors.ScopeBeyondCaller: ErrorSpec(StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_PERMISSION_DENIED),
        errors.CredentialInvalid: ErrorSpec(StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIAL_INVALID),
        errors.CredentialExpired: ErrorSpec(StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIAL_EXPIRED),
        errors.TooManyKeys: ErrorSpec(StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXHAUSTED),
        errors.IssuerAway: ErrorSpec(StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE),
        errors.FollowerTooSlow: ErrorSpec(StatusCode.ABORTED, ErrorReason.ERROR_REASON_READER_TOO_SLOW),
    }
)
