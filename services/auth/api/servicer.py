"""The four gRPC services of auth: decode, call the use case, encode."""

from __future__ import annotations

from typing import Any

import grpc

from services.auth.api import codec
from services.auth.application.accounts import Accounts
from services.auth.application.api_keys import ApiKeys
from services.auth.application.credits import Credits
from services.auth.application.sessions import Sessions
from services.auth.application.tokens import Tokens
from services.auth.domain.errors import InvalidValue
from services.auth.domain.tokens import InternalToken
from services.runtime.identity import current_principal
from t2m.auth.v1 import (
    api_key_service_pb2,
    api_key_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
    user_service_pb2,
    user_service_pb2_grpc,
)

Context = grpc.aio.ServicerContext[Any, Any]


class UserServicer(user_service_pb2_grpc.UserServiceServicer):
    """`t2m.auth.v1.UserService`."""

    def __init__(self, accounts: Accounts, credit_cases: Credits) -> None:
        self._accounts = accounts
        self._credits = credit_cases

    async def RegisterUser(
        self, request: user_service_pb2.RegisterUserRequest, context: Context
    ) -> user_service_pb2.RegisterUserResponse:
        """Create an account."""
        user = await self._accounts.register(request.email, request.password, request.display_name)
        await self._credits.welcome(user.user_id)
        return user_service_pb2.RegisterUserResponse(user=codec.encode_user(user))

    async def GetProfile(
        self, request: user_service_pb2.GetProfileRequest, context: Context
    ) -> user_service_pb2.GetProfileResponse:
        """The caller's account."""
        user = await self._accounts.profile(current_principal().subject)
        return user_service_pb2.GetProfileResponse(user=codec.encode_user(user))

    async def UpdateUserRole(
        self, request: user_service_pb2.UpdateUserRoleRequest, context: Context
    ) -> user_service_pb2.UpdateUserRoleResponse:
        """Give a user another role."""
        user = await self._accounts.change_role(request.user_id, codec.decode_role(request.role))
        return user_service_pb2.UpdateUserRoleResponse(user=codec.encode_user(user))


class SessionServicer(session_service_pb2_grpc.SessionServiceServicer):
    """`t2m.auth.v1.SessionService`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def Login(
        self, request: session_service_pb2.LoginRequest, context: Context
    ) -> session_service_pb2.LoginResponse:
        """Open a session."""
        tokens = await self._sessions.login(request.email, request.password)
        return session_service_pb2.LoginResponse(tokens=codec.encode_session_tokens(tokens))

    async def Refresh(
        self, request: session_service_pb2.RefreshRequest, context: Context
    ) -> session_service_pb2.RefreshResponse:
        """Go on with a session."""
        tokens = await self._sessions.refresh(request.refresh_token)
        return session_service_pb2.RefreshResponse(tokens=codec.encode_session_tokens(tokens))

    async def Logout(
        self, request: session_service_pb2.LogoutRequest, context: Context
    ) -> session_service_pb2.LogoutResponse:
        """Close a session."""
        await self._sessions.logout(request.refresh_token)
        return session_service_pb2.LogoutResponse()


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
        keys = await self._api_keys.list_of(current_principal().subject)
        return api_key_service_pb2.ListApiKeysResponse(api_keys=[codec.encode_api_key(key) for key in keys])

    async def RevokeApiKey(
        self, request: api_key_service_pb2.RevokeApiKeyRequest, context: Context
    ) -> api_key_service_pb2.RevokeApiKeyResponse:
        """End a key of the caller."""
        await self._api_keys.revoke(current_principal().subject, request.api_key_id)
        return api_key_service_pb2.RevokeApiKeyResponse()


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
