"""`SubscriptionService`: decode, use case, encode."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from services.auth.api import billing_codec as codec
from services.auth.api.context import Context
from services.auth.application.subscriptions import Subscriptions
from services.auth.application.usage import Usage
from services.auth.domain.errors import InvalidValue
from services.runtime.identity import current_principal
from t2m.auth.v1 import subscription_service_pb2 as pb
from t2m.auth.v1 import subscription_service_pb2_grpc

_DIGITS_MAX = 18
"""Of an entry's id."""


class SubscriptionServicer(subscription_service_pb2_grpc.SubscriptionServiceServicer):
    """`t2m.auth.v1.SubscriptionService`."""

    def __init__(self, subscriptions: Subscriptions, usage: Usage) -> None:
        self._subscriptions = subscriptions
        self._usage = usage

    async def ListPlans(self, request: pb.ListPlansRequest, context: Context) -> pb.ListPlansResponse:
        """The plans of the deployment."""
        return pb.ListPlansResponse(plans=[codec.encode_plan(plan) for plan in self._subscriptions.plans])

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> pb.SubscribeResponse:
        """Begin a subscription, or pay one."""
        current = await self._subscriptions.subscribe(current_principal().subject, request.plan, request.request_id)
        return pb.SubscribeResponse(current=codec.encode_current(current))

    async def GetSubscription(self, request: pb.GetSubscriptionRequest, context: Context) -> pb.GetSubscriptionResponse:
        """The caller's plan and subscription."""
        current = await self._subscriptions.current(current_principal().subject)
        return pb.GetSubscriptionResponse(current=codec.encode_current(current))

    async def UpgradeSubscription(
        self, request: pb.UpgradeSubscriptionRequest, context: Context
    ) -> pb.UpgradeSubscriptionResponse:
        """Change the plan."""
        current = await self._subscriptions.upgrade(current_principal().subject, request.plan, request.request_id)
        return pb.UpgradeSubscriptionResponse(current=codec.encode_current(current))

    async def CancelSubscription(
        self, request: pb.CancelSubscriptionRequest, context: Context
    ) -> pb.CancelSubscriptionResponse:
        """End it with its period."""
        current = await self._subscriptions.cancel(current_principal().subject, request.request_id)
        return pb.CancelSubscriptionResponse(current=codec.encode_current(current))

    async def ResumeSubscription(
        self, request: pb.ResumeSubscriptionRequest, context: Context
    ) -> pb.ResumeSubscriptionResponse:
        """Take a cancellation back."""
        current = await self._subscriptions.resume(current_principal().subject)
        return pb.ResumeSubscriptionResponse(current=codec.encode_current(current))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        """The caller's credits, day by day."""
        first, last = _day("start_date", request.start_date), _day("end_date", request.end_date)
        days, total = await self._usage.by_day(current_principal().subject, first, last)
        return pb.GetUsageResponse(days=map(codec.encode_usage, days), total=codec.encode_usage(total))

    async def ListLedgerEntries(
        self, request: pb.ListLedgerEntriesRequest, context: Context
    ) -> pb.ListLedgerEntriesResponse:
        """A page of the caller's ledger."""
        size, before = request.page_size or codec.PAGE_DEFAULT, codec.decode_position(request.page_token)
        if before and not (before.isdecimal() and len(before) <= _DIGITS_MAX):
            raise InvalidValue([("page_token", "is not one of ours")])
        found = await self._usage.entries(current_principal().subject, int(before) if before else None, size + 1)
        token = codec.encode_position(str(found[size - 1].entry_id)) if len(found) > size else ""
        return pb.ListLedgerEntriesResponse(entries=map(codec.encode_entry, found[:size]), next_page_token=token)

    async def ListCharges(self, request: pb.ListChargesRequest, context: Context) -> pb.ListChargesResponse:
        """A page of what the caller was asked to pay."""
        size, before = request.page_size or codec.PAGE_DEFAULT, codec.decode_position(request.page_token)
        if before and not _is_uuid(before):
            raise InvalidValue([("page_token", "is not one of ours")])
        found = await self._subscriptions.charges_of(current_principal().subject, before, size + 1)
        token = codec.encode_position(found[size - 1].charge_id) if len(found) > size else ""
        return pb.ListChargesResponse(charges=map(codec.encode_charge, found[:size]), next_page_token=token)


def _day(path: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InvalidValue([(path, "must be a day of the calendar, as YYYY-MM-DD")]) from error


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
