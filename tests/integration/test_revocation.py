"""What ends a credential ends its tokens everywhere within 3 seconds (A2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.auth.settings import AuthSettings
from services.runtime.ids import new_id
from t2m.auth.v1 import api_key_service_pb2, token_service_pb2, user_pb2
from tests import stack
from tests.chaos.proxy import Link, Weather
from tests.integration.credentials_harness import (
    REVOKED,
    Replica,
    Trusting,
    auth_database,
    auth_replica,
    auth_settings,
    bearer,
    new_admin,
    refusal,
    trusting,
)

LIMIT_S = 3.0
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class World:
    """Auth, a service, and an admin with a session."""

    settings: AuthSettings
    auth: Replica
    service: Trusting
    email: str
    user_id: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[AuthSettings, Replica, Trusting]]:
    """Auth and a service that follows it, shared."""
    await asyncio.to_thread(auth_database)
    folder = tmp_path_factory.mktemp("revocation")
    settings = auth_settings(folder)
    async with auth_replica(settings) as auth, trusting(folder, auth.address) as service:
        yield settings, auth, service


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: tuple[AuthSettings, Replica, Trusting]) -> World:
    """Each test has an admin of its own."""
    settings, auth, service = running
    email = f"{new_id()}@example.com"
    return World(settings, auth, service, email, await new_admin(settings, email))


async def test_a_session_that_is_closed(world: World) -> None:
    """Also the token that was made from it, and although the service remembers both; nobody else notices."""
    tokens, other = await world.auth.login(world.email), await world.auth.login(world.email)
    internal = (await world.auth.exchange(access_token=tokens.access_token)).internal_token
    for token in (tokens.access_token, internal, other.access_token):
        assert await world.service.call(token) is None
    await world.auth.logout(tokens)
    assert await world.service.seconds_until_refused(tokens.access_token) < LIMIT_S
    assert await world.service.call(internal) == REVOKED
    assert await refusal(world.auth.exchange(access_token=tokens.access_token)) == REVOKED
    assert await world.service.call(other.access_token) is None


async def test_a_refresh_token_that_is_used_twice(world: World) -> None:
    tokens = await world.auth.login(world.email)
    latest = await world.auth.refresh(tokens.refresh_token)
    assert await world.service.call(latest.access_token) is None
    assert await refusal(world.auth.refresh(tokens.refresh_token)) == REVOKED
    assert await world.service.seconds_until_refused(latest.access_token) < LIMIT_S


async def test_an_api_key(world: World) -> None:
    tokens = await world.auth.login(world.email)
    key = await world.auth.create_key(tokens.access_token)
    exchanged = await world.auth.exchange(api_key=key.secret)
    assert exchanged.api_key_id == key.api_key.api_key_id
    assert exchanged.session_id == ""
    assert await world.service.call(exchanged.internal_token) is None
    await world.auth.api_keys.RevokeApiKey(
        api_key_service_pb2.RevokeApiKeyRequest(api_key_id=key.api_key.api_key_id), metadata=bearer(tokens.access_token)
    )
    assert await world.service.seconds_until_refused(exchanged.internal_token) < LIMIT_S
    assert await world.service.call(tokens.access_token) is None


async def test_a_role_that_is_taken_away(world: World) -> None:
    """Every token made before carries the old role; one made right after carries the new one, and is let in."""
    boss = f"{new_id()}@example.com"
    await new_admin(world.settings, boss)
    boss_token = (await world.auth.login(boss)).access_token
    old = await world.auth.login(world.email)
    key = await world.auth.create_key(old.access_token)
    old_internal = (await world.auth.exchange(api_key=key.secret)).internal_token
    for token in (old.access_token, old_internal):
        assert await world.service.call(token) is None

    await world.auth.give_role(boss_token, world.user_id, user_pb2.ROLE_READONLY)
    fresh = await world.auth.refresh(old.refresh_token)
    exchanged = await world.auth.exchange(access_token=fresh.access_token)
    assert exchanged.role == user_pb2.ROLE_READONLY
    assert await refusal(world.auth.exchange(access_token=old.access_token)) == REVOKED
    assert await world.service.seconds_until_refused(old.access_token) < LIMIT_S
    assert await world.service.call(old_internal) == REVOKED
    assert await world.service.call(fresh.access_token) is None
    assert await world.service.call(exchanged.internal_token) is None


async def test_auth_itself_refuses_what_another_replica_has_ended(world: World) -> None:
    """B writes; A, which the service follows, tells it, and refuses the token at its own methods too."""
    tokens = await world.auth.login(world.email)
    assert await world.service.call(tokens.access_token) is None
    async with auth_replica(world.settings) as other:
        await other.logout(tokens)
        assert await world.service.seconds_until_refused(tokens.access_token) < LIMIT_S
    listed = world.auth.api_keys.ListApiKeys(
        api_key_service_pb2.ListApiKeysRequest(), metadata=bearer(tokens.access_token)
    )
    assert await refusal(listed) == REVOKED


async def test_what_ends_while_auth_is_away_is_known_once_it_is_back(tmp_path: Path) -> None:
    """What was known before stays known; calls go on meanwhile."""
    await asyncio.to_thread(auth_database)
    settings = auth_settings(tmp_path, bind=f"127.0.0.1:{stack.free_port()}")
    email = f"{new_id()}@example.com"
    await new_admin(settings, email)
    async with auth_replica(settings) as first, trusting(tmp_path, first.address) as service:
        ended, alive = await first.login(email), await first.login(email)
        assert await service.call(alive.access_token) is None
        await first.logout(ended)
        await service.seconds_until_refused(ended.access_token)
        await first.stop()
        assert await service.call(ended.access_token) == REVOKED
        assert await service.call(alive.access_token) is None
        async with auth_replica(auth_settings(tmp_path)) as elsewhere:
            await elsewhere.logout(alive)
        assert await service.call(alive.access_token) is None  # nobody could tell
        async with auth_replica(settings):
            await service.seconds_until_refused(alive.access_token)


@pytest.mark.parametrize("weather", [Weather.CUT, Weather.BLACKHOLE])
async def test_a_stream_that_is_cut_or_falls_silent_is_opened_anew(tmp_path: Path, weather: Weather) -> None:
    await asyncio.to_thread(auth_database)
    settings = auth_settings(tmp_path)
    email = f"{new_id()}@example.com"
    await new_admin(settings, email)
    async with auth_replica(settings) as auth:
        link = Link("auth", auth.address)
        await link.start()
        async with trusting(tmp_path, link.address) as service:
            tokens = await auth.login(email)
            await service.until_accepted(tokens.access_token)
            link.set(weather)
            await auth.logout(tokens)
            assert await service.call(tokens.access_token) is None
            link.set(Weather.FAIR)
            await service.seconds_until_refused(tokens.access_token)
        await link.close()


async def message(stream: Any) -> token_service_pb2.WatchRevocationsResponse:
    """The next one."""
    found = await stream.read()
    assert isinstance(found, token_service_pb2.WatchRevocationsResponse)
    return found


async def test_the_stream_is_for_services_only_and_begins_with_what_is_known(world: World) -> None:
    tokens = await world.auth.login(world.email)
    await world.auth.logout(tokens)
    watch = world.auth.tokens.WatchRevocations
    request = token_service_pb2.WatchRevocationsRequest()
    other = await world.auth.login(world.email)
    assert await refusal(watch(request, metadata=bearer(other.access_token)).read()) == (
        "PERMISSION_DENIED",
        "PERMISSION_DENIED",
    )
    issued = await world.auth.tokens.IssueServiceToken(
        token_service_pb2.IssueServiceTokenRequest(service_id="job", service_secret="the secret of the job service")
    )
    await world.service.seconds_until_refused(tokens.access_token)
    stream = watch(request, metadata=bearer(issued.token))
    first = await message(stream)
    assert first.snapshot
    assert first.complete
    assert '"kid"' in first.jwks_json
    assert first.revocations[-1].kind == token_service_pb2.REVOCATION_KIND_SESSION
    assert len({each.sequence for each in first.revocations}) == len(first.revocations)
    beat = await message(stream)
    assert not beat.revocations
    assert beat.complete
    stream.cancel()
