"""Auth as it is served: the real server over a socket, on the real Postgres (rows A1, A2, A4, A5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import argon2
import pytest
from sqlalchemy import text

from services.auth.bootstrap import build_operator
from services.auth.domain.user import Role as DomainRole
from services.runtime.db import create_engine
from services.runtime.identity import Role
from services.runtime.jwks import RemoteKeys
from services.runtime.tokens import CredentialError, TokenVerifier
from t2m.auth.v1 import (
    api_key_service_pb2,
    session_service_pb2,
    token_service_pb2,
    user_pb2,
    user_service_pb2,
)
from tests import stack
from tests.integration.auth_harness import (
    EMAIL,
    JOB_SECRET,
    PASSWORD,
    Auth,
    bearer,
    failure,
    refusal,
    serving,
    settings_of,
)

MINUTE = timedelta(minutes=1)


@cache
def database() -> str:
    """One migrated database for the module."""
    url = stack.postgres_url("auth_service")
    asyncio.run(stack.migrate("auth", url))
    return url


@pytest.fixture
async def auth(tmp_path: Path) -> AsyncIterator[Auth]:
    """A running auth on an empty database."""
    url = await asyncio.to_thread(database)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE users CASCADE"))
    await engine.dispose()
    async with serving(settings_of(url, tmp_path)) as running:
        yield running


INVALID = ("UNAUTHENTICATED", "CREDENTIAL_INVALID")
EXPIRED = ("UNAUTHENTICATED", "CREDENTIAL_EXPIRED")


async def test_register_login_and_read_the_profile(auth: Auth) -> None:
    await auth.register()
    answer = await auth.users.GetProfile(
        user_service_pb2.GetProfileRequest(), metadata=await auth.as_user("ADA@Example.com")
    )
    user = answer.user
    assert (user.email, user.display_name, user.role) == (EMAIL, "Ada", user_pb2.ROLE_USER)
    assert (user.email_verified, user.has_password) == (False, True)


async def test_A1_a_password_is_hashed_anew_when_its_cost_has_changed(auth: Auth) -> None:
    """A1: by the login that has the password at hand; the account notices nothing."""

    async def cost() -> tuple[int, int, int]:
        engine = create_engine(auth.settings.database_url)
        async with engine.connect() as connection:
            found = argon2.extract_parameters(await connection.scalar(text("SELECT password_hash FROM users")))
        await engine.dispose()
        return found.memory_cost, found.time_cost, found.parallelism

    await auth.register()
    assert await cost() == (64, 1, 1)
    dearer = auth.settings.model_copy(update={"password_memory_kib": 256, "password_passes": 2, "password_lanes": 2})
    async with serving(dearer) as later:
        assert await refusal(later.login(password="another password")) == INVALID
        assert await cost() == (64, 1, 1)
        for _ in range(2):
            await later.login()
            assert await cost() == (256, 2, 2)
    await auth.login()
    assert await cost() == (64, 1, 1)


async def test_an_address_is_registered_once_also_by_two_calls_at_once_and_nobody_learns_by_whom(auth: Auth) -> None:
    other = user_service_pb2.RegisterUserRequest(email="Ada@example.COM", password=PASSWORD + "!")
    answers = await asyncio.gather(*(auth.users.RegisterUser(other) for _ in range(4)), auth.register())
    assert answers[:4] == [user_service_pb2.RegisterUserResponse()] * 4
    outcomes = await asyncio.gather(auth.login(), auth.login(password=PASSWORD + "!"), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AioRpcError", "SessionTokens"]


@pytest.mark.parametrize(
    ("email", "password", "name", "field"),
    [
        ("ada", PASSWORD, "Ada", "email"),
        ("Zoë@example.com", PASSWORD, "Zoë", "email"),
        (EMAIL, "short", "Ada", "password"),
        (EMAIL, "Password1234!", "Ada", "password"),
        (EMAIL, "ada@example.com", "Ada", "password"),
        (EMAIL, PASSWORD, "Ada\u202eada", "display_name"),
    ],
)
async def test_a_bad_registration_names_its_field_and_stores_nothing(
    auth: Auth, email: str, password: str, name: str, field: str
) -> None:
    request = user_service_pb2.RegisterUserRequest(email=email, password=password, display_name=name)
    refused = await failure(auth.users.RegisterUser(request))
    assert (refused.code.name, refused.reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
    assert [path for path, _ in refused.violations] == [field]
    assert await refusal(auth.login(email, password)) == INVALID


async def test_a_wrong_address_and_a_wrong_password_are_answered_alike(auth: Auth) -> None:
    await auth.register()
    answers = [
        await failure(auth.login(EMAIL, "wrong horse battery")),
        await failure(auth.login("eve@example.com", PASSWORD)),
        await failure(auth.login("no address", PASSWORD)),
    ]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0].code.name, answers[0].reason) == INVALID


async def test_a_used_refresh_token_ends_its_whole_session(auth: Auth) -> None:
    await auth.register()
    first = await auth.login()
    second = await auth.refresh(first.refresh_token)
    third = await auth.refresh(second.refresh_token)  # from here on there is no grace for the first
    await auth.exchange(access_token=third.access_token)
    assert await refusal(auth.refresh(first.refresh_token)) == INVALID
    assert await refusal(auth.refresh(third.refresh_token)) == INVALID
    for pair in (first, second, third):
        assert await refusal(auth.exchange(access_token=pair.access_token)) == INVALID
    await auth.login()  # the account itself goes on


async def test_concurrent_refreshes_all_get_a_pair_and_one_of_them_goes_on(auth: Auth) -> None:
    await auth.register()
    tokens = await auth.login()
    pairs = await asyncio.gather(*(auth.refresh(tokens.refresh_token) for _ in range(20)))
    assert len({pair.refresh_token for pair in pairs}) == 20
    for pair in pairs[:3]:
        await auth.exchange(access_token=pair.access_token)
    went_on = await auth.refresh(pairs[7].refresh_token)
    auth.clock.advance(timedelta(seconds=11))
    assert await refusal(auth.refresh(pairs[3].refresh_token)) == INVALID
    assert await refusal(auth.refresh(went_on.refresh_token)) == INVALID


async def test_logout_may_be_repeated(auth: Auth) -> None:
    await auth.register()
    tokens = await auth.login()
    for token in (tokens.refresh_token, tokens.refresh_token, "never made"):
        await auth.sessions.Logout(session_service_pb2.LogoutRequest(refresh_token=token))
    assert await refusal(auth.refresh(tokens.refresh_token)) == INVALID
    assert await refusal(auth.exchange(access_token=tokens.access_token)) == INVALID


async def test_tokens_end_on_time(auth: Auth) -> None:
    await auth.register()
    tokens = await auth.login()
    internal = await auth.exchange(access_token=tokens.access_token)
    started = auth.clock.now()
    assert internal.expires_at.ToDatetime(tzinfo=UTC) - started == 5 * MINUTE
    auth.clock.advance(7 * MINUTE)
    profile = user_service_pb2.GetProfileRequest()
    assert await refusal(auth.users.GetProfile(profile, metadata=bearer(internal.internal_token))) == EXPIRED
    auth.clock.advance(7 * MINUTE)
    last = await auth.exchange(access_token=tokens.access_token)
    assert last.expires_at == tokens.expires_at
    auth.clock.advance(MINUTE)
    assert await refusal(auth.exchange(access_token=tokens.access_token)) == EXPIRED
    auth.clock.advance(timedelta(days=7))
    assert await refusal(auth.refresh(tokens.refresh_token)) == EXPIRED


async def test_the_life_of_an_api_key(auth: Auth) -> None:
    await auth.register()
    me = await auth.as_user()
    made = await auth.create_key(me, scopes=["api_keys:read", "api_keys:write"])
    assert made.secret.startswith(f"t2m_{made.api_key.api_key_id}_")
    internal = await auth.exchange(api_key=made.secret)
    assert (internal.user_id, internal.role) == (await auth.id_of(), user_pb2.ROLE_USER)
    by_key = bearer(internal.internal_token)
    listed = await auth.api_keys.ListApiKeys(api_key_service_pb2.ListApiKeysRequest(), metadata=by_key)
    used = api_key_service_pb2.ApiKey()
    used.CopyFrom(made.api_key)
    used.last_used_at.FromDatetime(auth.clock.now())
    assert list(listed.api_keys) == [used]
    profile = auth.users.GetProfile(user_service_pb2.GetProfileRequest(), metadata=by_key)
    assert await refusal(profile) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    wider = auth.create_key(by_key, scopes=["jobs:write"])
    assert await refusal(wider) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    revoke = api_key_service_pb2.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id)
    for _ in range(2):
        await auth.api_keys.RevokeApiKey(revoke, metadata=me)
    assert await refusal(auth.exchange(api_key=made.secret)) == INVALID


async def test_a_key_ends_on_time_and_cannot_be_made_ended(auth: Auth) -> None:
    await auth.register()
    me = await auth.as_user()
    made = await auth.create_key(me, expires_at=auth.clock.now() + 2 * MINUTE)
    assert (await auth.exchange(api_key=made.secret)).expires_at == made.api_key.expires_at
    refused = await failure(auth.create_key(me, expires_at=auth.clock.now()))
    assert [path for path, _ in refused.violations] == ["expires_at"]
    auth.clock.advance(2 * MINUTE)
    assert await refusal(auth.exchange(api_key=made.secret)) == EXPIRED


async def test_somebody_elses_key_does_not_exist(auth: Auth) -> None:
    await auth.register()
    await auth.register("eve@example.com")
    made = await auth.create_key(await auth.as_user())
    eve = await auth.as_user("eve@example.com")
    revoke = api_key_service_pb2.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id)
    assert await refusal(auth.api_keys.RevokeApiKey(revoke, metadata=eve)) == ("NOT_FOUND", "NOT_FOUND")
    listed = await auth.api_keys.ListApiKeys(api_key_service_pb2.ListApiKeysRequest(), metadata=eve)
    assert not listed.api_keys
    await auth.exchange(api_key=made.secret)


async def test_roles_are_changed_by_admins_and_the_last_admin_stays(auth: Auth) -> None:
    await auth.register()
    ada = await auth.id_of()
    operator, engine = build_operator(auth.settings)
    root, key = await operator.create_key("root@example.com", DomainRole.ADMIN, "first", [])
    await engine.dispose()
    admin = bearer((await auth.exchange(api_key=key)).internal_token)

    def change(user_id: str, role: user_pb2.Role.ValueType, metadata: Any) -> Awaitable[Any]:
        request = user_service_pb2.UpdateUserRoleRequest(user_id=user_id, role=role)
        return auth.users.UpdateUserRole(request, metadata=metadata)

    denied = await refusal(change(ada, user_pb2.ROLE_ADMIN, await auth.as_user()))
    assert denied == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    last = await refusal(change(root.user_id, user_pb2.ROLE_USER, admin))
    assert last == ("FAILED_PRECONDITION", "STATE_CONFLICT")
    nobody = await refusal(change("00000000-0000-7000-8000-000000000000", user_pb2.ROLE_USER, admin))
    assert nobody == ("NOT_FOUND", "NOT_FOUND")
    assert (await change(ada, user_pb2.ROLE_READONLY, admin)).user.role == user_pb2.ROLE_READONLY
    readonly = await auth.as_user()
    assert await refusal(auth.create_key(readonly)) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    await auth.users.GetProfile(user_service_pb2.GetProfileRequest(), metadata=readonly)


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ({}, ("INVALID_ARGUMENT", "VALIDATION_FAILED")),
        ({"api_key": ""}, INVALID),
        ({"api_key": "t2m_0123456789abcdef_" + "x" * 43}, INVALID),
        ({"access_token": ""}, INVALID),
        ({"access_token": "a.b.c"}, INVALID),
    ],
)
async def test_what_is_no_credential_is_refused(
    auth: Auth, credential: dict[str, str], expected: tuple[str, str]
) -> None:
    assert await refusal(auth.exchange(**credential)) == expected


async def test_other_services_verify_offline_by_jwks(auth: Auth) -> None:
    request = token_service_pb2.IssueServiceTokenRequest(service_id="job", service_secret=JOB_SECRET)
    issued = await auth.tokens.IssueServiceToken(request)
    verifier = TokenVerifier(RemoteKeys(auth.channel), auth.clock)
    principal = await verifier.authenticate(issued.token)
    assert (principal.subject, principal.role, principal.scopes) == ("job", Role.SERVICE, None)
    assert principal.expires_at - auth.clock.now() == 15 * MINUTE
    auth.clock.advance(16 * MINUTE)
    with pytest.raises(CredentialError):
        await verifier.authenticate(issued.token)
    wrong = token_service_pb2.IssueServiceTokenRequest(service_id="job", service_secret=JOB_SECRET + "x")
    assert await refusal(auth.tokens.IssueServiceToken(wrong)) == INVALID


async def test_secrets_are_not_in_the_database(auth: Auth) -> None:
    await auth.register()
    tokens = await auth.login()
    made = await auth.create_key(await auth.as_user())
    engine = create_engine(auth.settings.database_url)
    dump = ""
    async with engine.connect() as connection:
        for table in ("users", "sessions", "refresh_tokens", "api_keys"):
            rows = await connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t"))
            dump += "".join(rows.scalars())
    await engine.dispose()
    for secret in (PASSWORD, tokens.refresh_token, made.secret, made.secret.rpartition("_")[2]):
        assert secret not in dump
        assert secret.encode().hex() not in dump


async def test_without_its_database_auth_says_so_and_still_serves_its_keys(tmp_path: Path) -> None:
    nowhere = "postgresql://t2m:secret@127.0.0.1:1/t2m_auth"
    async with serving(settings_of(nowhere, tmp_path)) as auth:
        refused = await failure(auth.login())
        assert (refused.code.name, refused.reason) == ("UNAVAILABLE", "UNAVAILABLE")
        assert refused.retry_after is not None
        assert "secret" not in refused.message
        request = token_service_pb2.IssueServiceTokenRequest(service_id="job", service_secret=JOB_SECRET)
        issued = await auth.tokens.IssueServiceToken(request)
        verifier = TokenVerifier(RemoteKeys(auth.channel), auth.clock)
        assert (await verifier.authenticate(issued.token)).subject == "job"
