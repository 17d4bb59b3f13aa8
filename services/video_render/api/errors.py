"""How the domain's errors look to callers."""

from __future__ import annotations

import grpc

from services.runtime.errors import ErrorSpec, ErrorTable
from services.video_render.domain import errors
from services.video_render.domain.violations import StoryboardInvalid
from t2m.common.v1.error_reason_pb2 import ErrorReason

ERRORS = ErrorTable(
    {
        errors.RenderNotFound: ErrorSpec(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        errors.RenderIdTaken: ErrorSpec(grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT),
        errors.PositionAhead: ErrorSpec(grpc.StatusCode.OUT_OF_RANGE, ErrorReason.ERROR_REASON_POSITION_EXPIRED),
        errors.NotPlanned: ErrorSpec(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STATE_CONFLICT),
        StoryboardInvalid: ErrorSpec(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_VALIDATION_FAILED),
        errors.ConfigurationInvalid: ErrorSpec(
            grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_VALIDATION_FAILED
        ),
    }
)
