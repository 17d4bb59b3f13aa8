"""`CreditService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api import codec
from services.auth.api.context import Context
from services.auth.api.errors import TABLE
from services.auth.application.credits import Balance, Credits, Wish
from services.auth.domain.credits import Reservation, ReservationState
from services.auth.domain.errors import AuthError
from services.runtime.errors import status_from_exception
from services.runtime.identity import current_principal
from t2m.auth.v1 import credit_service_pb2 as pb
from t2m.auth.v1 import credit_service_pb2_grpc

_STATES = {
    ReservationState.RESERVED: pb.CREDIT_RESERVATION_STATE_RESERVED,
    ReservationState.CONFIRMED: pb.CREDIT_RESERVATION_STATE_CONFIRMED,
    ReservationState.SETTLED: pb.CREDIT_RESERVATION_STATE_SETTLED,
    ReservationState.RELEASED: pb.CREDIT_RESERVATION_STATE_RELEASED,
    ReservationState.REFUNDED: pb.CREDIT_RESERVATION_STATE_REFUNDED,
}


class CreditServicer(credit_service_pb2_grpc.CreditServiceServicer):
    """`t2m.auth.v1.CreditService`."""

    def __init__(self, credits: Credits) -> None:  # noqa: A002 - that is what they are
        self._credits = credits

    async def ReserveCredits(self, request: pb.ReserveCreditsRequest, context: Context) -> pb.ReserveCreditsResponse:
        """Set credits aside."""
        made = await self._credits.reserve(request.owner_id, request.job_id.lower(), request.amount)
        return pb.ReserveCreditsResponse(reservation=_reservation(made))

    async def BatchReserveCredits(
        self, request: pb.BatchReserveCreditsRequest, context: Context
    ) -> pb.BatchReserveCreditsResponse:
        """Set credits aside for several jobs."""
        wishes = [Wish(each.owner_id, each.job_id.lower(), each.amount) for each in request.requests]
        outcomes = await self._credits.reserve_all(wishes)
        return pb.BatchReserveCreditsResponse(outcomes=[_outcome(each) for each in outcomes])

    async def BatchConfirmReservations(
        self, request: pb.BatchConfirmReservationsRequest, context: Context
    ) -> pb.BatchConfirmReservationsResponse:
        """Keep several reservations."""
        outcomes = await self._credits.confirm_all([job_id.lower() for job_id in request.job_ids])
        return pb.BatchConfirmReservationsResponse(outcomes=[_outcome(each) for each in outcomes])

    async def ConfirmReservation(
        self, request: pb.ConfirmReservationRequest, context: Context
    ) -> pb.ConfirmReservationResponse:
        """Keep a reservation."""
        kept = await self._credits.confirm(request.job_id.lower())
        return pb.ConfirmReservationResponse(reservation=_reservation(kept))

    async def SettleReservation(
        self, request: pb.SettleReservationRequest, context: Context
    ) -> pb.SettleReservationResponse:
        """Spend a reservation."""
        spent = await self._credits.settle(request.job_id.lower())
        return pb.SettleReservationResponse(reservation=_reservation(spent))

    async def ReleaseReservation(
        self, request: pb.ReleaseReservationRequest, context: Context
    ) -> pb.ReleaseReservationResponse:
        """Give a reservation back."""
        await self._credits.release(request.job_id.lower())
        return pb.ReleaseReservationResponse()

    async def RefundReservation(
        self, request: pb.RefundReservationRequest, context: Context
    ) -> pb.RefundReservationResponse:
        """Give back what was spent."""
        refunded = await self._credits.refund(request.job_id.lower())
        return pb.RefundReservationResponse(reservation=_reservation(refunded))

    async def GetCreditBalance(
        self, request: pb.GetCreditBalanceRequest, context: Context
    ) -> pb.GetCreditBalanceResponse:
        """The caller's credits."""
        return pb.GetCreditBalanceResponse(balance=_balance(await self._credits.balance(current_principal().subject)))

    async def GrantCredits(self, request: pb.GrantCreditsRequest, context: Context) -> pb.GrantCreditsResponse:
        """Add credits, or take them away."""
        balance = await self._credits.grant(request.user_id, request.amount, request.reason, request.request_id)
        return pb.GrantCreditsResponse(balance=_balance(balance))


def _reservation(source: Reservation) -> pb.CreditReservation:
    return pb.CreditReservation(
        job_id=source.job_id,
        owner_id=source.user_id,
        amount=source.amount,
        state=_STATES[source.state],
        created_at=codec.encode_time(source.created_at),
        expires_at=codec.encode_time(source.expires_at) if source.expires_at else None,
    )


def _outcome(source: Reservation | AuthError) -> pb.ReservationOutcome:
    if isinstance(source, AuthError):
        status = status_from_exception(source, TABLE)
        return pb.ReservationOutcome(refusal=pb.ReservationRefusal(code=status.code, message=status.message))
    return pb.ReservationOutcome(reservation=_reservation(source))


def _balance(source: Balance) -> pb.CreditBalance:
    return pb.CreditBalance(
        available=source.available,
        reserved=source.reserved,
        spent=source.spent,
        metered=source.metered,
        plan=source.plan,
    )
