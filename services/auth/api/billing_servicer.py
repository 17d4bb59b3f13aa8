"""`BillingService`: what providers tell."""

from __future__ import annotations

from services.auth.api.context import Context
from services.auth.application.payments import Payments
from t2m.auth.v1 import billing_service_pb2 as pb
from t2m.auth.v1 import billing_service_pb2_grpc


class BillingServicer(billing_service_pb2_grpc.BillingServiceServicer):
    """`t2m.auth.v1.BillingService`."""

    def __init__(self, payments: Payments) -> None:
        self._payments = payments

    async def ReceiveStripeEvent(
        self, request: pb.ReceiveStripeEventRequest, context: Context
    ) -> pb.ReceiveStripeEventResponse:
        """Take an event."""
        await self._payments.receive(request.body.data, request.signature)
        return pb.ReceiveStripeEventResponse()
