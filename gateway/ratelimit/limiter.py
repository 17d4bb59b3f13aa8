"""Decides which budgets a call is charged to, and what its answer says about them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import structlog

from gateway.errors import ApiError, unavailable
from gateway.metrics import RATE_LIMIT_WITHOUT_REDIS, RATE_LIMITED
from gateway.ratelimit.config import ADMIN_PLAN, DEFAULT_PLAN, ClassName, RateConfig
from gateway.ratelimit.meter import ExhaustedError, Meter, Standing
from gateway.ratelimit.store import LimitStore, StoreAwayError, memory_store

log = structlog.get_logger("gateway.ratelimit")

Header = tuple[bytes, bytes]
_DEPLOYMENT = "all"
_AWAY_RETRY_S = 2


class _Meters:
    """Every budget over one store."""

    def __init__(self, config: RateConfig, store: LimitStore, clock: Callable[[], float]) -> None:
        def meters(scope: str, limits: dict[ClassName, str]) -> dict[ClassName, Meter]:
            return {name: Meter(budget, store, clock) for name, budget in config.budgets(scope, limits).items()}  # type: ignore[arg-type]

        self.plans = {plan: meters("user", limits) for plan, limits in config.plans.items()}
        self.address = meters("address", config.address)
        self.deployment = meters("deployment", config.deployment)


class Limiter:
    """Charges calls.

    A call of a user counts for the user under the limits of the plan, a public one for its address, one that checks a
    secret for both, and each for the deployment: last, so that who is refused does not use up what is everybody's.
    """

    def __init__(self, config: RateConfig, store: LimitStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._without_redis = config.without_redis
        self._shared = _Meters(config, store, clock)
        self._local = _Meters(config, memory_store(), clock)

    async def admit(
        self, rate_class: ClassName, address: str, user_id: str | None, plan: str = "", *, admin: bool = False
    ) -> list[Header]:
        """Charge a call; the headers for its answer. `address` is what the client is counted under.

        Raises ApiError 429, or 503 when the counters are away and the class is to be closed then.
        """
        plan = ADMIN_PLAN if admin else plan
        try:
            try:
                return await self._charge(self._shared, rate_class, address, user_id, plan)
            except StoreAwayError:
                mode = self._without_redis[rate_class]
                RATE_LIMIT_WITHOUT_REDIS.labels(rate_class, mode).inc()
                if mode == "closed":
                    raise _closed() from None
                if mode == "open":
                    return []
                return await self._charge(self._local, rate_class, address, user_id, plan)
        except ExhaustedError as error:
            budget = error.standing.budget
            RATE_LIMITED.labels(budget.rate_class, budget.scope).inc()
            raise _refusal(error.standing) from None

    def check_credentials(self, address: str) -> None:
        """Raise ApiError 429 while the address has had too many credentials refused."""
        for meters in (self._shared, self._local):
            meter = meters.address.get("credential")
            try:
                if meter is not None:
                    meter.check(address)
            except ExhaustedError as error:
                RATE_LIMITED.labels("credential", "address").inc()
                raise _refusal(error.standing) from None

    async def count_refused_credential(self, address: str) -> None:
        """Count a credential that auth has refused; `check_credentials` says when it was one too many."""
        with contextlib.suppress(ApiError):
            await self.admit("credential", address, None)

    @property
    def store_state(self) -> str:
        """As `LimitStore.state`."""
        return self._store.state

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    async def _charge(
        self, meters: _Meters, rate_class: ClassName, address: str, user_id: str | None, plan: str
    ) -> list[Header]:
        tightest: Standing | None = None
        if user_id is None or rate_class == "auth":
            meter = meters.address.get(rate_class)
            if meter is not None:
                tightest = await meter.charge(address)
        if user_id is not None:
            limits = meters.plans.get(plan)
            meter = (meters.plans[DEFAULT_PLAN] if limits is None else limits).get(rate_class)
            if meter is not None:
                standing = await meter.charge(user_id)
                if tightest is None or standing.remaining < tightest.remaining:
                    tightest = standing
        meter = meters.deployment.get(rate_class)
        if meter is not None:
            await meter.charge(_DEPLOYMENT)
        return [] if tightest is None else headers(tightest)


def headers(standing: Standing) -> list[Header]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-10, and the three of its older versions."""
    budget, remaining, reset_s = standing.budget, standing.remaining, standing.reset_s
    name = budget.rate_class.encode()
    return [
        (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (name, budget.limit, budget.window_s)),
        (b"ratelimit", b'"%s";r=%d;t=%d' % (name, remaining, reset_s)),
        (b"ratelimit-limit", b"%d" % budget.limit),
        (b"ratelimit-remaining", b"%d" % remaining),
        (b"ratelimit-reset", b"%d" % reset_s),
    ]


def _refusal(standing: Standing) -> ApiError:
    budget, seconds = standing.budget, standing.reset_s
    details = {
        "class": budget.rate_class,
        "scope": budget.scope,
        "limit": budget.limit,
        "window_seconds": budget.window_s,
        "retry_after_seconds": seconds,
    }
    message = f"more than {budget.limit} calls of class {budget.rate_class} in {budget.window_s} s"
    # How much the whole deployment takes is not for everybody to read.
    if budget.scope == "deployment":
        del details["limit"]
        message = "the service has more to do than it can take on at the moment"
    error = ApiError(429, "RATE_LIMIT_EXCEEDED", message, "RATE_LIMITED", details)
    error.headers.append((b"retry-after", b"%d" % seconds))
    if budget.scope != "deployment":
        error.headers += headers(standing)
    return error


def _closed() -> ApiError:
    return unavailable("this call is limited, and its count cannot be had at the moment", _AWAY_RETRY_S)
