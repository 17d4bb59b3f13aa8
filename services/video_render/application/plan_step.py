"""The plan step: request → storyboard → scenes, those known already taken from the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.video_render.application.engine import Ladder, Planner, ladder_of
from services.video_render.application.ports import RenderStore
from services.video_render.application.steps import Claim
from services.video_render.application.transition import transition
from services.video_render.domain.content_address import content_hash
from services.video_render.domain.progress import estimated_frames
from services.video_render.domain.render import Plan, PlannedScene
from services.video_render.domain.storyboard import Scene, Storyboard, TitleCard


@dataclass(frozen=True, slots=True)
class PlanStep:
    """Plans by the planner that the request names."""

    store: RenderStore
    planners: Mapping[str, Planner]
    engine_version: str
    voice_name: str = ""
    """Whose voice speaks what is to be spoken."""

    async def __call__(self, claim: Claim) -> None:
        """Raises `StoryboardInvalid`, `LeaseLost`."""
        request = claim.render.request
        if claim.render.storyboard is not None:  # It was ordered as it is, or planned by an attempt that then died.
            board = Storyboard.from_dict(claim.render.storyboard)
        else:
            board = await asyncio.to_thread(self.planners[request.planner].plan, request.topic, request.context)
            board = configured(board, request.configuration)
        ladder = ladder_of(request.qualities)
        voice = self.voice_name if request.narration else ""
        addresses = [scene_address(board, scene, ladder, self.engine_version, voice) for scene in board.scenes]
        cached, fps = await self.store.cached_scenes(request.owner_id, addresses), ladder[0].fps
        scenes = tuple(
            PlannedScene(title_of(scene), scene.kind, address, estimated_frames(scene, fps), cached.get(address))
            for scene, address in zip(board.scenes, addresses, strict=True)
        )
        plan = Plan(board.title, board.to_dict(), scenes)
        await transition(
            self.store,
            request.render_id,
            lambda change: change.render.planned(claim.step_id, claim.fence, plan, change.now),
        )


def configured(board: Storyboard, configuration: Mapping[str, Any]) -> Storyboard:
    """The storyboard with the request's look and language; raises `StoryboardInvalid`."""
    wanted = {name: configuration[name] for name in ("theme", "language") if name in configuration}
    return replace(board, **wanted).validated() if wanted else board


def scene_address(board: Storyboard, scene: Scene, ladder: Ladder, engine_version: str, voice: str) -> str:
    """The content address of a scene of this storyboard."""
    return content_hash(
        scene,
        theme=board.theme_of(scene),
        language=board.language,
        quality="+".join(rung.key for rung in ladder),
        engine_version=engine_version,
        voice=voice,
    )


def title_of(scene: Scene) -> str:
    """How lists of scenes and chapters call a scene."""
    if scene.heading:
        return scene.heading
    if isinstance(scene.content, TitleCard):
        return scene.content.text
    return scene.kind.replace("_", " ").capitalize()
