"""What the order service reads from the environment, beside what every service reads."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, IPvAnyNetwork, SecretStr, model_validator

from services.job.domain.order import DEFAULT_PLAN
from services.job.domain.plan import Kept, Plan, Plans
from services.job.domain.retry import TimeLimits
from services.job.domain.values import Quality
from services.runtime.plans import PlanSettings, default_plans
from services.runtime.settings import ServiceSettings

_DAY_S = 86400.0
_KEPT_DAYS = {Kept.JOB: 365.0, Kept.VIDEO: 90.0, Kept.SEGMENT: 7.0}


def known_plan(name: str, settings: PlanSettings) -> Plan:
    """The plan as the domain knows it."""
    days = {**_KEPT_DAYS, **{Kept(kind): value for kind, value in settings.retention_days.items()}}
    kept = {kind: None if value is None else timedelta(seconds=value * _DAY_S) for kind, value in days.items()}
    return Plan(name, settings.in_flight, settings.pinned, kept)


class JobSettings(ServiceSettings):
    """Every name has the prefix `T2M_`; times are in seconds."""

    database_url: str = Field(min_length=1, repr=False)

    service_id: str = Field(min_length=1)
    service_secret: SecretStr = Field(min_length=1)
    """Also keys the page tokens: replicas share it."""

    max_in_flight: int = Field(default=32, ge=1)
    """Renders that may run at once, over all replicas."""
    plans: dict[str, PlanSettings] = Field(default_factory=default_plans)
    """The plans by name, in JSON, the same as auth reads. A user whose plan is not here has the one named `free`."""
    credit_prices: dict[Quality, int] = Field(
        default_factory=lambda: {Quality.LOW: 1, Quality.MEDIUM: 2, Quality.HIGH: 4}
    )
    """Credits that a job of each quality costs; 0 asks nobody."""

    attempt_soft_limit_s: float = Field(default=3600.0, gt=0)
    """An attempt that takes longer, waiting for workers included, has its render stopped and counts as failed. Where
    `max_in_flight` renders share few workers, either is to be set so that a full house is through in that time. Workers
    limit each step by themselves (`T2M_SOFT_TIME_LIMIT_S`, `T2M_HARD_TIME_LIMIT_S`).
    """
    attempt_hard_limit_s: float = Field(default=4000.0, gt=0)
    """The same for an attempt that video_render has never confirmed."""

    retry_base_s: float = Field(default=60.0, ge=0)
    """Longest wait after the first failed attempt; doubles with each."""
    retry_cap_s: float = Field(default=3600.0, ge=0)

    retention_poll_s: float = Field(default=10.0, gt=0)
    """How often is looked for what has had its time."""

    follow_at_once: int = Field(default=64, ge=1)
    """Renders that one replica follows."""
    follow_lease_s: float = Field(default=5.0, gt=0)
    """After so long without a sign of life, another replica takes a render over."""
    progress_step: float = Field(default=1.0, ge=0)
    """Percent that a job must come further before drawn frames are worth an event …"""
    progress_window_s: float = Field(default=0.5, gt=0)
    """… or so much time."""
    poll_s: float = Field(default=1.0, gt=0)
    """How often the background tasks look for what nobody announced."""

    event_keep: int = Field(default=1000, ge=1)
    """Events of a job that Redis keeps; older ones come from Postgres."""
    event_queue: int = Field(default=256, ge=1)
    """Events that a watcher may leave unread before it is cut off."""

    webhook_key: SecretStr = Field(min_length=32)
    """Seals the secrets of webhook endpoints. With another key they must be rotated."""
    webhook_allowed_networks: list[IPvAnyNetwork] = Field(default_factory=list)
    """CIDRs, in JSON, that webhooks may go to although they are not public, also without TLS."""
    webhook_timeout_s: float = Field(default=15.0, gt=0)
    """Longest time that a receiver has to answer."""
    webhook_lease_s: float = Field(default=30.0, gt=0)
    """What a replica that died was sending is sent again after this."""
    webhook_at_once: int = Field(default=32, ge=1)
    """Messages that one replica is sending."""
    webhook_per_endpoint: int = Field(default=2, ge=1)
    """Of these, to one endpoint; over all replicas."""

    @model_validator(mode="after")
    def _a_lease_outlives_an_attempt(self) -> Self:
        if self.webhook_lease_s <= self.webhook_timeout_s:
            raise ValueError("webhook_lease_s must be longer than webhook_timeout_s")
        return self

    @model_validator(mode="after")
    def _the_hard_limit_is_the_last(self) -> Self:
        if self.attempt_hard_limit_s < self.attempt_soft_limit_s:
            raise ValueError("attempt_hard_limit_s must not be shorter than attempt_soft_limit_s")
        return self

    def time_limits(self) -> TimeLimits:
        """How long an attempt may take."""
        return TimeLimits(timedelta(seconds=self.attempt_soft_limit_s), timedelta(seconds=self.attempt_hard_limit_s))

    def known_plans(self) -> Plans:
        """The plans as the domain knows them."""
        plans = {DEFAULT_PLAN: PlanSettings(), **self.plans}
        return Plans({name: known_plan(name, plan) for name, plan in plans.items()})
