"""`TokenService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api import codec
from services.auth.api.context import Context
from services.auth.application.tokens import Tokens
from services.auth.domain.errors import InvalidValue
from services.auth.domain.tokens import InternalToken
from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc


class TokenServicer(token_service_pb2_grpc.TokenServiceServicer):
    """`t2m.auth.v1.TokenService`."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def ExchangeCredential(
        self, request: token_service_pb2.ExchangeCredentialRequest, context: Context
    ) -> token_service_pb2.ExchangeCredentialResponse:
        """An internal token for an API key or an access token."""
        internal = await self._exchange(request)
        return token_service_pb2.ExchangeCredentialResponse(
            internal_token=internal.token,
            expires_at=codec.encode_time(internal.expires_at),
            user_id=internal.user_id,
            role=codec.encode_role(internal.role),
        )

    async def IssueServiceToken(
        self, request: token_service_pb2.IssueServiceTokenRequest, context: Context
    ) -> token_service_pb2.IssueServiceTokenResponse:
        """A service's own token."""
        token, ends = self._tokens.issue_service_token(request.service_id, request.service_secret)
        return token_service_pb2.IssueServiceTokenResponse(token=token, expires_at=codec.encode_time(ends))

    async def GetJwks(
        self, request: token_service_pb2.GetJwksRequest, context: Context
    ) -> token_service_pb2.GetJwksResponse:
        """The public keys."""
        return token_service_pb2.GetJwksResponse(jwks_json=self._tokens.jwks_json())

    async def _exchange(self, request: token_service_pb2.ExchangeCredentialRequest) -> InternalToken:
        match request.WhichOneof("credential"):
            case "api_key":
                return await self._tokens.exchange_api_key(request.api_key)
            case "access_token":
                return await self._tokens.exchange_access_token(request.access_token)
            case _:
                raise InvalidValue([("credential", "must be an API key or an access token")])
