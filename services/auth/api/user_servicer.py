"""`UserService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api import codec, people_codec
from services.auth.api.context import Context
from services.auth.application.accounts import Accounts
from services.auth.application.credits import Credits
from services.auth.application.profiles import Profiles
from services.auth.application.recovery import Recovery
from services.auth.application.registrations import Registrations
from services.runtime.identity import current_principal
from t2m.auth.v1 import user_service_pb2 as pb
from t2m.auth.v1 import user_service_pb2_grpc

_PAGE_SIZE = 50


class UserServicer(user_service_pb2_grpc.UserServiceServicer):
    """`t2m.auth.v1.UserService`."""

    def __init__(
        self,
        accounts: Accounts,
        registrations: Registrations,
        recovery: Recovery,
        profiles: Profiles,
        credit_cases: Credits,
    ) -> None:
        self._accounts = accounts
        self._registrations = registrations
        self._recovery = recovery
        self._profiles = profiles
        self._credits = credit_cases

    async def RegisterUser(self, request: pb.RegisterUserRequest, context: Context) -> pb.RegisterUserResponse:
        """Ask for an account."""
        made = await self._registrations.register(request.email, request.password, request.display_name)
        if made is not None:
            await self._credits.welcome(made)
        return pb.RegisterUserResponse()

    async def VerifyEmail(self, request: pb.VerifyEmailRequest, context: Context) -> pb.VerifyEmailResponse:
        """Take the proof of an address. Credits come with the account, not with asking for one; they are given once."""
        verified = await self._registrations.verify(request.token.strip(), people_codec.client().address)
        if verified.registered:
            await self._credits.welcome(verified.user_id)
        return pb.VerifyEmailResponse()

    async def ResendVerification(
        self, request: pb.ResendVerificationRequest, context: Context
    ) -> pb.ResendVerificationResponse:
        """Send the mail again."""
        await self._registrations.resend(request.email)
        return pb.ResendVerificationResponse()

    async def RequestPasswordReset(
        self, request: pb.RequestPasswordResetRequest, context: Context
    ) -> pb.RequestPasswordResetResponse:
        """Send a token."""
        await self._recovery.request_reset(request.email)
        return pb.RequestPasswordResetResponse()

    async def ConfirmPasswordReset(
        self, request: pb.ConfirmPasswordResetRequest, context: Context
    ) -> pb.ConfirmPasswordResetResponse:
        """Set a password by a token."""
        await self._recovery.confirm_reset(request.token.strip(), request.new_password, people_codec.client())
        return pb.ConfirmPasswordResetResponse()

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.ChangePasswordResponse:
        """Set a password by the old one."""
        caller = current_principal()
        await self._recovery.change(
            caller.subject,
            request.current_password,
            request.new_password,
            session_id=caller.session_id,
            client=people_codec.client(),
        )
        return pb.ChangePasswordResponse()

    async def GetProfile(self, request: pb.GetProfileRequest, context: Context) -> pb.GetProfileResponse:
        """The caller's account."""
        user = await self._accounts.profile(current_principal().subject)
        return pb.GetProfileResponse(user=codec.encode_user(user))

    async def UpdateProfile(self, request: pb.UpdateProfileRequest, context: Context) -> pb.UpdateProfileResponse:
        """Change the caller's name and address."""
        user = await self._profiles.update(
            current_principal().subject,
            display_name=request.display_name if request.HasField("display_name") else None,
            email=request.email if request.HasField("email") else None,
            current_password=request.current_password,
            client=people_codec.client(),
        )
        return pb.UpdateProfileResponse(user=codec.encode_user(user))

    async def GetPreferences(self, request: pb.GetPreferencesRequest, context: Context) -> pb.GetPreferencesResponse:
        """The caller's preferences."""
        found = await self._profiles.preferences(current_principal().subject)
        return pb.GetPreferencesResponse(preferences=people_codec.encode_preferences(found))

    async def UpdatePreferences(
        self, request: pb.UpdatePreferencesRequest, context: Context
    ) -> pb.UpdatePreferencesResponse:
        """Replace the caller's preferences."""
        preferences = people_codec.decode_preferences(request.preferences)
        await self._profiles.set_preferences(current_principal().subject, preferences)
        return pb.UpdatePreferencesResponse(preferences=people_codec.encode_preferences(preferences))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        """A page of all accounts."""
        role = codec.decode_role(request.role) if request.role else None
        before = people_codec.decode_page_token(request.page_token)
        users, following = await self._accounts.page(
            request.query.strip(), role, before, request.page_size or _PAGE_SIZE
        )
        return pb.ListUsersResponse(users=[codec.encode_user(user) for user in users], next_page_token=following)

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """One account."""
        return pb.GetUserResponse(user=codec.encode_user(await self._accounts.profile(request.user_id)))

    async def UpdateUserRole(self, request: pb.UpdateUserRoleRequest, context: Context) -> pb.UpdateUserRoleResponse:
        """Give a user another role."""
        user = await self._accounts.change_role(request.user_id, codec.decode_role(request.role))
        return pb.UpdateUserRoleResponse(user=codec.encode_user(user))
