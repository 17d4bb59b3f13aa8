"""`SessionService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api import codec
from services.auth.api.context import Context
from services.auth.application.sessions import Sessions
from t2m.auth.v1 import session_service_pb2, session_service_pb2_grpc


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
