"""`TokenService`: decode, use case, encode."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

from google.api.httpbody_pb2 import HttpBody

from services.auth.api import codec
from services.auth.api.context import Context
from services.auth.application.revocations import Batch, Revocations
from services.auth.application.tokens import Tokens
from services.auth.domain.errors import InvalidValue
from services.auth.domain.revocation import Revocation, RevocationKind
from services.auth.domain.tokens import InternalToken
from services.runtime.identity import current_drain
from services.runtime.server import until_drained
from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc

_KINDS = {
    RevocationKind.SESSION: token_service_pb2.REVOCATION_KIND_SESSION,
    RevocationKind.API_KEY: token_service_pb2.REVOCATION_KIND_API_KEY,
    RevocationKind.USER: token_service_pb2.REVOCATION_KIND_USER,
}


class TokenServicer(token_service_pb2_grpc.TokenServiceServicer):
    """`t2m.auth.v1.TokenService`."""

    def __init__(self, tokens: Tokens, revocations: Revocations) -> None:
        self._tokens = tokens
        self._revocations = revocations

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
            plan=internal.plan,
            session_id=internal.session_id,
            api_key_id=internal.api_key_id,
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

    async def GetJwksDocument(
        self, request: token_service_pb2.GetJwksDocumentRequest, context: Context
    ) -> token_service_pb2.GetJwksDocumentResponse:
        """The public keys as a file."""
        document = HttpBody(content_type="application/jwk-set+json", data=self._tokens.jwks_json().encode())
        return token_service_pb2.GetJwksDocumentResponse(document=document)

    async def WatchRevocations(
        self, request: token_service_pb2.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[token_service_pb2.WatchRevocationsResponse]:
        """What ends before its tokens do."""
        opened = cast("AsyncGenerator[Batch, None]", until_drained(self._revocations.follow(), current_drain()))
        async with aclosing(opened) as batches:
            async for batch in batches:
                yield token_service_pb2.WatchRevocationsResponse(
                    revocations=[_revocation(each) for each in batch.revocations],
                    snapshot=batch.snapshot,
                    complete=batch.complete,
                    jwks_json=batch.jwks_json,
                )

    async def _exchange(self, request: token_service_pb2.ExchangeCredentialRequest) -> InternalToken:
        match request.WhichOneof("credential"):
            case "api_key":
                return await self._tokens.exchange_api_key(request.api_key)
            case "access_token":
                return await self._tokens.exchange_access_token(request.access_token)
            case _:
                raise InvalidValue([("credential", "must be an API key or an access token")])


def _revocation(source: Revocation) -> token_service_pb2.Revocation:
    return token_service_pb2.Revocation(
        sequence=source.sequence,
        kind=_KINDS[source.kind],
        subject_id=source.subject_id,
        revoked_at=codec.encode_time(source.at),
        expires_at=codec.encode_time(source.until),
    )
