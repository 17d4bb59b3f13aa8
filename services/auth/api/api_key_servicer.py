"""`ApiKeyService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api import codec
from services.auth.api.context import Context
from services.auth.application.api_keys import ApiKeys
from services.runtime.identity import current_principal
from t2m.auth.v1 import api_key_service_pb2, api_key_service_pb2_grpc

_PAGE_SIZE = 100


class ApiKeyServicer(api_key_service_pb2_grpc.ApiKeyServiceServicer):
    """`t2m.auth.v1.ApiKeyService`."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    async def CreateApiKey(
        self, request: api_key_service_pb2.CreateApiKeyRequest, context: Context
    ) -> api_key_service_pb2.CreateApiKeyResponse:
        """Make a key of the caller."""
        caller = current_principal()
        ends = codec.decode_time("expires_at", request.expires_at) if request.HasField("expires_at") else None
        key, text = await self._api_keys.create(
            caller.subject, request.name, request.scopes, ends, own_scopes=caller.scopes
        )
        return api_key_service_pb2.CreateApiKeyResponse(api_key=codec.encode_api_key(key), secret=text)

    async def ListApiKeys(
        self, request: api_key_service_pb2.ListApiKeysRequest, context: Context
    ) -> api_key_service_pb2.ListApiKeysResponse:
        """The caller's keys."""
        size = request.page_size or _PAGE_SIZE
        keys, next_page = await self._api_keys.page(current_principal().subject, size, request.page_token)
        return api_key_service_pb2.ListApiKeysResponse(
            api_keys=[codec.encode_api_key(key) for key in keys], next_page_token=next_page
        )

    async def RevokeApiKey(
        self, request: api_key_service_pb2.RevokeApiKeyRequest, context: Context
    ) -> api_key_service_pb2.RevokeApiKeyResponse:
        """End a key of the caller."""
        await self._api_keys.revoke(current_principal().subject, request.api_key_id)
        return api_key_service_pb2.RevokeApiKeyResponse()
