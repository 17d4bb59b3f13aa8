"""A render from StartRender to a published video, through real Postgres, Redis, Celery workers and storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from t2m.video_render.v1 import render_pb2
from tests.integration.video_render_harness import Stack, running


@pytest.fixture
async def stack(postgres: Callable[[], str], tmp_path: Path) -> AsyncIterator[Stack]:
    """Everything but a worker."""
    async with running(postgres, tmp_path) as made:
        yield made


async def test_V10_V12_a_render_is_planned_drawn_in_parallel_and_published(stack: Stack) -> None:
    """V10, V12: scenes share the workers, the result is measured, and the storyboard is stored as JSON."""
    await stack.start_worker()
    accepted = await stack.start("r1", "burn 0.3", "burn 0.3", "burn 0.3")
    assert accepted.state == render_pb2.RENDER_STATE_PENDING
    render, events = await stack.finished("r1")
    assert render.state == render_pb2.RENDER_STATE_SUCCEEDED, render
    video = render.video
    content = await stack.storage.read(object_id=video.video_object_id)
    assert content.decode().splitlines() == ["segment of burn 0.3"] * 3
    assert (video.size_bytes, video.duration.seconds, video.frame_count) == (len(content), 3, 45)
    assert [chapter.start.seconds for chapter in video.chapters] == [0, 1, 2]
    storyboard = await stack.storage.read(object_id=video.storyboard_object_id)
    assert b'"A topic"' in storyboard
    assert b"poster of" in await stack.storage.read(object_id=video.thumbnail_object_id)
    assert any(event.HasField("progress") and event.progress.frames_done for event in events)
