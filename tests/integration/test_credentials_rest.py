"""Credentials as HTTP clients see them: the real gateway in front of the real auth (A2, A3, A4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from services.runtime.ids import new_id
from tests.fakes.oidc_issuer import APP, OidcIssuer, serving
from tests.integration.credentials_harness import Replica, auth_database, auth_replica, auth_settings, new_admin
from tests.integration.gateway_harness import GatewayUnderTest, error_of, running_gateway


@dataclass
class World:
    """An issuer, auth that trusts it, and the gateway."""

    issuer: OidcIssuer
    auth: Replica
    gateway: GatewayUnderTest
    email: str


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Everything runs, without caches in between."""
    await asyncio.to_thread(auth_database)
    async with serving() as issuer:
        settings = auth_settings(tmp_path, oidc_issuers=[{"issuer": issuer.url, "authorized_parties": [APP]}])
        email = f"{new_id()}@example.com"
        await new_admin(settings, email)
        async with auth_replica(settings) as auth, running_gateway(auth_address=auth.address) as gateway:
            yield World(issuer, auth, gateway, email)


async def test_outsiders_check_tokens_with_the_published_keys(world: World) -> None:
    """By any JOSE library: here one call of it, with nothing of ours."""
    answer = await world.gateway.client.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    token = (await world.auth.login(world.email)).access_token
    claims = jwt.decode(token, KeySet.import_key_set(answer.json()), algorithms=["Ed25519"]).claims
    assert claims["iss"] == "t2m-auth"
    again = await world.gateway.client.get("/.well-known/jwks.json", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_a_token_of_another_issuer_is_a_credential_like_any_other(world: World) -> None:
    token = world.issuer.token(name="Ada", email=f"{new_id()}@example.com", email_verified=True)
    mine = {"authorization": f"Bearer {token}"}
    profile = await world.gateway.client.get("/api/v1/users/profile", headers=mine)
    assert profile.status_code == 200
    assert profile.json()["display_name"] == "Ada"
    made = await world.gateway.client.post("/api/v1/api-keys", headers=mine, json={"name": "ci"})
    assert made.status_code == 201
    by_key = await world.gateway.client.get("/api/v1/users/profile", headers={"x-api-key": made.json()["secret"]})
    assert by_key.json() == profile.json()
    forged = world.issuer.token(azp="https://evil.example")
    refused = await world.gateway.client.get("/api/v1/users/profile", headers={"authorization": f"Bearer {forged}"})
    assert refused.status_code == 401


async def test_a_scope_that_does_not_exist_is_named(world: World) -> None:
    token = (await world.auth.login(world.email)).access_token
    refused = await world.gateway.client.post(
        "/api/v1/api-keys",
        headers={"authorization": f"Bearer {token}"},
        json={"name": "ci", "scopes": ["jobs:read", "jobs:raed"]},
    )
    assert refused.status_code == 422
    assert [each["field"] for each in error_of(refused)["details"]["violations"]] == ["scopes[1]"]
