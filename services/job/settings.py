"""What the order service reads from the environment, beside what every service reads."""

from __future__ import annotations

from pydantic import Field, SecretStr

from services.runtime.settings import ServiceSettings


class JobSettings(ServiceSettings):
    """Every name has the prefix `T2M_`; times are in seconds."""

    database_url: str = Field(min_length=1, repr=False)

    service_id: str = Field(min_length=1)
    service_secret: SecretStr = Field(min_length=1)
    """Also keys the page tokens: replicas share it."""

    max_in_flight: int = Field(default=32, ge=1)
    """Renders that may run at once, over all replicas."""
    max_in_flight_per_user: int = Field(default=4, ge=1)
    fair_share_step_s: float = Field(default=300.0, ge=0)
    """By how much each job that a user has in flight delays that user's next one against those of others."""

    retry_base_s: float = Field(default=60.0, ge=0)
    """Longest wait after the first failed attempt; doubles with each."""
    retry_cap_s: float = Field(default=3600.0, ge=0)

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
