"""Rate limits over HTTP, counted in a real Redis (A7, O6): shared, sliding, and without Redis for a while."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from deploy.local.redis import EmbeddedRedis
from gateway.settings import Settings
from tests.fakes.grpc_backends import JOB_ID
from tests.integration.gateway_harness import ALICE, GatewayUnderTest, error_of, running_gateway
from tests.integration.test_gateway_process import gateway_process, line_with

GENERATE = "/api/v1/videos/generate"
LOGIN = "/api/v1/users/login"
JOB = f"/api/v1/jobs/{JOB_ID}"
ORDER = {"topic": "A topic", "context": "A context"}
_users = itertools.count(1)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One of this file's own: it is stopped and killed."""
    redis = EmbeddedRedis(tmp_path_factory.mktemp("limits") / "redis")
    redis.start()
    yield redis
    redis.kill()


@pytest.fixture
async def gateway(redis: EmbeddedRedis) -> AsyncIterator[GatewayUnderTest]:
    """With the default limits."""
    async with running_gateway(rate_limits="", redis_url=redis.url) as gateway:
        yield gateway


def somebody(gateway: GatewayUnderTest) -> dict[str, str]:
    """The credential of a user who has called nothing yet."""
    name = f"user-{next(_users)}"
    gateway.script.credentials[name] = gateway.script.owner = name
    return {"Authorization": f"Bearer {name}"}


async def order(gateway: GatewayUnderTest, headers: dict[str, str]) -> httpx.Response:
    """One call of class GENERATE."""
    return await gateway.client.post(GENERATE, json=ORDER, headers=headers)


