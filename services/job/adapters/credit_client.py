"""Credits over gRPC: what several orders ask for at the same time is one call."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

import grpc

from services.job.application.neighbours import CreditsAway, CreditsRefused
from services.runtime.errors import rpc_error_details
from services.runtime.grouping import Grouped
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
_LINGER_S = 0.03
"""Orders that come in crowds wait so long for each other. From here on they go together, through auth, the database and
the audit trail: with 32 of them on their way that halves what each of them costs.
"""
_REFUSED = frozenset(code.value[0] for code in _REFUSALS)


class _NotServed(CreditsAway):
    """auth is older than the call; it serves the one for a single job."""


def _was_refused(error: Exception) -> bool:
    """Whether auth refused a whole call: it did nothing, and it may be the fault of one request in it."""
    return isinstance(error, CreditsRefused | _NotServed)


class GrpcCredits:
    """The `Credits` over `t2m.auth.v1.CreditService`."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float = 5.0) -> None:
        self._stub: Any = credit_service_pb2_grpc.CreditServiceStub(channel)
        self._timeout_s = timeout_s
        self._reserving: Grouped[pb.ReserveCreditsRequest, None] = Grouped(
            self._reserve, apart=_was_refused, linger_s=_LINGER_S
        )
        self._confirming: Grouped[str, None] = Grouped(self._confirm, apart=_was_refused)

    async def reserve(self, owner_id: str, job_id: str, amount: int) -> None:
        """Set credits aside."""
        await self._reserving.do(pb.ReserveCreditsRequest(owner_id=owner_id, job_id=job_id, amount=amount))

    async def confirm(self, job_id: str) -> None:
        """Keep a reservation."""
        await self._confirming.do(job_id)

    async def _reserve(self, requests: Sequence[pb.ReserveCreditsRequest]) -> list[Exception | None]:
        if len(requests) == 1:
            await _answered(self._stub.ReserveCredits(requests[0], timeout=self._timeout_s))
            return [None]
        batch = pb.BatchReserveCreditsRequest(requests=requests)
        answer = await _answered(self._stub.BatchReserveCredits(batch, timeout=self._timeout_s))
        return _outcomes(answer.outcomes)

    async def _confirm(self, job_ids: Sequence[str]) -> list[Exception | None]:
        if len(job_ids) == 1:
            request = pb.ConfirmReservationRequest(job_id=job_ids[0])
            await _answered(self._stub.ConfirmReservation(request, timeout=self._timeout_s))
            return [None]
        batch = pb.BatchConfirmReservationsRequest(job_ids=job_ids)
        answer = await _answered(self._stub.BatchConfirmReservations(batch, timeout=self._timeout_s))
        return _outcomes(answer.outcomes)

    async def settle(self, job_id: str) -> None:
        """Spend a reservation."""
        request = pb.SettleReservationRequest(job_id=job_id)
        await _answered(self._stub.SettleReservation(request, timeout=self._timeout_s))

    async def release(self, job_id: str) -> None:
        """Give a reservation back."""
        request = pb.ReleaseReservationRequest(job_id=job_id)
        await _answered(self._stub.ReleaseReservation(request, timeout=self._timeout_s))


async def _answered(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        failure = rpc_error_details(error)
        if failure.code in _REFUSALS:
            raise CreditsRefused(failure.message) from error
        if failure.code is grpc.StatusCode.UNIMPLEMENTED:
            raise _NotServed(f"{error.code().name}: {error.details()}") from error
        raise CreditsAway(f"{error.code().name}: {error.details()}") from error


def _outcomes(outcomes: Iterable[pb.ReservationOutcome]) -> list[Exception | None]:
    return [_refusal(each.refusal) if each.HasField("refusal") else None for each in outcomes]


def _refusal(refusal: pb.ReservationRefusal) -> Exception:
    if refusal.code in _REFUSED:
        return CreditsRefused(refusal.message)
    return CreditsAway(refusal.message)
