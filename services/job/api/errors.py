"""What each error of the domain is on the wire."""

from __future__ import annotations

import grpc

from services.job.domain import errors
from services.runtime.errors import ErrorSpec, ErrorTable
from t2m.common.v1.error_reason_pb2 import ErrorReason

TABLE = ErrorTable(
    {
        errors.JobNotFound: ErrorSpec(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.ArtifactNotFound: ErrorSpec(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.StateConflict: ErrorSpec(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT),
        errors.FieldsRefused: ErrorSpec(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_VALIDATION_FAILED),
        errors.Unsupported: ErrorSpec(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_UNSUPPORTED),
        errors.IdempotencyConflict: ErrorSpec(
            grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT
        ),
        errors.PositionBeyondEnd: ErrorSpec(grpc.StatusCode.OUT_OF_RANGE, ErrorReason.ERROR_REASON_POSITION_EXPIRED),
        errors.PositionExpired: ErrorSpec(grpc.StatusCode.OUT_OF_RANGE, ErrorReason.ERROR_REASON_POSITION_EXPIRED),
        errors.WebhookNotFound: ErrorSpec(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.WebhookExists: ErrorSpec(grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_ALREADY_EXISTS),
        errors.CreditsExhausted: ErrorSpec(
            grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXHAUSTED
        ),
        errors.RendersUnavailable: ErrorSpec(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE),
        errors.CreditsUnavailable: ErrorSpec(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE),
        errors.ExportRunning: ErrorSpec(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_RATE_LIMITED),
        errors.BatchNotFound: ErrorSpec(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.QuotaExhausted: ErrorSpec(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXHAUSTED),
        errors.WebhookLimitReached: ErrorSpec(
            grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_QUOTA_EXHAUSTED
        ),
    }
)
"""Every type in `domain/errors.py` has its entry; a test compares the two."""
