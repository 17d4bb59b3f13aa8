"""What ends at auth ends at the gateway, within 3 seconds: remembered credentials and open streams (A2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from services.auth.adapters.jose.keyring import withdraw
from services.runtime.ids import new_id
from t2m.auth.v1 import api_key_service_pb2, session_service_pb2
from tests.chaos.proxy import Link, Weather
from tests.fakes.grpc_backends import JOB_ID
from tests.integration.credentials_harness import (
    SECRETS,
    Replica,
    auth_database,
    auth_replica,
    auth_settings,
    bearer,
    eventually,
    new_admin,
)
from tests.integration.gateway_harness import EventStream, GatewayUnderTest, error_of, running_gateway

LIMIT_S = 3.0
JOB = f"/api/v1/jobs/{JOB_ID}"


@dataclass
class World:
    """A real auth, a gateway that reaches it over a link, and somebody with a password."""

    auth: Replica
    link: Link
    gateway: GatewayUnderTest
    email: str
    keys: Path

    async def login(self) -> session_service_pb2.SessionTokens:
        """A new session."""
        return await self.auth.login(self.email)

    async def get(self, headers: dict[str, str]) -> httpx.Response:
        """A call whose credential the gateway remembers."""
        return await self.gateway.client.get(JOB, headers=headers)

    @asynccontextmanager
    async def following(self, headers: dict[str, str]) -> AsyncIterator[EventStream]:
        """A stream that is open."""
        async with self.gateway.client.stream("GET", f"{JOB}/events", headers=headers) as answer:
            assert answer.status_code == 200
            stream = EventStream(answer)
            await stream.event()
            yield stream


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Everything runs, and the gateway hears of endings."""
    await asyncio.to_thread(auth_database)
    secret = SecretStr("the secret of the gateway")
    settings = auth_settings(tmp_path, service_secrets={**SECRETS, "gateway": secret}, keys_reread_s=0.1)
    email = f"{new_id()}@example.com"
    await new_admin(settings, email)
    async with auth_replica(settings) as auth:
        link = Link("auth", auth.address)
        await link.start()
        # Were answers not dropped when they end, these would be good for a minute.
        async with running_gateway(
            auth_address=link.address, service_secret=secret, credential_cache_s=60.0
        ) as gateway:
            gateway.script.open_to_all = True
            await eventually(lambda: gateway.rest.revocations.followed)
            yield World(auth, link, gateway, email, settings.keys_dir)
        await link.close()


def header(tokens: session_service_pb2.SessionTokens) -> dict[str, str]:
    """The access token."""
    return {"Authorization": f"Bearer {tokens.access_token}"}


async def seconds_until_over(stream: EventStream, ending: Awaitable[object]) -> float:
    """End a credential; how long its stream goes on."""
    await ending
    began = time.perf_counter()
    await stream.seqs()
    return time.perf_counter() - began


async def test_A2_a_closed_session_ends_its_streams_and_calls(world: World) -> None:
    """A2: the stream ends properly, the next call and the reconnect are 401; another session of the user goes on."""
    tokens, other = await world.login(), await world.login()
    assert (await world.get(header(tokens))).status_code == 200
    async with world.following(header(tokens)) as stream, world.following(header(other)) as beside:
        seconds = await seconds_until_over(stream, world.auth.logout(tokens))
        print(f"the stream ended {seconds:.2f} s after the session")
        assert seconds < LIMIT_S
        again = await world.gateway.client.get(f"{JOB}/events", headers=header(tokens))
        assert again.status_code == error_status(await world.get(header(tokens))) == 401
        await world.gateway.script.emit(1)
        assert (await beside.event())[0] == 1
    assert (await world.get(header(other))).status_code == 200


def error_status(answer: httpx.Response) -> int:
    """Of an answer with a proper error."""
    assert error_of(answer)["error_code"] == "UNAUTHENTICATED"
    return answer.status_code


async def test_A2_a_revoked_key_ends_its_streams_and_calls(world: World) -> None:
    """A2, A4: as with a session; the session that made the key stays."""
    tokens = await world.login()
    key = await world.auth.create_key(tokens.access_token)
    headers = {"X-API-Key": key.secret}
    async with world.following(headers) as stream:
        request = api_key_service_pb2.RevokeApiKeyRequest(api_key_id=key.api_key.api_key_id)
        revoke = world.auth.api_keys.RevokeApiKey(request, metadata=bearer(tokens.access_token))
        assert await seconds_until_over(stream, revoke) < LIMIT_S
    assert error_status(await world.get(headers)) == 401
    assert (await world.get(header(tokens))).status_code == 200


async def test_A2_a_withdrawn_signing_key_ends_what_it_may_have_signed(world: World) -> None:
    """A2: streams end and remembered exchanges are dropped; who refreshes goes on."""
    tokens = await world.login()
    async with world.following(header(tokens)) as stream:
        assert (await world.get(header(tokens))).status_code == 200
        (path,) = world.keys.glob("*.jwk")
        kid = path.stem.split("-", 1)[1]
        withdrawn = asyncio.to_thread(withdraw, world.keys, kid, datetime.now(UTC))
        assert await seconds_until_over(stream, withdrawn) < LIMIT_S
    assert error_status(await world.get(header(tokens))) == 401
    fresh = await world.auth.refresh(tokens.refresh_token)
    assert (await world.get(header(fresh))).status_code == 200


@pytest.mark.parametrize("weather", [Weather.CUT, Weather.BLACKHOLE])
async def test_A2_what_ended_while_auth_was_out_of_reach_is_heard_of_after(world: World, weather: Weather) -> None:
    """A2: meanwhile no answer is kept for more than two seconds; then the stream ends."""
    tokens = await world.login()
    async with world.following(header(tokens)) as stream:
        assert (await world.get(header(tokens))).status_code == 200
        world.link.set(weather)
        await world.auth.logout(tokens)
        await eventually(lambda: not world.gateway.rest.revocations.followed)
        world.link.set(Weather.FAIR)
        await stream.seqs()
    assert error_status(await world.get(header(tokens))) == 401
