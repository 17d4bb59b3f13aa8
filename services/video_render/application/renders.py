"""Use cases of the service's callers: start, look at, and stop a render."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile

from services.video_render.application.ports import LiveStreams, RenderStore, TaskQueue
from services.video_render.domain.errors import PositionAhead, RenderIdTaken, RenderNotFound
from services.video_render.domain.outcomes import RenderedScene
from services.video_render.domain.render import Render
from services.video_render.domain.request import RenderRequest


@dataclass(frozen=True, slots=True)
class Renders:
    """Accepts and stops renders."""

    store: RenderStore
    queue: TaskQueue
    streams: LiveStreams

    async def start(self, request: RenderRequest) -> Render:
        """Accept a render; a repeat of the same request returns it as it is now.

        Raises `ConfigurationInvalid`, and `RenderIdTaken` for a different request under the same id.
        """
        request.validated()
        render, created = await self.store.add(lambda now: Render.start(request, now), request.render_id)
        if not created and render.fingerprint != request.fingerprint():
            raise RenderIdTaken(request.render_id)
        return render

    async def get(self, render_id: str) -> Render:
        """The render as it is; raises `RenderNotFound`."""
        return await self.store.get(render_id)

    async def watchable(self, render_id: str, after_seq: int) -> Render:
        """The render, if events after `after_seq` can be followed; raises `RenderNotFound`, `PositionAhead`."""
        render = await self.store.get(render_id)
        if after_seq > render.seq:
            raise PositionAhead(render_id, after_seq, render.seq)
        return render

    async def playable(self, render_id: str) -> tuple[list[RenderedScene], bool]:
        """The scenes that are finished without a gap from the first on, and whether that is all there will be.

        Raises `RenderNotFound`.
        """
        render = await self.store.get(render_id)
        done = [scene.result for scene in takewhile(lambda scene: scene.result is not None, render.scenes)]
        finished = [result for result in done if result is not None]
        complete = bool(finished) and len(finished) == len(render.scenes)
        return finished, complete or render.state.terminal

    async def cancel(self, render_id: str) -> Render:
        """Stop a render: the rows first, then the processes. One that has ended stays as it is.

        Raises `RenderNotFound`.
        """
        async with self.store.change(render_id) as change:
            deliveries = change.render.cancel(change.now)
        if deliveries:
            await self.queue.revoke(deliveries)
        return await self.store.get(render_id)

    async def delete_of_job(self, owner_id: str, job_id: str) -> int:
        """Forget the renders of a job, cancelled first; how many there were."""
        render_ids = await self.store.of_job(owner_id, job_id)
        for render_id in render_ids:
            with suppress(RenderNotFound):
                await self.cancel(render_id)
        await self.streams.forget(render_ids)
        count = await self.store.forget_job(owner_id, job_id)
        await self.streams.forget(render_ids)  # their last events were on the way, and without rows none can follow
        return count
