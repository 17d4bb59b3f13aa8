"""Pictures that are files of the owner: read when their scene is drawn (S5, V9)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.video_render.application.engine import Ladder, OnFrames, SceneOutput
from services.video_render.domain.events import RenderState
from services.video_render.domain.kinds.diagrams import MAX_IMAGE_FILE_BYTES, Image
from services.video_render.domain.storyboard import Paragraph, Storyboard
from tests.unit.video_render.test_render_steps import Bench, InlineProcess

FILE = "01890000-0000-7000-8000-000000000001"
BOARD: dict[str, Any] = {"title": "A picture", "scenes": [{"id": "a", "image": {"file_id": FILE, "caption": "It"}}]}


class Watched(InlineProcess):
    """Remembers what it was given to draw."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: list[object] = []

    async def render(
        self, storyboard: Storyboard, index: int, ladder: Ladder, out_dir: Path, on_frames: OnFrames
    ) -> SceneOutput:
        """At once."""
        scene = storyboard.scenes[index]
        self.contents.append(scene.content)
        scripted = replace(storyboard, scenes=(replace(scene, content=Paragraph("drawn 1")),))
        return await super().render(scripted, index, ladder, out_dir, on_frames)


async def rendered(folder: Path, owned: dict[tuple[str, str], bytes]) -> tuple[Bench, Watched]:
    """A render of that board for u1."""
    process = Watched()
    bench = Bench(folder, process)
    bench.files.owned = owned
    await bench.start("ignored", storyboard=BOARD)
    await bench.work()
    return bench, process


async def test_S5_the_file_is_drawn_as_if_it_had_been_sent_along(tmp_path: Path) -> None:
    """S5: the process that draws gets bytes; the storyboard keeps the id."""
    bench, process = await rendered(tmp_path, {("u1", FILE): b"png"})
    assert process.contents == [Image(b"png", "It")]
    render = await bench.store.get("r1")
    assert render.state is RenderState.SUCCEEDED
    assert render.storyboard is not None
    assert render.storyboard["scenes"][0]["image"]["file_id"] == FILE


@pytest.mark.parametrize(
    ("owned", "code"),
    [
        ({}, "IMAGE_NOT_FOUND"),
        ({("u2", FILE): b"png"}, "IMAGE_NOT_FOUND"),
        ({("u1", FILE): bytes(MAX_IMAGE_FILE_BYTES + 1)}, "IMAGE_TOO_LARGE"),
    ],
)
async def test_S5_a_file_that_is_gone_fails_its_scene_at_once(
    tmp_path: Path, owned: dict[tuple[str, str], bytes], code: str
) -> None:
    """S5, A5, V3: another's does not exist; the error names the scene."""
    bench, process = await rendered(tmp_path, owned)
    error = (await bench.store.get("r1")).error
    assert error is not None
    assert (error.code, error.scene_index, error.retryable, process.drawn) == (code, 0, False, 0)


@pytest.mark.parametrize(
    ("image", "fields"),
    [
        (Image(), ["i.data"]),
        (Image(b"x", file_id=FILE), ["i.data"]),
        (Image(file_id="../etc"), ["i.file_id"]),
        (Image(file_id=FILE), []),
    ],
)
def test_S5_V9_bytes_or_a_file_but_not_both(image: Image, fields: list[str]) -> None:
    """V9: the field is named."""
    assert [violation.field for violation in image.violations("i")] == fields
