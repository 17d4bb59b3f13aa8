"""People of another issuer: made at first sight, kept up to date, never mixed up with others (A3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.domain.user import User
from services.auth.settings import AuthSettings
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from t2m.auth.v1 import token_service_pb2, user_pb2
from tests.fakes.oidc_issuer import APP, JWKS, OidcIssuer, rsa_key, serving
from tests.integration.credentials_harness import (
    REVOKED,
    Replica,
    Trusting,
    auth_database,
    auth_replica,
    auth_settings,
    new_admin,
    refusal,
    trusting,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class World:
    """An issuer, auth that trusts it, and a service that trusts auth."""

    issuer: OidcIssuer
    settings: AuthSettings
    auth: Replica
    service: Trusting

    async def exchange(self, **claims: Any) -> token_service_pb2.ExchangeCredentialResponse:
        """What a token of somebody is good for."""
        return await self.auth.exchange(access_token=self.issuer.token(**claims))

    async def accepts(self, token: str) -> bool:
        """Whether a token is good for anything."""
        try:
            await self.auth.exchange(access_token=token)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def user(self, user_id: str) -> User:
        """As stored."""
        engine = create_engine(self.settings.database_url, pool_size=1)
        try:
            async with postgres_units(engine)() as unit:
                found = await unit.users.get(user_id)
        finally:
            await engine.dispose()
        assert found is not None
        return found

    async def forget(self, user_id: str) -> None:
        """What an erasure does to the person."""
        engine = create_engine(self.settings.database_url, pool_size=1)
        try:
            async with postgres_units(engine)() as unit:
                await unit.identities.forget(user_id, datetime.now(UTC))
                await unit.commit()
        finally:
            await engine.dispose()


def trusted(issuer: OidcIssuer, **changes: Any) -> dict[str, Any]:
    """The issuer's configuration: its roles count."""
    roles = {"role_claim": "metadata.role", "roles": {"boss": "admin", "guest": "readonly"}}
    return {"issuer": issuer.url, "jwks_url": issuer.url + JWKS, "authorized_parties": [APP], **roles, **changes}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Everything runs; shared, so each test brings its own people."""
    await asyncio.to_thread(auth_database)
    folder = tmp_path_factory.mktemp("oidc")
    async with serving() as issuer:
        settings = auth_settings(folder, oidc_issuers=[trusted(issuer)], oidc_keys_min_interval_s=0.05)
        async with auth_replica(settings) as auth, trusting(folder, auth.address) as service:
            yield World(issuer, settings, auth, service)


def address() -> str:
    """A new one."""
    return f"{new_id()}@example.com"


async def test_the_first_token_makes_the_user_and_later_ones_find_it(world: World) -> None:
    email = address()
    about = {"email": email.upper(), "email_verified": True, "name": "Ada", "sub": new_id()}
    found = await asyncio.gather(*(world.exchange(**about) for _ in range(8)))
    assert len({each.user_id for each in found}) == 1
    user = await world.user(found[0].user_id)
    assert (user.email, user.display_name, user.role, user.password_hash) == (email, "Ada", "user", None)
    assert user.verified_at is not None
    assert found[0].plan == "free"
    assert found[0].session_id == found[0].api_key_id == ""
    assert await world.service.call(found[0].internal_token) is None


async def test_an_address_that_is_not_verified_is_not_taken_over(world: World) -> None:
    for verified in (False, None, "false", 1, "yes"):
        made = await world.exchange(sub=new_id(), email=address(), email_verified=verified)
        assert (await world.user(made.user_id)).email is None, verified


async def test_an_internal_token_ends_with_the_token_that_it_was_made_from(world: World) -> None:
    ends = int(time.time()) + 20
    made = await world.exchange(sub=new_id(), exp=ends)
    assert made.expires_at.seconds == ends


async def test_what_the_issuer_changes_is_changed_here_by_the_newest_token(world: World) -> None:
    sub, now = new_id(), int(time.time())
    old = {"sub": sub, "email": address(), "email_verified": True, "name": "Ada", "iat": now - 30}
    new = {**old, "email": address(), "name": "Ada L.", "metadata": {"role": "boss"}, "iat": now - 5}
    first = await world.exchange(**old)
    assert first.role == user_pb2.ROLE_USER
    second = await world.exchange(**new)
    assert (second.user_id, second.role) == (first.user_id, user_pb2.ROLE_ADMIN)
    user = await world.user(first.user_id)
    assert (user.email, user.display_name, user.role) == (new["email"], "Ada L.", "admin")
    assert await refusal(world.exchange(**old)) == REVOKED  # it carries the role of before
    assert (await world.exchange(**new)).role == user_pb2.ROLE_ADMIN


async def test_who_loses_a_role_at_the_issuer_loses_the_tokens_that_carry_it(world: World) -> None:
    sub, now = new_id(), int(time.time())
    boss = await world.exchange(sub=sub, iat=now - 30, metadata={"role": "boss"})
    assert await world.service.call(boss.internal_token) is None
    guest = await world.exchange(sub=sub, iat=now + 20, metadata={"role": "guest"})
    assert guest.role == user_pb2.ROLE_READONLY
    assert await world.service.seconds_until_refused(boss.internal_token) < 3.0


async def test_an_address_that_is_taken_stays_with_whoever_has_it(world: World) -> None:
    """Else whoever gets an issuer to sign a stranger's address would own the stranger's account."""
    email = address()
    owner = await new_admin(world.settings, email)
    made = await world.exchange(sub=new_id(), email=email, email_verified=True)
    assert made.user_id != owner
    assert (await world.user(made.user_id)).email is None
    assert (await world.user(owner)).email == email
    later = {"sub": new_id(), "name": "Eve"}
    eve = await world.exchange(**later, iat=int(time.time()) - 5)
    again = await world.exchange(**later, email=email, email_verified=True)
    assert again.user_id == eve.user_id
    assert (await world.user(owner)).email == email
    assert (await world.user(eve.user_id)).email is None


async def test_where_linking_is_allowed_both_sides_must_have_verified_the_address(tmp_path: Path) -> None:
    """The account keeps its role and name."""
    await asyncio.to_thread(auth_database)
    async with serving() as issuer:
        settings = auth_settings(tmp_path, oidc_issuers=[trusted(issuer, link_verified_email=True)])
        email = address()
        owner = await new_admin(settings, email)
        async with auth_replica(settings) as auth:
            unsure = await auth.exchange(access_token=issuer.token(sub=new_id(), email=email))
            assert unsure.user_id != owner
            about = {"sub": new_id(), "email": email, "email_verified": True, "name": "Somebody"}
            for _ in range(2):
                linked = await auth.exchange(access_token=issuer.token(**about, metadata={"role": "guest"}))
                assert (linked.user_id, linked.role) == (owner, user_pb2.ROLE_ADMIN)


async def test_who_was_erased_does_not_come_back_by_an_old_token(world: World) -> None:
    sub, now = new_id(), int(time.time())
    old = {"sub": sub, "iat": now - 5}
    first = await world.exchange(**old)
    await world.forget(first.user_id)
    assert await refusal(world.exchange(**old)) == REVOKED
    back = await world.exchange(sub=sub, iat=now + 20)  # a new login is a new account
    assert back.user_id != first.user_id


async def test_an_admin_of_ours_ends_what_an_issuer_has_signed(world: World) -> None:
    boss = address()
    await new_admin(world.settings, boss)
    boss_token = (await world.auth.login(boss)).access_token
    about = {"sub": new_id(), "iat": int(time.time()) - 5}
    made = await world.exchange(**about)
    assert await world.service.call(made.internal_token) is None
    await world.auth.give_role(boss_token, made.user_id, user_pb2.ROLE_READONLY)
    assert await refusal(world.exchange(**about)) == REVOKED
    assert await world.service.seconds_until_refused(made.internal_token) < 3.0


async def test_the_issuer_rotates_its_key_and_goes_away(world: World) -> None:
    """The new key is asked for when a token names it; while the issuer is away the known ones serve."""
    await world.exchange()
    world.issuer.keys = [rsa_key("ins_2"), rsa_key("ins_1")]
    token = world.issuer.token()
    async with asyncio.timeout(10):
        while not await world.accepts(token):  # not before the least time between two requests has passed
            pass
    world.issuer.away = True
    await world.exchange()
    world.issuer.keys = [rsa_key("ins_3")]
    assert await refusal(world.exchange()) == REVOKED
    world.issuer.away = False
    world.issuer.keys = [rsa_key("ins_2")]


async def test_an_issuer_that_has_never_answered_is_no_fault_of_the_token(tmp_path: Path) -> None:
    await asyncio.to_thread(auth_database)
    async with serving() as issuer:
        issuer.away = True
        settings = auth_settings(tmp_path, oidc_issuers=[trusted(issuer)], oidc_keys_min_interval_s=0.0)
        async with auth_replica(settings) as auth:
            assert await refusal(auth.exchange(access_token=issuer.token())) == ("UNAVAILABLE", "UNAVAILABLE")
            issuer.away = False
            assert (await auth.exchange(access_token=issuer.token())).internal_token
