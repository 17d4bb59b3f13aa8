"""`UserService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api import codec
from services.auth.api.context import Context
from services.auth.application.accounts import Accounts
from services.auth.application.credits import Credits
from services.runtime.identity import current_principal
from t2m.auth.v1 import user_service_pb2, user_service_pb2_grpc


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
