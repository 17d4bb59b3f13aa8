"""The plans of a deployment as its operator writes them: one JSON (`T2M_PLANS`) for every service that goes by plans.

Each service reads what concerns it: auth sells the plans and counts credits, job limits what runs at once and decides
how long what is kept. The rest it passes over; a name that nobody knows is refused at the start.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_PLAN = "free"
"""The plan of whoever has no other one."""


class PlanSettings(BaseModel):
    """A plan in `T2M_PLANS`, for example `{"pro": {"price": 1500, "credits": 300, "in_flight": 16}}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(default="", max_length=100)
    """What people read; the name where it is empty."""
    price: int = Field(default=0, ge=0, le=10**9)
    """For each period, in minor units of the currency (cents). A plan without a price is anybody's who asks for it."""
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    period: Literal["month", "year"] = "month"
    credits: int = Field(default=0, ge=0, le=10**9)
    """Granted at the beginning of each period, once it is paid."""
    rollover_credits: int = Field(default=0, ge=0, le=10**9)
    """How many of them, when they are left at the end of the period, last into the next one."""
    metered: bool = False
    """Whether jobs are refused that the balance does not cover. Where it is not, jobs are counted all the same."""
    signup_credits: int = Field(default=0, ge=0, le=10**9)
    """Given once to who registers, if this is the plan of new users."""
    in_flight: int = Field(default=4, ge=1)
    """Jobs of one user that run at once."""
    pinned: int = Field(default=50, ge=0)
    """Jobs of one user that may be pinned."""
    retention_days: dict[Literal["job", "video", "segment"], float | None] = Field(default_factory=dict)
    """Days that each is kept after the job's end; fractions are allowed, null is for ever. What is not named is kept
    for 365 (job), 90 (video) and 7 (segment) days.
    """


def default_plans() -> dict[str, PlanSettings]:
    """The plans of a deployment whose operator says nothing: nobody is refused for credits, who pays gets more at once
    and for longer.
    """
    return {
        DEFAULT_PLAN: PlanSettings(title="Free"),
        "pro": PlanSettings(
            title="Pro", price=1500, credits=300, rollover_credits=300, in_flight=8, pinned=500,
            retention_days={"job": None, "video": 365},
        ),
        "studio": PlanSettings(
            title="Studio", price=6000, credits=1500, rollover_credits=1500, in_flight=16, pinned=5000,
            retention_days={"job": None, "video": None, "segment": 30},
        ),
    }  # fmt: skip
