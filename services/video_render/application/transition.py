"""A transition made by a worker, tried again while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from services.video_render.application.ports import Change, RenderStore, StoreUnavailable

T = TypeVar("T")
_PAUSE_S = 0.5


async def transition(store: RenderStore, render_id: str, apply: Callable[[Change], T]) -> T:
    """Apply a change under the render's lock; what `apply` returns, and raises.

    Waits for a store that is away: the caller works under a lease, whose keeper ends the wait in time. If a commit was
    saved and only its answer was lost, the repetition finds the step finished and raises `LeaseLost`: no harm done.
    """
    while True:
        try:
            async with store.change(render_id) as change:
                return apply(change)
        except StoreUnavailable:
            await asyncio.sleep(_PAUSE_S)
