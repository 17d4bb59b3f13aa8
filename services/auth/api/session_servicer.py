"""`SessionService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api import codec, people_codec
from services.auth.api.context import Context
from services.auth.application.sessions import Sessions
from services.runtime.audit import mention
from services.runtime.identity import current_principal
from t2m.auth.v1 import session_service_pb2 as pb
from t2m.auth.v1 import session_service_pb2_grpc


class SessionServicer(session_service_pb2_grpc.SessionServiceServicer):
    """`t2m.auth.v1.SessionService`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        """Open a session."""
        client = people_codec.client(request.user_agent)
        tokens = await self._sessions.login(request.email, request.password, client)
        mention(user_id=tokens.user_id, session_id=tokens.session_id)
        return pb.LoginResponse(tokens=codec.encode_session_tokens(tokens))

    async def Refresh(self, request: pb.RefreshRequest, context: Context) -> pb.RefreshResponse:
        """Go on with a session."""
        tokens = await self._sessions.refresh(request.refresh_token, people_codec.client(request.user_agent))
        mention(user_id=tokens.user_id, session_id=tokens.session_id)
        return pb.RefreshResponse(tokens=codec.encode_session_tokens(tokens))

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        """Close a session."""
        await self._sessions.logout(request.refresh_token)
        return pb.LogoutResponse()

    async def LogoutAll(self, request: pb.LogoutAllRequest, context: Context) -> pb.LogoutAllResponse:
        """Close all sessions of the caller."""
        await self._sessions.logout_all(current_principal().subject)
        return pb.LogoutAllResponse()

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        """Where the caller is logged in."""
        caller = current_principal()
        sessions = await self._sessions.list_of(caller.subject)
        infos = [people_codec.encode_session(session, caller.session_id) for session in sessions]
        return pb.ListSessionsResponse(sessions=infos)

    async def RevokeSession(self, request: pb.RevokeSessionRequest, context: Context) -> pb.RevokeSessionResponse:
        """Close one session of the caller."""
        await self._sessions.revoke(current_principal().subject, request.session_id)
        return pb.RevokeSessionResponse()
