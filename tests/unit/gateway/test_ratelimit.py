"""Budgets and how calls are charged to them (A7), on the memory of this process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import ApiError
from gateway.ratelimit import Limiter, RateConfig, memory_store
from gateway.ratelimit.config import Budget
from gateway.ratelimit.store import LimitStore, StoreAwayError
from gateway.settings import Settings


class Store(LimitStore):
    """Counts what is asked of the real counters, which can be put out of reach."""

    def __init__(self) -> None:
        self._real = memory_store()
        self.asked = 0
        self.away = False

    async def take(self, budget: Budget, subject: str, cost: int) -> bool:
        self.asked += 1
        if self.away:
            raise StoreAwayError
        return await self._real.take(budget, subject, cost)

    async def standing(self, budget: Budget, subject: str) -> tuple[int, float]:
        return await self._real.standing(budget, subject)


class Counted:
    """A limiter, its store and its clock."""

    def __init__(self, **config: Any) -> None:
        self.store = Store()
        self.now = 100.0
        self.limiter = Limiter(RateConfig.model_validate(config), self.store, clock=lambda: self.now)

    async def call(self, rate_class: Any = "generate", user: str | None = "ada", **more: Any) -> dict[str, str]:
        """The headers of an admitted call."""
        more.setdefault("address", "192.0.2.1")
        headers = await self.limiter.admit(rate_class, user_id=user, **more)
        return {name.decode(): value.decode() for name, value in headers}

    async def admitted(self, count: int, *args: Any, **more: Any) -> int:
        """How many of so many calls pass."""
        passed = 0
        for _ in range(count):
            try:
                await self.call(*args, **more)
                passed += 1
            except ApiError as error:
                if error.status != 429:
                    raise
        return passed


async def test_A7_the_default_is_ten_generations_a_minute() -> None:
    """A7, O6: the eleventh is a 429 that says how long to wait."""
    counted = Counted()
    first = await counted.call()
    assert first["ratelimit-policy"] == '"generate";q=10;w=60'
    assert first["ratelimit"] == '"generate";r=9;t=60'
    assert (first["ratelimit-limit"], first["ratelimit-remaining"], first["ratelimit-reset"]) == ("10", "9", "60")
    assert await counted.admitted(20) == 9
    with pytest.raises(ApiError) as refused:
        await counted.call()
    error = refused.value
    assert (error.status, error.error_code, error.reason) == (429, "RATE_LIMIT_EXCEEDED", "RATE_LIMITED")
    assert error.details.items() >= {"class": "generate", "limit": 10, "window_seconds": 60, "scope": "user"}.items()
    headers = dict(error.headers)
    assert int(headers[b"retry-after"]) == error.details["retry_after_seconds"] in range(50, 61)
    assert headers[b"ratelimit-remaining"] == b"0"


async def test_A7_budgets_are_per_user_and_class_and_plan() -> None:
    """A7: nobody pays for another; a plan has its own limits, an unknown one those of free, admins theirs."""
    counted = Counted(plans={"pro": {"generate": "12/minute"}})
    assert await counted.admitted(20) == 10
    assert await counted.admitted(20, user="bob") == 10
    assert await counted.admitted(20, user="pam", plan="pro") == 12
    assert await counted.admitted(20, user="una", plan="no such plan") == 10
    assert await counted.admitted(20, user="eve", plan="pro", admin=True) == 20
    assert await counted.admitted(5, "standard") == 5


async def test_A7_public_calls_count_for_their_address() -> None:
    """A7: and calls of class AUTH always do, whoever is logged in."""
    counted = Counted(address={"auth": "3/minute"}, plans={"free": {"auth": "2/minute"}})
    assert await counted.admitted(5, "auth", user=None) == 3
    assert await counted.admitted(5, "auth", user=None, address="192.0.2.2") == 3
    assert await counted.admitted(5, "auth", user="ada", address="192.0.2.3") == 2
    assert await counted.admitted(1, "auth", user="bob", address="192.0.2.1") == 0


async def test_A7_the_deployment_has_a_budget_that_refused_calls_do_not_use() -> None:
    """A7: one user beyond the limit does not shut out the others; how much is left is not told."""
    counted = Counted(deployment={"generate": "15/minute"})
    assert await counted.admitted(40, user="ada") == 10
    assert await counted.admitted(40, user="bob") == 5
    with pytest.raises(ApiError) as refused:
        await counted.call(user="cid")
    assert refused.value.details["scope"] == "deployment"
    assert "limit" not in refused.value.details
    assert b"ratelimit" not in dict(refused.value.headers)


async def test_A7_cheap_calls_are_taken_in_blocks_and_still_bounded() -> None:
    """A7: 100 calls take a few questions; not one more than the limit passes in this process."""
    counted = Counted(plans={"free": {"standard": "100/minute"}}, deployment={"standard": "off"})
    remaining = [int((await counted.call("standard"))["ratelimit-remaining"]) for _ in range(100)]
    assert remaining == list(range(99, -1, -1))
    assert counted.store.asked == 10
    assert await counted.admitted(50, "standard") == 0
    assert counted.store.asked <= 12, "a refusal is repeated without asking"


async def test_A7_calls_at_once_share_a_block() -> None:
    """A7: hundreds of calls at once never take more than the limit."""
    counted = Counted(plans={"free": {"standard": "100/minute"}})
    answers = await asyncio.gather(*(counted.call("standard") for _ in range(300)), return_exceptions=True)
    assert sum(isinstance(answer, dict) for answer in answers) == 100


async def test_A7_without_its_store_each_class_does_what_is_configured() -> None:
    """A7: standard passes, generate is counted here, auth is closed with 503 and Retry-After."""
    counted = Counted(address={"generate": "off"})
    counted.store.away = True
    assert await counted.call("standard") == {}
    assert await counted.call("stream") == {}
    assert await counted.admitted(20, "generate") == 10
    with pytest.raises(ApiError) as closed:
        await counted.call("auth", user=None)
    assert closed.value.status == 503
    assert dict(closed.value.headers)[b"retry-after"] == b"2"
    counted.store.away = False
    assert await counted.admitted(20, "auth", user=None) > 0


async def test_A7_what_a_store_that_is_away_means_can_be_set() -> None:
    """A7."""
    counted = Counted(without_redis={"standard": "closed", "auth": "open"})
    counted.store.away = True
    assert await counted.call("auth", user=None) == {}
    with pytest.raises(ApiError, match="count cannot be had"):
        await counted.call("standard")


def test_A7_limits_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A7: JSON over the defaults, or off."""
    monkeypatch.setenv("T2M_RATE_LIMITS", '{"plans": {"pro": {"generate": "5/second"}, "lab": {"stream": "off"}}}')
    config = Settings().rate_limits
    assert config is not None
    assert config.plans["pro"] == {
        "standard": "1200/minute",
        "generate": "5/second",
        "auth": "30/minute",
        "stream": "240/minute",
    }
    assert config.plans["lab"]["generate"] == "10/minute"
    assert "stream" not in config.budgets("user", config.plans["lab"])
    monkeypatch.setenv("T2M_RATE_LIMITS", "off")
    assert Settings().rate_limits is None


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "[]",
        '{"plans": []}',
        '{"plans": {"free": []}}',
        '{"plan": {}}',
        '{"address": {"auth": "many"}}',
        '{"address": {"login": "1/minute"}}',
        '{"address": {"auth": 5}}',
        '{"without_redis": {"auth": "maybe"}}',
    ],
)
def test_A7_limits_that_make_no_sense_stop_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A7."""
    monkeypatch.setenv("T2M_RATE_LIMITS", text)
    with pytest.raises(ValueError, match="rate_limits"):
        Settings()


def test_A7_in_production_gateways_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A7: limits without Redis, and `*` beside cookies, are refused at the start."""
    monkeypatch.setenv("T2M_ENVIRONMENT", "prod")
    with pytest.raises(ValueError, match="T2M_REDIS_URL"):
        Settings()
    monkeypatch.setenv("T2M_REDIS_URL", "redis://redis:6379/0")
    assert Settings().trusted_proxies == ()
    monkeypatch.setenv("T2M_CORS_ORIGINS", "*")
    with pytest.raises(ValueError, match="T2M_SESSION_COOKIES"):
        Settings()
