"""Credits by script: in memory as a port, and over gRPC as auth serves them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import grpc

from services.job.application.neighbours import CreditsAway, CreditsRefused
from t2m.auth.v1 import credit_service_pb2 as pb
from t2m.auth.v1 import credit_service_pb2_grpc


@dataclass
class FakeCredits:
    """`Credits` of which everybody has as many as `left` says; None for no end."""

    left: int | None = None
    away: bool = False
    held: dict[str, int] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)
    settled: dict[str, int] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)

    async def reserve(self, owner_id: str, job_id: str, amount: int) -> None:
        """Set credits aside."""
        self._check()
        if job_id in self.held or job_id in self.settled:
            return
        if self.left is not None:
            if self.left < amount:
                raise CreditsRefused(f"this costs {amount} credits, {self.left} are left")
            self.left -= amount
        self.held[job_id] = amount

    async def confirm(self, job_id: str) -> None:
        """Keep a reservation."""
        self._check()
        if job_id not in self.held and job_id not in self.settled:
            raise CreditsRefused("there is no reservation for this job")
        self.confirmed.add(job_id)

    async def settle(self, job_id: str) -> None:
        """Spend a reservation."""
        self._check()
        if job_id in self.released:
            raise CreditsRefused("the reservation was released")
        if job_id in self.held:
            self.settled[job_id] = self.held.pop(job_id)

    async def release(self, job_id: str) -> None:
        """Give a reservation back."""
        self._check()
        if job_id in self.settled:
            raise CreditsRefused("the reservation was settled")
        amount = self.held.pop(job_id, 0)
        if self.left is not None:
            self.left += amount
        self.released.add(job_id)

    def _check(self) -> None:
        if self.away:
            raise CreditsAway("UNAVAILABLE: gone")


class ScriptedCredits(credit_service_pb2_grpc.CreditServiceServicer):
    """`CreditService` over a `FakeCredits`."""

    def __init__(self) -> None:
        self.accounts = FakeCredits()
        self._changed = asyncio.Condition()

    async def wait_for(self, condition: Any) -> None:
        """Return once the condition holds; looked at after every call."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(condition)

    async def _do(self, context: Any, call: Any, refusal: grpc.StatusCode) -> None:
        try:
            await call
        except CreditsRefused as refused:
            await context.abort(refusal, str(refused))
        except CreditsAway as away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(away))
        async with self._changed:
            self._changed.notify_all()

    async def ReserveCredits(self, request: pb.ReserveCreditsRequest, context: Any) -> pb.ReserveCreditsResponse:
        """Set credits aside."""
        call = self.accounts.reserve(request.owner_id, request.job_id, request.amount)
        await self._do(context, call, grpc.StatusCode.RESOURCE_EXHAUSTED)
        return pb.ReserveCreditsResponse()

    async def ConfirmReservation(
        self, request: pb.ConfirmReservationRequest, context: Any
    ) -> pb.ConfirmReservationResponse:
        """Keep a reservation."""
        await self._do(context, self.accounts.confirm(request.job_id), grpc.StatusCode.NOT_FOUND)
        return pb.ConfirmReservationResponse()

    async def BatchReserveCredits(
        self, request: pb.BatchReserveCreditsRequest, context: Any
    ) -> pb.BatchReserveCreditsResponse:
        """Set credits aside for several jobs."""
        refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
        outcomes = [
            await self._outcome(context, self.accounts.reserve(each.owner_id, each.job_id, each.amount), refusal)
            for each in request.requests
        ]
        return pb.BatchReserveCreditsResponse(outcomes=outcomes)

    async def BatchConfirmReservations(
        self, request: pb.BatchConfirmReservationsRequest, context: Any
    ) -> pb.BatchConfirmReservationsResponse:
        """Keep several reservations."""
        refusal = grpc.StatusCode.NOT_FOUND
        outcomes = [await self._outcome(context, self.accounts.confirm(each), refusal) for each in request.job_ids]
        return pb.BatchConfirmReservationsResponse(outcomes=outcomes)

    async def _outcome(self, context: Any, call: Any, refusal: grpc.StatusCode) -> pb.ReservationOutcome:
        try:
            await call
        except CreditsRefused as refused:
            code: int = refusal.value[0]
            return pb.ReservationOutcome(refusal=pb.ReservationRefusal(code=code, message=str(refused)))
        except CreditsAway as away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(away))
        async with self._changed:
            self._changed.notify_all()
        return pb.ReservationOutcome(reservation=pb.CreditReservation())

    async def SettleReservation(
        self, request: pb.SettleReservationRequest, context: Any
    ) -> pb.SettleReservationResponse:
        """Spend a reservation."""
        await self._do(context, self.accounts.settle(request.job_id), grpc.StatusCode.FAILED_PRECONDITION)
        return pb.SettleReservationResponse()

    async def ReleaseReservation(
        self, request: pb.ReleaseReservationRequest, context: Any
    ) -> pb.ReleaseReservationResponse:
        """Give a reservation back."""
        await self._do(context, self.accounts.release(request.job_id), grpc.StatusCode.FAILED_PRECONDITION)
        return pb.ReleaseReservationResponse()
