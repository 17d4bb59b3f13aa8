"""Storyboards as a product of their own: plan, price, order, remix (V9).

What a storyboard says is video_render's business. Here it is bytes with a title, kept under their own hash, so that
jobs of the same storyboard share one copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from services.job.application.estimates import Estimates
from services.job.application.neighbours import RenderAway, RenderUnknown
from services.job.application.orders import Orders
from services.job.application.ports import Viewer
from services.job.application.queries import Queries
from services.job.application.request import OrderRequest
from services.job.application.reservations import Reservations
from services.job.domain.errors import ArtifactNotFound, RendersUnavailable, StateConflict, Unsupported
from services.job.domain.job import Job
from services.job.domain.order import SCRIPT_MODEL
from services.job.domain.values import Quality


@dataclass(frozen=True, slots=True)
class Storyboard:
    """A storyboard as its neighbour serialises it, and what it is called."""

    data: bytes
    title: str


@dataclass(frozen=True, slots=True)
class SceneForecast:
    """What is known of a scene before it is rendered; `rendered` when the owner has rendered the same one before."""

    id: str
    title: str
    kind: str
    duration: timedelta
    frames: int
    rendered: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a storyboard costs. `processing` is None while no job of the quality has completed."""

    scenes: Sequence[SceneForecast]
    credits: int
    processing: timedelta | None


class StoryboardTools(Protocol):
    """video_render's knowledge of storyboards. Every method raises RenderAway, and FieldsRefused with the field paths
    of what is wrong.
    """

    async def plan(self, topic: str, context: str, configuration: Mapping[str, Any]) -> tuple[Storyboard, list[str]]:
        """What a planner makes of a topic, and what it could not keep."""
        ...

    async def forecast(
        self, owner_id: str, storyboard: Storyboard, quality: Quality, *, narration: bool = False
    ) -> list[SceneForecast]:
        """What is known of its scenes."""
        ...

    async def edit(self, storyboard: Storyboard, edits: bytes) -> Storyboard:
        """The storyboard after serialised edits."""
        ...

    async def of_render(self, render_id: str) -> Storyboard:
        """The storyboard of a render. Raises RenderUnknown, StateConflict while it is not planned."""
        ...


class StoryboardStore(Protocol):
    """Keeps ordered storyboards as long as a job refers to them, and for a day."""

    async def keep(self, owner_id: str, storyboard: Storyboard, now: datetime) -> str:
        """Store it; its name, equal for equal bytes of the owner."""
        ...

    async def load(self, owner_id: str, name: str) -> Storyboard | None:
        """The storyboard of this name."""
        ...

    async def purge(self, before: datetime) -> int:
        """Forget those that no job refers to and that were last ordered before a moment; how many."""
        ...


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Now."""
        ...


class Storyboards:
    """The use cases behind `StoryboardService`. All raise FieldsRefused and RendersUnavailable."""

    def __init__(
        self,
        tools: StoryboardTools,
        store: StoryboardStore,
        orders: Orders,
        queries: Queries,
        estimates: Estimates,
        reservations: Reservations,
        clock: Clock,
    ) -> None:
        self._tools = tools
        self._store = store
        self._orders = orders
        self._queries = queries
        self._estimates = estimates
        self._reservations = reservations
        self._clock = clock

    async def plan(
        self,
        viewer: Viewer,
        topic: str,
        context: str,
        model: str,
        configuration: Mapping[str, Any],
        quality: Quality,
    ) -> tuple[Storyboard, list[str], Estimate]:
        """What the planner makes of a topic, what it could not keep, and what it costs. Raises Unsupported."""
        if model not in ("", SCRIPT_MODEL):
            raise Unsupported([("model", f"only `{SCRIPT_MODEL}` is configured here")])
        try:
            board, warnings = await self._tools.plan(topic, context, configuration)
        except RenderAway as away:
            raise RendersUnavailable from away
        return board, warnings, await self.estimate(viewer, board, quality)

    async def estimate(
        self, viewer: Viewer, storyboard: Storyboard, quality: Quality, *, narration: bool = False
    ) -> Estimate:
        """What it would cost."""
        try:
            scenes = await self._tools.forecast(viewer.subject, storyboard, quality, narration=narration)
        except RenderAway as away:
            raise RendersUnavailable from away
        pace = await self._estimates.pace(quality)
        frames = sum(scene.frames for scene in scenes if not scene.rendered)
        price = self._reservations.price(quality)
        if pace is None:
            return Estimate(scenes, price, None)
        processing = pace.planning + pace.per_frame * frames + pace.assembling + pace.publishing
        return Estimate(scenes, price, processing)

    async def render(
        self, viewer: Viewer, storyboard: Storyboard, request: OrderRequest, request_id: str
    ) -> tuple[Job, Estimate]:
        """Order its video; with a request id that is in use, the job as it was first accepted.

        Raises what `Orders.create` raises.
        """
        quality = request.quality or Quality.MEDIUM
        estimate = await self.estimate(viewer, storyboard, quality, narration=request.narration)
        name = await self._store.keep(viewer.subject, storyboard, self._clock.now())
        order = replace(request, topic=storyboard.title, storyboard=name)
        return await self._orders.create(viewer, order, request_id), estimate

    async def of_job(self, viewer: Viewer, job_id: str) -> Storyboard:
        """What was ordered, or what the planner has made. Raises JobNotFound, StateConflict, ArtifactNotFound."""
        job = await self._queries.visible(viewer, job_id)
        if job.order.storyboard:
            kept = await self._store.load(job.order.owner_id, job.order.storyboard)
            if kept is not None:
                return kept
        if not job.attempt:
            raise StateConflict(f"there is no storyboard yet: the job is {job.status}")
        try:
            return await self._tools.of_render(job.render_id)
        except RenderUnknown:
            raise ArtifactNotFound("the storyboard is not kept any more") from None
        except RenderAway as away:
            raise RendersUnavailable from away

    async def remix(
        self, viewer: Viewer, job_id: str, edits: bytes, request: OrderRequest, request_id: str
    ) -> tuple[Job, Estimate]:
        """Order another video of a job's storyboard with changes; what the request leaves open is as in the job.

        Raises JobNotFound, StateConflict, ArtifactNotFound, and what `Orders.create` raises.
        """
        board = await self.of_job(viewer, job_id)
        origin = (await self._queries.visible(viewer, job_id)).order
        try:
            changed = await self._tools.edit(board, edits)
        except RenderAway as away:
            raise RendersUnavailable from away
        request = replace(
            request,
            quality=request.quality or origin.quality,
            priority=request.priority or origin.priority,
            max_retries=origin.max_retries if request.max_retries is None else request.max_retries,
            thumbnails=origin.thumbnails,
            narration=origin.narration,
            scene_fallback=origin.scene_fallback,
        )
        return await self.render(viewer, changed, request, request_id)
