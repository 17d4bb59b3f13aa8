"""Credits over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import grpc

from services.job.application.neighbours import CreditsAway, CreditsRefused
from services.runtime.errors import rpc_error_details
from t2m.auth.v1 import credit_service_pb2 as pb
from t2m.auth.v1 import credit_service_pb2_grpc

_REFUSALS = frozenset(
    {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
)


class GrpcCredits:
    """The `Credits` over `t2m.auth.v1.CreditService`."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float = 5.0) -> None:
        self._stub: Any = credit_service_pb2_grpc.CreditServiceStub(channel)
        self._timeout_s = timeout_s

    async def reserve(self, owner_id: str, job_id: str, amount: int) -> None:
        """Set credits aside."""
        request = pb.ReserveCreditsRequest(owner_id=owner_id, job_id=job_id, amount=amount)
        await _answered(self._stub.ReserveCredits(request, timeout=self._timeout_s))

    async def confirm(self, job_id: str) -> None:
        """Keep a reservation."""
        request = pb.ConfirmReservationRequest(job_id=job_id)
        await _answered(self._stub.ConfirmReservation(request, timeout=self._timeout_s))

    async def settle(self, job_id: str) -> None:
        """Spend a reservation."""
        request = pb.SettleReservationRequest(job_id=job_id)
        await _answered(self._stub.SettleReservation(request, timeout=self._timeout_s))

    async def release(self, job_id: str) -> None:
        """Give a reservation back."""
        request = pb.ReleaseReservationRequest(job_id=job_id)
        await _answered(self._stub.ReleaseReservation(request, timeout=self._timeout_s))


async def _answered(call: Awaitable[Any]) -> None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        failure = rpc_error_details(error)
        if failure.code in _REFUSALS:
            raise CreditsRefused(failure.message) from error
        raise CreditsAway(f"{error.code().name}: {error.details()}") from error
