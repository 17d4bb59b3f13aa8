"""`WebhookService`: decode, use case, encode."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from services.job.api import webhook_codec as codec
from services.job.api.codec import DEFAULT_PAGE, canonical_id
from services.job.application.webhooks.endpoints import Webhooks
from services.runtime.identity import Role, current_principal
from t2m.job.v1 import webhook_service_pb2 as pb
from t2m.job.v1 import webhook_service_pb2_grpc

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


def _caller() -> str:
    return current_principal().subject


def _reader() -> str | None:
    """Whose endpoints the caller may look at: None, everybody's, for an admin. Secrets and changes are the owner's."""
    return None if current_principal().role is Role.ADMIN else _caller()


class WebhookServicer(webhook_service_pb2_grpc.WebhookServiceServicer):
    """Where results are announced. Everything is the caller's own, an admin's too."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhookEndpoint(
        self, request: pb.CreateWebhookEndpointRequest, context: Context
    ) -> pb.CreateWebhookEndpointResponse:
        """Add an endpoint."""
        events = codec.events(request.events)
        endpoint, secret = await self._webhooks.create(_caller(), request.url, events, request.description)
        return pb.CreateWebhookEndpointResponse(endpoint=codec.endpoint(endpoint), secret=secret)

    async def GetWebhookEndpoint(
        self, request: pb.GetWebhookEndpointRequest, context: Context
    ) -> pb.GetWebhookEndpointResponse:
        """The endpoint."""
        endpoint = await self._webhooks.get(_reader(), canonical_id(request.endpoint_id))
        return pb.GetWebhookEndpointResponse(endpoint=codec.endpoint(endpoint))

    async def ListWebhookEndpoints(
        self, request: pb.ListWebhookEndpointsRequest, context: Context
    ) -> pb.ListWebhookEndpointsResponse:
        """All of the caller's."""
        endpoints = await self._webhooks.all(_caller())
        return pb.ListWebhookEndpointsResponse(endpoints=[codec.endpoint(endpoint) for endpoint in endpoints])

    async def UpdateWebhookEndpoint(
        self, request: pb.UpdateWebhookEndpointRequest, context: Context
    ) -> pb.UpdateWebhookEndpointResponse:
        """Change an endpoint."""
        endpoint_id = canonical_id(request.endpoint_id)
        endpoint = await self._webhooks.update(_caller(), endpoint_id, codec.change(request))
        return pb.UpdateWebhookEndpointResponse(endpoint=codec.endpoint(endpoint))

    async def DeleteWebhookEndpoint(
        self, request: pb.DeleteWebhookEndpointRequest, context: Context
    ) -> pb.DeleteWebhookEndpointResponse:
        """Remove an endpoint."""
        await self._webhooks.remove(_caller(), canonical_id(request.endpoint_id))
        return pb.DeleteWebhookEndpointResponse()

    async def GetWebhookSecret(
        self, request: pb.GetWebhookSecretRequest, context: Context
    ) -> pb.GetWebhookSecretResponse:
        """What a receiver verifies with."""
        return pb.GetWebhookSecretResponse(
            secret=await self._webhooks.secret(_caller(), canonical_id(request.endpoint_id))
        )

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Context
    ) -> pb.RotateWebhookSecretResponse:
        """Change the secret."""
        endpoint_id = canonical_id(request.endpoint_id)
        endpoint, secret = await self._webhooks.rotate(_caller(), endpoint_id, codec.overlap(request))
        return pb.RotateWebhookSecretResponse(secret=secret, endpoint=codec.endpoint(endpoint))

    async def TestWebhookEndpoint(
        self, request: pb.TestWebhookEndpointRequest, context: Context
    ) -> pb.TestWebhookEndpointResponse:
        """Try an endpoint."""
        delivery = await self._webhooks.test(_caller(), canonical_id(request.endpoint_id))
        return pb.TestWebhookEndpointResponse(delivery=codec.delivery(delivery))

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: Context
    ) -> pb.ListWebhookDeliveriesResponse:
        """A page of the log."""
        deliveries, token = await self._webhooks.deliveries(
            _reader(),
            canonical_id(request.endpoint_id),
            codec.status(request.status),
            request.page_token,
            request.page_size or DEFAULT_PAGE,
        )
        messages = [codec.delivery(delivery) for delivery in deliveries]
        return pb.ListWebhookDeliveriesResponse(deliveries=messages, next_page_token=token)

    async def GetWebhookDelivery(
        self, request: pb.GetWebhookDeliveryRequest, context: Context
    ) -> pb.GetWebhookDeliveryResponse:
        """One message."""
        delivery = await self._webhooks.delivery(_reader(), canonical_id(request.delivery_id))
        return pb.GetWebhookDeliveryResponse(delivery=codec.delivery(delivery))

    async def RedeliverWebhook(
        self, request: pb.RedeliverWebhookRequest, context: Context
    ) -> pb.RedeliverWebhookResponse:
        """Send one again."""
        delivery = await self._webhooks.redeliver(_caller(), canonical_id(request.delivery_id))
        return pb.RedeliverWebhookResponse(delivery=codec.delivery(delivery))
