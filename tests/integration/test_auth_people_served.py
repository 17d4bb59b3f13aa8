"""People over the socket: from registration to another password, waits, admins (rows A1, A2)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.bootstrap import build_operator
from services.auth.domain.user import Role
from t2m.auth.v1 import session_service_pb2, user_pb2, user_service_pb2
from tests.integration.auth_harness import EMAIL, PASSWORD, Auth, bearer, failure, serving, settings_of
from tests.integration.people_harness import OTHER, WRONG, People, database, emptied
from tests.outbox import code_in

DEADLINE_S = 30


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    """On empty tables."""
    made = await emptied()
    yield made
    await made.dispose()


@pytest.fixture
async def auth(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Auth]:
    """A running auth that verifies addresses by an outbox."""
    settings = settings_of(await asyncio.to_thread(database), tmp_path).model_copy(
        update={"email_verification": "required", "mail_outbox": tmp_path / "outbox", "login_failures": 4}
    )
    async with serving(settings) as running:
        yield running


async def mailed(auth: Auth, recipient: str, subject: str) -> str:
    """The token in a mail, once it is in the outbox."""
    folder = auth.settings.mail_outbox
    assert folder is not None
    async with asyncio.timeout(DEADLINE_S):
        while (code := code_in(folder, recipient, subject)) is None:  # noqa: ASYNC110 - nothing announces a file
            await asyncio.sleep(0.02)
    return code


class TestServed:
    """Over the socket."""

    async def test_from_registration_to_another_password(self, auth: Auth) -> None:
        await auth.register()
        assert (await failure(auth.login())).reason == "CREDENTIAL_INVALID"
        token = await mailed(auth, EMAIL, "Confirm your e-mail address")
        for _ in range(2):
            await auth.users.VerifyEmail(user_service_pb2.VerifyEmailRequest(token=f" {token}\n"))
        client = (("x-client-address", "192.0.2.7"),)
        login = session_service_pb2.LoginRequest(email=EMAIL, password=PASSWORD, user_agent="a test")
        tokens = (await auth.sessions.Login(login, metadata=client)).tokens
        internal = await auth.exchange(access_token=tokens.access_token)
        me = (*bearer(internal.internal_token), *client)
        listed = await auth.sessions.ListSessions(session_service_pb2.ListSessionsRequest(), metadata=me)
        (session,) = listed.sessions
        assert (session.client_address, session.user_agent, session.current) == ("192.0.2.7", "a test", True)
        profile = await auth.users.GetProfile(user_service_pb2.GetProfileRequest(), metadata=me)
        assert (profile.user.email_verified, profile.user.has_password) == (True, True)
        change = user_service_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password=OTHER)
        other = await auth.login()
        await auth.users.ChangePassword(change, metadata=me)
        assert (await failure(auth.refresh(other.refresh_token))).reason == "CREDENTIAL_INVALID"
        await auth.refresh(tokens.refresh_token)
        wrong = await failure(auth.users.ChangePassword(change, metadata=me))
        assert [path for path, _ in wrong.violations] == ["current_password"]
        revoke = session_service_pb2.RevokeSessionRequest(session_id=session.session_id)
        await auth.sessions.RevokeSession(revoke, metadata=me)

    async def test_answers_are_alike_byte_by_byte(self, auth: Auth) -> None:
        await auth.register()
        token = await mailed(auth, EMAIL, "Confirm your e-mail address")
        await auth.users.VerifyEmail(user_service_pb2.VerifyEmailRequest(token=token))
        for address in (EMAIL, "nobody@example.com"):
            for method, request in (
                ("RegisterUser", user_service_pb2.RegisterUserRequest(email=address, password=OTHER)),
                ("ResendVerification", user_service_pb2.ResendVerificationRequest(email=address)),
                ("RequestPasswordReset", user_service_pb2.RequestPasswordResetRequest(email=address)),
            ):
                answer = await getattr(auth.users, method)(request)
                assert answer.SerializeToString() == b""
        refusals = [await raw_refusal(auth, address) for address in (EMAIL, "nobody@example.com", "no address")]
        assert refusals[0] == refusals[1] == refusals[2]

    async def test_attempts_at_once_are_counted_and_outlive_the_process(self, auth: Auth) -> None:
        refused = await asyncio.gather(*(failure(auth.login(EMAIL, WRONG)) for _ in range(12)))
        assert Counter(each.reason for each in refused) == {"CREDENTIAL_INVALID": 4, "RATE_LIMITED": 8}
        waiting = next(each for each in refused if each.reason == "RATE_LIMITED")
        assert waiting.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert waiting.retry_after == timedelta(seconds=2)
        async with serving(auth.settings) as restarted:
            assert (await failure(restarted.login(EMAIL, WRONG))).reason == "RATE_LIMITED"

    async def test_admins_see_accounts(self, auth: Auth, engine: AsyncEngine) -> None:
        people = People(engine)
        ids = [(await people.account(f"user{number}@example.com")).user_id for number in range(3)]
        operator, used = build_operator(auth.settings)
        _, key = await operator.create_key("root@example.com", Role.ADMIN, "first", [])
        await used.dispose()
        admin = bearer((await auth.exchange(api_key=key)).internal_token)
        request = user_service_pb2.ListUsersRequest(query="USER", role=user_pb2.ROLE_USER, page_size=2)
        first = await auth.users.ListUsers(request, metadata=admin)
        request.page_token = first.next_page_token
        rest = await auth.users.ListUsers(request, metadata=admin)
        assert sorted(user.user_id for user in [*first.users, *rest.users]) == sorted(ids)
        assert rest.next_page_token == ""
        request.page_token = "nonsense"
        refused = await failure(auth.users.ListUsers(request, metadata=admin))
        assert [path for path, _ in refused.violations] == ["page_token"]
        one = await auth.users.GetUser(user_service_pb2.GetUserRequest(user_id=ids[0]), metadata=admin)
        assert one.user.email == "user0@example.com"


async def raw_refusal(auth: Auth, address: str) -> tuple[Any, ...]:
    """All of a refused login that the client gets, byte by byte, but the id of the request."""
    request = session_service_pb2.LoginRequest(email=address, password=WRONG)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await auth.sessions.Login(request)
    error = caught.value
    trailers = [(key, value) for key, value in error.trailing_metadata() or () if "request-id" not in key]
    return error.code(), error.details(), sorted(trailers)
