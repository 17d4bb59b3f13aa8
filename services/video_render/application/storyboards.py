"""Storyboards before anything is drawn: plan, check, edit (V9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.video_render.application.engine import Planner, ladder_of
from services.video_render.application.plan_step import configured, scene_address, title_of
from services.video_render.application.planning import pacing
from services.video_render.application.ports import RenderStore
from services.video_render.domain.errors import NotPlanned
from services.video_render.domain.request import DEFAULT_PLANNER, Quality
from services.video_render.domain.storyboard import Storyboard


@dataclass(frozen=True, slots=True)
class SceneForecast:
    """What is known of a scene before it is rendered; `rendered` when the owner has rendered the same one before."""

    id: str
    title: str
    kind: str
    duration_s: float
    frames: int
    rendered: bool


@dataclass(frozen=True, slots=True)
class Storyboards:
    """The use cases behind `StoryboardService`. `engine_version` is asked for when first needed."""

    store: RenderStore
    planners: Mapping[str, Planner]
    engine_version: Callable[[], str]
    voice_name: str = ""

    async def plan(self, topic: str, context: str, planner: str, configuration: Mapping[str, Any]) -> Storyboard:
        """What a planner makes of a topic; raises `StoryboardInvalid`."""
        board = await asyncio.to_thread(self.planners[planner or DEFAULT_PLANNER].plan, topic, context)
        return configured(board, configuration)

    async def forecast(
        self, owner_id: str, board: Storyboard, qualities: Sequence[Quality], *, narration: bool = False
    ) -> Sequence[SceneForecast]:
        """How long its scenes are expected to be, and which of them are rendered already, at every rung."""
        ladder = ladder_of(qualities)
        version = await asyncio.to_thread(self.engine_version)
        voice = self.voice_name if narration else ""
        addresses = [scene_address(board, scene, ladder, version, voice) for scene in board.scenes]
        rendered = await self.store.cached_scenes(owner_id, addresses)
        forecasts = []
        for scene, address in zip(board.scenes, addresses, strict=True):
            known = rendered.get(address)
            seconds = known.duration_s if known else scene.duration_s or pacing.duration(scene.content)
            frames = known.frames if known else round(seconds * ladder[0].fps)
            forecasts.append(SceneForecast(scene.id, title_of(scene), scene.kind, seconds, frames, known is not None))
        return forecasts

    async def of_render(self, render_id: str) -> Storyboard:
        """The storyboard of a render; raises `RenderNotFound`, `NotPlanned`."""
        render = await self.store.get(render_id)
        if render.storyboard is None:
            raise NotPlanned(render_id)
        return Storyboard.from_dict(render.storyboard)