async def test_A7_O6_the_eleventh_generation_within_a_minute_is_refused(gateway: GatewayUnderTest) -> None:
    """A7, O6: 429 with the body, the fields and Retry-After; no backend sees it; other calls and users go on."""
    alice = somebody(gateway)
    answers = [await order(gateway, alice) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [201] * 10 + [429]
    assert len(gateway.script.created) == 10
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == [*"9876543210", "0"]
    refused = answers[-1]
    assert refused.headers["ratelimit-policy"] == '"generate";q=10;w=60'
    retry_after = int(refused.headers["retry-after"])
    assert refused.headers["ratelimit"] == f'"generate";r=0;t={retry_after}'
    error = error_of(refused)
    assert error["error_code"] == "RATE_LIMIT_EXCEEDED"
    assert error["details"] == {
        "reason": "RATE_LIMITED",
        "class": "generate",
        "scope": "user",
        "limit": 10,
        "window_seconds": 60,
        "retry_after_seconds": retry_after,
    }
    assert 50 < retry_after <= 60
    seen = len(gateway.script.metadata)
    read = await gateway.client.get(JOB, headers=alice)
    assert (read.status_code, read.headers["ratelimit-limit"]) == (200, "300")
    assert len(gateway.script.metadata) == seen + 1
    assert (await order(gateway, somebody(gateway))).status_code == 201


async def test_A7_refusals_of_services_say_what_is_left_too(gateway: GatewayUnderTest) -> None:
    """A7: every limited answer has the fields, also an error; pages of the gateway itself are not limited."""
    headers = somebody(gateway)
    gateway.script.owner = "somebody else"
    missing = await gateway.client.get(JOB, headers=headers)
    assert (missing.status_code, missing.headers["ratelimit"].split(";")[0]) == (404, '"standard"')
    assert "ratelimit" not in (await gateway.client.get("/health")).headers


async def test_A7_gateways_share_a_budget(
    gateway: GatewayUnderTest, redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A7: eight calls at each of two gateways, which are two processes, are sixteen, of which ten pass."""
    headers = somebody(gateway)
    monkeypatch.setenv("T2M_REDIS_URL", redis.url)
    async with gateway_process(gateway.backends) as process:
        address = (await line_with(process, "gateway.listening"))["address"]
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=20) as other:
            calls = [client.post(GENERATE, json=ORDER, headers=headers) for client in (gateway.client, other) * 8]
            statuses = [answer.status_code for answer in await asyncio.gather(*calls)]
    assert sorted(statuses) == [201] * 10 + [429] * 6
    assert len(gateway.script.created) == 10


async def test_A7_no_window_holds_more_than_the_limit(redis: EmbeddedRedis) -> None:
    """A7: the window slides: of six calls that passed, the last came a whole second after the first."""
    limits = '{"plans": {"free": {"generate": "5/second"}}}'
    async with running_gateway(rate_limits=limits, redis_url=redis.url) as gateway:
        headers = somebody(gateway)
        passed: list[tuple[float, float]] = []
        async with asyncio.timeout(20):
            while len(passed) < 17:
                began = time.monotonic()
                answer = await order(gateway, headers)
                if answer.status_code == 201:
                    passed.append((began, time.monotonic()))
        assert min(sixth[1] - first[0] for first, sixth in zip(passed, passed[5:], strict=False)) >= 1.0


async def test_A7_public_calls_count_for_the_address_that_a_trusted_proxy_names(redis: EmbeddedRedis) -> None:
    """A7: eight attempts to log in from one address; a forged field in front of the proxy's buys no ninth."""
    limits = '{"address": {"auth": "8/minute"}}'
    proxied: dict[str, Any] = {"rate_limits": limits, "redis_url": redis.url, "trusted_proxies": "127.0.0.0/8"}
    async with running_gateway(**proxied) as gateway:
        statuses = []
        for attempt in range(10):
            forged = {"X-Forwarded-For": f"198.51.100.{attempt}, 203.0.113.77"}
            statuses.append((await gateway.client.post(LOGIN, json={}, headers=forged)).status_code)
        assert statuses == [501] * 8 + [429] * 2
        other = await gateway.client.post(LOGIN, json={}, headers={"X-Forwarded-For": "203.0.113.78"})
        assert other.status_code == 501
        await gateway.client.get(JOB, headers={**ALICE, "X-Forwarded-For": "203.0.113.78"})
        assert gateway.script.metadata[-1]["x-client-address"] == "203.0.113.78"


async def test_A7_who_tries_credentials_is_stopped_before_auth_is(redis: EmbeddedRedis) -> None:
    """A7: beyond so many refused ones of an address auth is not asked any more; who is known there goes on."""
    limits = '{"address": {"credential": "5/minute"}}'
    async with running_gateway(rate_limits=limits, redis_url=redis.url) as gateway:
        known = somebody(gateway)
        assert (await gateway.client.get(JOB, headers=known)).status_code == 200
        guesses = [{"X-API-Key": f"guess-{number}"} for number in range(20)]
        statuses = [(await gateway.client.get(JOB, headers=guess)).status_code for guess in guesses]
        assert statuses[:5] == [401] * 5
        assert statuses[-10:] == [429] * 10
        assert len(gateway.script.exchanges) < 10
        refused = await gateway.client.get(JOB, headers={"X-API-Key": "one more"})
        assert error_of(refused)["details"]["class"] == "credential"
        assert (await gateway.client.get(JOB, headers=known)).status_code == 200


async def statuses_without_redis(gateway: GatewayUnderTest, headers: dict[str, str]) -> None:
    """Each class does what the defaults say."""
    read = await gateway.client.get(JOB, headers=headers)
    assert (read.status_code, "ratelimit" in read.headers) == (200, False)
    login = await gateway.client.post(LOGIN, json={})
    assert (login.status_code, login.headers["retry-after"]) == (503, "2")
    assert error_of(login)["error_code"] == "SERVICE_UNAVAILABLE"
    answers = [(await order(gateway, headers)).status_code for _ in range(11)]
    assert answers == [201] * 10 + [429]


async def until_limited_again(gateway: GatewayUnderTest, headers: dict[str, str]) -> None:
    """Wait until Redis counts again."""
    async with asyncio.timeout(15):
        limited = False
        while not limited:
            limited = "ratelimit" in (await gateway.client.get(JOB, headers=headers)).headers
    assert (await gateway.client.post(LOGIN, json={})).status_code == 501


async def test_A7_a_killed_redis_opens_or_closes_by_class_and_heals(
    gateway: GatewayUnderTest, redis: EmbeddedRedis
) -> None:
    """A7: reads pass, generations are counted by each gateway, logins are refused; all is well after a restart."""
    headers = somebody(gateway)
    assert "ratelimit" in (await gateway.client.get(JOB, headers=somebody(gateway))).headers
    gateway.script.owner = headers["Authorization"].split()[1]
    redis.kill()
    try:
        await statuses_without_redis(gateway, headers)
    finally:
        redis.start()
    await until_limited_again(gateway, headers)
    left = (await order(gateway, headers)).headers["ratelimit-remaining"]
    assert left == "9", "what was counted here does not count there"


async def test_A7_a_hanging_redis_delays_only_those_who_find_out(
    gateway: GatewayUnderTest, redis: EmbeddedRedis
) -> None:
    """A7: stopped, it costs the first calls their time-out, 0.25 s, and all others next to nothing."""
    headers = somebody(gateway)
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        await asyncio.gather(*(gateway.client.get(JOB, headers=headers) for _ in range(20)))
        began = time.monotonic()
        for _ in range(50):
            assert (await gateway.client.get(JOB, headers=headers)).status_code == 200
        assert time.monotonic() - began < 50 * 0.1
        await statuses_without_redis(gateway, headers)
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    await until_limited_again(gateway, headers)


async def test_A7_streams_are_charged_when_they_are_opened(redis: EmbeddedRedis) -> None:
    """A7: the connection, not its messages."""
    limits = '{"plans": {"free": {"stream": "2/minute"}}}'
    async with running_gateway(rate_limits=limits, redis_url=redis.url) as gateway:
        headers = somebody(gateway)
        for expected in (200, 200, 429):
            async with gateway.client.stream("GET", f"{JOB}/events", headers=headers) as answer:
                assert answer.status_code == expected
                assert answer.headers["ratelimit-limit"] == "2"


def test_A7_the_password_of_redis_is_in_no_log(redis: EmbeddedRedis) -> None:
    """A7: settings show it masked."""
    password = redis.url.split("@")[0].rpartition(":")[2]
    assert password
    assert password not in repr(Settings(redis_url=SecretStr(redis.url)))
