"""The budgets, from JSON over sane defaults.

    {"plans": {"pro": {"generate": "60/minute"}}, "address": {"auth": "off"}, "without_redis": {"auth": "local"}}

A limit is written as `limits` reads it (`10/minute`, `5 per 10 second`), or `off`. What is not said keeps its default;
a plan that is not known here has the limits of `free`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import orjson
from limits import RateLimitItem, parse
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from t2m.common.v1 import options_pb2

ClassName = Literal["standard", "generate", "auth", "stream", "credential"]
"""Those of the proto; and `credential`, which a credential that auth has refused counts for, at its address."""
Scope = Literal["user", "address", "deployment"]
WithoutRedis = Literal["open", "local", "closed"]
"""Of a class of calls while Redis is away: all pass, each process counts for itself, none passes."""

CLASS_NAMES: Mapping[int, ClassName] = {
    options_pb2.RATE_CLASS_UNSPECIFIED: "standard",
    options_pb2.RATE_CLASS_STANDARD: "standard",
    options_pb2.RATE_CLASS_GENERATE: "generate",
    options_pb2.RATE_CLASS_AUTH: "auth",
    options_pb2.RATE_CLASS_STREAM: "stream",
}
"""The proto option → its name here, in answers and in metrics."""

DEFAULT_PLAN = "free"
ADMIN_PLAN = "admin"
"""What holds for the role admin, whatever plan the account has."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "plans": {
        "free": {"standard": "300/minute", "generate": "10/minute", "auth": "30/minute", "stream": "60/minute"},
        "pro": {"standard": "1200/minute", "generate": "30/minute", "stream": "240/minute"},
        "studio": {"standard": "3000/minute", "generate": "60/minute", "stream": "600/minute"},
        "admin": {"standard": "6000/minute", "generate": "120/minute", "stream": "1200/minute"},
    },
    "address": {
        "standard": "600/minute",
        "generate": "10/minute",
        "auth": "30/minute",
        "stream": "60/minute",
        "credential": "120/minute",
    },
    "deployment": {
        "standard": "120000/minute",
        "generate": "1200/minute",
        "auth": "6000/minute",
        "stream": "12000/minute",
    },
    "without_redis": {
        "standard": "open",
        "generate": "local",
        "auth": "closed",
        "stream": "open",
        "credential": "local",
    },
}
_MAX_BLOCK = 100
_BLOCKS_PER_BUDGET = 10


def _checked(text: str) -> str:
    if text != "off":
        parse(text)  # ValueError
    return text


Limit = Annotated[str, AfterValidator(_checked)]
Limits = dict[ClassName, Limit]


@dataclass(frozen=True, eq=False)
class Budget:
    """One limit of one class and scope; it is kept for each subject: a user, an address, the deployment.

    An exact budget (of a user's or an address's calls that start work or check a secret) keeps the time of every call:
    no window of that length ever holds more than the limit. Any other keeps two counters of adjacent windows, and calls
    are taken from the store in blocks of `block`.
    """

    scope: Scope
    rate_class: ClassName
    item: RateLimitItem
    exact: bool
    block: int

    @cached_property
    def limit(self) -> int:
        """Calls in a window."""
        return self.item.amount

    @cached_property
    def window_s(self) -> int:
        """Length of the window in seconds."""
        return self.item.get_expiry()


class RateConfig(BaseModel):
    """What `T2M_RATE_LIMITS` says, complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plans: dict[str, Limits]
    address: Limits
    deployment: Limits
    without_redis: dict[ClassName, WithoutRedis]

    @model_validator(mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("plans", {}), dict):
            raise ValueError("expected JSON objects of limits")  # noqa: TRY004 - pydantic turns ValueError into its own
        plans = given.get("plans", {})
        merged: dict[str, Any] = {**given, "plans": {}}
        for name in {**_DEFAULTS["plans"], **plans}:
            free = {**_DEFAULTS["plans"][DEFAULT_PLAN], **plans.get(DEFAULT_PLAN, {})}
            merged["plans"][name] = {**free, **_DEFAULTS["plans"].get(name, {}), **plans.get(name, {})}
        for part in ("address", "deployment", "without_redis"):
            merged[part] = {**_DEFAULTS[part], **given.get(part, {})}
        return merged

    @classmethod
    def from_text(cls, text: str) -> RateConfig | None:
        """None for `off`. Raises ValueError."""
        if text.strip().lower() == "off":
            return None
        try:
            return cls.model_validate(orjson.loads(text) if text.strip() else {})
        except TypeError as error:
            raise ValueError(f"expected JSON objects of limits: {error}") from error

    def budgets(self, scope: Scope, limits: Limits) -> dict[ClassName, Budget]:
        """Of every class that is not off."""
        return {name: _budget(scope, name, text) for name, text in limits.items() if text != "off"}


def _budget(scope: Scope, name: ClassName, text: str) -> Budget:
    item = parse(text)
    exact = name in ("generate", "auth") and scope != "deployment"
    block = 1 if exact else max(1, min(item.amount // _BLOCKS_PER_BUDGET, _MAX_BLOCK))
    return Budget(scope, name, item, exact, block)
