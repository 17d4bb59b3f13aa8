"""Signing keys come and go while clients call (A2)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.auth.adapters.jose.keyring import rotate, withdraw
from services.auth.settings import AuthSettings
from services.runtime.ids import new_id
from t2m.auth.v1 import token_service_pb2
from tests.integration.credentials_harness import (
    REVOKED,
    Replica,
    Trusting,
    auth_database,
    auth_replica,
    auth_settings,
    eventually,
    new_admin,
    trusting,
)

LEAD_S = 0.8


@dataclass
class World:
    """Two replicas of auth that share a folder of keys, and a service that asks the first."""

    settings: AuthSettings
    first: Replica
    second: Replica
    service: Trusting
    email: str

    async def published(self) -> list[str]:
        """Ids of the keys as outsiders fetch them."""
        answer = await self.second.tokens.GetJwksDocument(token_service_pb2.GetJwksDocumentRequest())
        assert answer.document.content_type == "application/jwk-set+json"
        keys = json.loads(answer.document.data)["keys"]
        assert all("d" not in key for key in keys)
        return [key["kid"] for key in keys]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Everything runs."""
    await asyncio.to_thread(auth_database)
    settings = auth_settings(tmp_path, keys_lead_s=LEAD_S, keys_reread_s=0.05)
    email = f"{new_id()}@example.com"
    await new_admin(settings, email)
    async with (
        auth_replica(settings) as first,
        auth_replica(settings) as second,
        trusting(tmp_path, first.address) as service,
    ):
        yield World(settings, first, second, service, email)


def key_of(token: str) -> str:
    """The key that a token names."""
    header = token.partition(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    return kid


class Client:
    """Somebody who calls all the time: with a session, its internal tokens, and fresh pairs, by both replicas."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.failures: list[object] = []
        self.keys: set[str] = set()
        self.rounds = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        tokens = await self._world.first.login(self._world.email)
        oldest = tokens.access_token
        while not stop.is_set():
            replica = (self._world.first, self._world.second)[self.rounds % 2]
            tokens = await replica.refresh(tokens.refresh_token)
            internal = (await replica.exchange(access_token=tokens.access_token)).internal_token
            for token in (oldest, tokens.access_token, internal):
                self.keys.add(key_of(token))
                if (refused := await self._world.service.call(token)) is not None:
                    self.failures.append(refused)
            self.rounds += 1


async def test_nobody_notices_a_rotation(world: World) -> None:
    folder, client, stop = world.settings.keys_dir, Client(world), asyncio.Event()
    (old,) = await world.published()
    calling = asyncio.create_task(client.run(stop))
    await eventually(lambda: client.rounds >= 3)
    new = (await asyncio.to_thread(rotate, folder, datetime.now(UTC), timedelta(seconds=LEAD_S))).kid
    async with asyncio.timeout(10):
        while await world.published() != [new, old]:  # noqa: ASYNC110 - the change is in another replica
            await asyncio.sleep(0.01)
    assert client.keys == {old}  # published, and does not sign yet
    await eventually(lambda: new in client.keys)
    rounds = client.rounds
    await eventually(lambda: client.rounds >= rounds + 10)
    stop.set()
    await calling
    assert client.failures == []
    assert client.keys == {old, new}


async def test_a_withdrawn_key_is_refused_everywhere_within_seconds(world: World) -> None:
    """Sessions go on: their refresh tokens are no JWTs. The service goes on to hear of revocations."""
    (old,) = await world.published()
    tokens = await world.first.login(world.email)
    assert await world.service.call(tokens.access_token) is None
    await asyncio.to_thread(withdraw, world.settings.keys_dir, old, datetime.now(UTC))
    assert await world.service.seconds_until_refused(tokens.access_token) < 3.0
    fresh = await world.second.refresh(tokens.refresh_token)
    assert key_of(fresh.access_token) != old
    await world.service.until_accepted(fresh.access_token)
    assert (await world.first.exchange(access_token=fresh.access_token)).internal_token
    assert await world.service.call(tokens.access_token) == REVOKED
    await world.second.logout(fresh)
    assert await world.service.seconds_until_refused(fresh.access_token) < 3.0
