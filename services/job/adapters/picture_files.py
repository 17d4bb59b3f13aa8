"""Pictures of a storyboard that are files of its owner: whether they are there, asked when it is ordered or checked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc

from services.job.adapters.storyboard_client import message_of
from services.job.application.neighbours import RenderAway
from services.job.application.storyboards import SceneForecast, Storyboard, StoryboardTools
from services.job.domain.errors import FieldsRefused
from services.job.domain.values import Quality
from t2m.storage.v1 import object_pb2
from t2m.storage.v1 import object_service_pb2 as pb

MAX_BYTES = 16 * 1024 * 1024
_TYPES = ("image/png", "image/jpeg")


class WithPictureFiles:
    """`StoryboardTools` that also know which files an owner has."""

    def __init__(self, tools: StoryboardTools, files: Any, timeout_s: float = 5.0) -> None:
        """`files` is a stub of storage's `ObjectService`."""
        self._tools = tools
        self._files = files
        self._timeout_s = timeout_s

    async def plan(self, topic: str, context: str, configuration: Mapping[str, Any]) -> tuple[Storyboard, list[str]]:
        """As the tools plan."""
        return await self._tools.plan(topic, context, configuration)

    async def forecast(
        self, owner_id: str, storyboard: Storyboard, quality: Quality, *, narration: bool = False
    ) -> list[SceneForecast]:
        """As the tools forecast; raises FieldsRefused also for files that cannot be shown, each with its path."""
        forecasts = await self._tools.forecast(owner_id, storyboard, quality, narration=narration)
        scenes = message_of(storyboard).scenes
        named = {at: scene.image.file_id for at, scene in enumerate(scenes) if scene.image.file_id}
        whys = await asyncio.gather(*(self._refusal(owner_id, file_id) for file_id in named.values()))
        refused = [(f"storyboard.scenes[{at}].image.file_id", why) for at, why in zip(named, whys, strict=True) if why]
        if refused:
            raise FieldsRefused(refused)
        return forecasts

    async def edit(self, storyboard: Storyboard, edits: bytes) -> Storyboard:
        """As the tools edit."""
        return await self._tools.edit(storyboard, edits)

    async def of_render(self, render_id: str) -> Storyboard:
        """As the tools find it."""
        return await self._tools.of_render(render_id)

    async def _refusal(self, owner_id: str, file_id: str) -> str:
        """Why a file cannot be shown; empty when it can."""
        request = pb.GetObjectRequest(object_id=file_id, owner_id=owner_id)
        try:
            found = (await self._files.GetObject(request, timeout=self._timeout_s)).object
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return "there is no such file"
            raise RenderAway(f"storage: {error.code().name}") from error
        if found.kind != object_pb2.ARTIFACT_KIND_FILE:
            return "there is no such file"
        if found.content_type not in _TYPES:
            return f"must be a PNG or JPEG file, is {found.content_type}"
        if found.size_bytes > MAX_BYTES:
            return f"must have at most {MAX_BYTES} bytes, has {found.size_bytes}"
        return ""
