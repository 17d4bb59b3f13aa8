"""What the use cases need from the other services.

`adapters/` and `tests/fakes/job.py` implement it, proven equal by `tests/contract/test_job_neighbours.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.job.application.hls import Segment
from services.job.domain.job import Job
from services.job.domain.render import RenderFact
from services.job.domain.values import Priority


class NeighbourAway(Exception):
    """Another service cannot be reached, or is not able to answer now: what it was told must be told again."""

    faulty = False
    """Whether it was there, and answered with a fault of its own."""


class RenderAway(NeighbourAway):
    """video_render cannot be reached, or is not able to answer now."""


class RenderFaulty(RenderAway):
    """video_render answered with a fault of its own; the same call may meet it for ever."""

    faulty = True


class RenderUnknown(Exception):
    """video_render does not know the render."""


class RenderRefused(Exception):
    """video_render will never accept the render."""


class RenderCursorAhead(Exception):
    """The render has fewer events than the cursor says."""


@dataclass(frozen=True, slots=True)
class PlayableScene:
    """A finished scene at every rung, best first, and what is heard in it."""

    segments: tuple[Segment, ...]
    audio: Segment | None = None


@dataclass(frozen=True, slots=True)
class Playable:
    """The scenes that are finished without a gap from the first on."""

    scenes: tuple[PlayableScene, ...]
    complete: bool
    """Whether these are all there will be."""


class Renders(Protocol):
    """video_render, as seen from here. Every method raises RenderAway when it cannot be reached."""

    async def start(self, job: Job, priority: Priority, storyboard: bytes | None = None) -> None:
        """Start the render of the job's current attempt, its steps in the queue of that priority, of the storyboard if
        one was ordered; repeating it changes nothing. Raises RenderRefused, RenderFaulty.
        """
        ...

    async def cancel(self, render_id: str) -> None:
        """Stop the render; repeating it changes nothing. Raises RenderUnknown."""
        ...

    async def forget(self, owner_id: str, job_id: str) -> None:
        """Stop and forget every render of the job; repeating it changes nothing."""
        ...

    async def playable(self, render_id: str) -> Playable:
        """What can be played of a render. Raises RenderUnknown."""
        ...

    def watch(self, render_id: str, after_seq: int) -> AsyncGenerator[RenderFact]:
        """What happens to the render after the position; ends after its terminal state.

        Raises RenderUnknown, RenderCursorAhead.
        """
        ...


class CreditsAway(NeighbourAway):
    """Credits cannot be looked after now."""


class CreditsRefused(Exception):
    """The credits do not suffice, or the reservation is in a state in which the call makes no sense."""


class Credits(Protocol):
    """The users' credits, as seen from here. Every method raises CreditsAway, and repeating it changes nothing."""

    async def reserve(self, owner_id: str, job_id: str, amount: int) -> None:
        """Set credits aside for a job; they come back by themselves unless confirmed. Raises CreditsRefused."""
        ...

    async def confirm(self, job_id: str) -> None:
        """Keep a reservation until the job ends. Raises CreditsRefused."""
        ...

    async def settle(self, job_id: str) -> None:
        """Spend a reservation. Raises CreditsRefused."""
        ...

    async def release(self, job_id: str) -> None:
        """Give a reservation back, if there is one. Raises CreditsRefused when it is spent."""
        ...


@dataclass(frozen=True, slots=True)
class LocationRequest:
    """Which object a client wants to fetch, and how it is to look to it."""

    object_id: str
    owner_id: str
    filename: str = ""
    inline: bool = False
    cache_control: str = ""
    lifetime: timedelta = timedelta(hours=1)
    expires_at: datetime | None = None
    """In place of the lifetime: the same moment gives the same URL again."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where and how an object can be fetched, for a limited time."""

    object_id: str
    url: str
    redirect: bool
    read_ticket: str
    content_type: str
    size_bytes: int
    etag: str
    filename: str
    inline: bool
    cache_control: str
    modified_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """An object kept for a job; `kind` is `video`, `thumbnail`, `storyboard` or `segment`."""

    kind: str
    object_id: str
    key: str
    size_bytes: int
    version: str = ""
    """The store's own name of its bytes."""


class ObjectMissing(Exception):
    """Storage has no such object of that owner."""


class ObjectsAway(NeighbourAway):
    """storage cannot be reached, or is not able to answer now."""


class Objects(Protocol):
    """storage, as seen from here."""

    async def locate(self, request: LocationRequest) -> Location:
        """A location that works for `lifetime`, or until `expires_at`. Raises ObjectMissing."""
        ...

    async def artifacts(self, owner_id: str, job_id: str) -> list[Artifact]:
        """Everything kept for the job, oldest first."""
        ...

    async def remove(self, owner_id: str, job_id: str, kinds: frozenset[str] = frozenset()) -> tuple[int, int]:
        """Remove the files of the job, all or those of some kinds; how many, and how many bytes. Repeating it changes
        nothing. Raises ObjectsAway.
        """
        ...
