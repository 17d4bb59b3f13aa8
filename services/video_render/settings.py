"""Settings of the video_render service and its workers, from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.runtime.settings import ServiceSettings

_MIB = 1024 * 1024


class VideoRenderSettings(ServiceSettings):
    """Every name with the prefix `T2M_`, as `T2M_BROKER_URL`. Times are in seconds."""

    broker_url: str = Field(default="", repr=False)
    """Celery's broker, such as `redis://…`, `amqp://…` or `sqs://…`; `redis_url` when empty."""

    lease_s: float = Field(default=15.0, gt=3)
    """How long a step stays with a worker that is silent."""
    heartbeat_s: float = Field(default=3.0, gt=0)
    max_attempts: int = Field(default=4, ge=1)
    """How often a step is begun before its render fails."""
    retry_pause_s: float = Field(default=1.0, ge=0)
    """Wait after the first failed attempt at a step; doubled for each further one."""
    soft_time_limit_s: float = Field(default=3600.0, gt=0)
    """An attempt at a step that takes longer fails."""
    hard_time_limit_s: float = Field(default=4000.0, gt=0)
    """A process that still works on a step after this is killed."""
    sweep_interval_s: float = Field(default=1.0, gt=0)
    empty_queue_s: float = Field(default=3.0, gt=0)
    """A step offered this long ago that is not in the (empty) queue was lost by it, and is offered again."""
    busy_queue_s: float = Field(default=600.0, gt=0)
    """The same, where the queue is not empty."""
    progress_every_s: float = Field(default=0.5, ge=0.1)
    """Least time between two progress events of a scene."""
    spool_max_bytes: int = Field(default=4096 * _MIB, ge=0)
    """How much of the scratch folder drawn scenes may take that wait for the storage; a worker that has more waits
    with them.
    """

    voice_url: str = ""
    """A server with the OpenAI API's `POST /audio/speech`: `https://api.openai.com/v1`. espeak-ng when empty."""
    voice_key: SecretStr = SecretStr("")
    voice_model: str = "gpt-4o-mini-tts"
    voice_name: str = "alloy"

    worker_concurrency: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Steps that a worker runs at a time."""
    scene_memory_bytes: int = Field(default=4096 * _MIB, ge=0)
    """The most that the process drawing a scene may allocate; 0 for no limit."""
    pool_memory_bytes: int = Field(default=1536 * _MIB, ge=0)
    """A process that runs steps and has grown beyond this is replaced after its step; 0 for never."""
    scratch_dir: Path = Path(".t2m/scratch")
    segments_max_bytes: int = Field(default=2048 * _MIB, ge=0)
    """How much of the scratch folder finished segments may take."""
    cache_unused_s: float = Field(default=30 * 86_400.0, gt=0)
    """A remembered scene that was of no use for so long is forgotten."""
    cache_max_bytes: int = Field(default=10 * 1024 * _MIB, ge=0)
    """How large an owner's remembered scenes may be together; the least recently used are forgotten."""
    ready_file: Path | None = None
    """Touched by a worker once it takes tasks."""

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.heartbeat_s * 2 > self.lease_s:
            raise ValueError("lease_s must be at least twice heartbeat_s: one lost heartbeat is no reason to stop")
        if self.hard_time_limit_s <= self.soft_time_limit_s:
            raise ValueError("hard_time_limit_s must be longer than soft_time_limit_s")
        return self

    @property
    def broker(self) -> str:
        """The broker's URL."""
        return self.broker_url or self.redis_url
