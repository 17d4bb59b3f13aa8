"""The render engine on real Manim, Typst, cairo and x264, at a tiny rung (R1, R4, V10)."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from services.video_render.adapters.manim.painter import Pixels
from services.video_render.adapters.manim.scene_renderer import ManimSceneRenderer
from services.video_render.adapters.media import AvMediaTools
from services.video_render.application.engine import Rung, SceneFailed
from services.video_render.application.planning import ScriptPlanner
from services.video_render.domain.storyboard import Equation, Paragraph, Scene, Storyboard, TitleCard
from tests.unit.video_render.test_storyboard import ONE_OF_EACH

TINY = Rung("tiny", 426, 240, 10)
SCENES = tuple(Scene(content.__class__.__name__, content, "A heading", duration_s=4.0) for content in ONE_OF_EACH)
BOARD = Storyboard("One of each", SCENES)


@pytest.fixture(scope="module")
def renderer() -> ManimSceneRenderer:
    engine = ManimSceneRenderer()
    engine.preload()
    return engine


def quiet(done: int, total: int) -> None:
    """Nobody watches."""


@pytest.mark.parametrize("index", range(len(SCENES)), ids=[scene.kind for scene in SCENES])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_r1_every_kind_is_drawn(renderer: ManimSceneRenderer, tmp_path: Path, index: int, theme: str) -> None:
    output = renderer.render(replace(BOARD, theme=theme), index, (TINY,), tmp_path, quiet)
    info = AvMediaTools().probe(output.segments[0].path)
    assert (info.width, info.height, info.fps, info.codec) == (426, 240, 10.0, "h264")
    assert info.frames == output.frames >= 40
    assert info.duration_s == pytest.approx(output.duration_s)
    assert output.warnings == ()
    poster = np.asarray(Image.open(output.poster).convert("L"))
    assert poster.shape == (240, 426)
    assert poster.std() > 5, "the poster is not blank"
    assert {path.name for path in tmp_path.iterdir()} == {output.segments[0].path.name, output.poster.name}


def test_r1_the_target_duration_is_met_to_the_frame(renderer: ManimSceneRenderer, tmp_path: Path) -> None:
    scene = Scene("a", TitleCard("Title"), duration_s=5.3)
    output = renderer.render(Storyboard("t", (scene,)), 0, (TINY,), tmp_path, quiet)
    assert output.frames == 53


def test_v10_the_same_scene_gives_the_same_bytes(renderer: ManimSceneRenderer, tmp_path: Path) -> None:
    first = renderer.render(BOARD, 5, (TINY,), tmp_path / "a", quiet)
    renderer.render(BOARD, 1, (replace(TINY, width=640, height=360, fps=15),), tmp_path / "b", quiet)
    second = renderer.render(BOARD, 5, (TINY,), tmp_path / "c", quiet)
    assert first.segments[0].path.read_bytes() == second.segments[0].path.read_bytes()
    assert first.poster.read_bytes() == second.poster.read_bytes()


def test_v3_progress_never_goes_back_and_ends_at_the_frame_count(renderer: ManimSceneRenderer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    output = renderer.render(BOARD, 4, (TINY,), tmp_path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (output.frames, output.frames)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(0 < done <= total for done, total in seen)


def test_r4_segments_start_with_a_key_frame_and_hold_no_b_frames(renderer: ManimSceneRenderer, tmp_path: Path) -> None:
    output = renderer.render(BOARD, 1, (TINY,), tmp_path, quiet)
    with av.open(str(output.segments[0].path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
    assert [index for index, packet in enumerate(packets) if packet.is_keyframe] == list(range(0, len(packets), 20))
    assert all(packet.pts == packet.dts for packet in packets)


def test_r1_mathematics_that_typst_refuses_is_a_final_failure(renderer: ManimSceneRenderer, tmp_path: Path) -> None:
    scene = Scene("a", Equation("frac(1)"))
    with pytest.raises(SceneFailed) as caught:
        renderer.render(Storyboard("t", (scene,)), 0, (TINY,), tmp_path, quiet)
    assert caught.value.code == "TYPESETTING_FAILED"
    assert caught.value.retryable is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ['#read("/etc/passwd")', '"; #panic("x")', "\\", "$#x$", "<label> @ref *x", '`a"b`', "[[]", "// gone?"]
)
def test_r3_texts_cannot_run_typst_code(renderer: ManimSceneRenderer, tmp_path: Path, text: str) -> None:
    scenes = (Scene("a", Paragraph(text), heading=text), Scene("b", TitleCard(text, text)))
    for index in range(2):
        output = renderer.render(Storyboard("t", scenes), index, (TINY,), tmp_path / str(index), quiet)
        assert np.asarray(Image.open(output.poster)).std() > 2


class _PromiseKeeper:
    """A sink that checks what the renderer promises: outside `rows` nothing has changed."""

    def __init__(self) -> None:
        self.frames = 0
        self.narrow = 0
        self._last: Pixels | None = None

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        if rows is not None and self._last is not None:
            changed = np.flatnonzero((pixels != self._last).any(axis=(1, 2)))
            assert not len(changed) or (rows[0] <= changed[0] and changed[-1] < rows[1])
            self.narrow += rows[1] - rows[0] < len(pixels) // 2
        self._last = pixels.copy()
        self.frames += 1

    def repeat(self, count: int) -> None:
        self.frames += count


@pytest.mark.parametrize("index", range(len(SCENES)), ids=[scene.kind for scene in SCENES])
def test_p5_only_the_rows_named_have_changed(renderer: ManimSceneRenderer, tmp_path: Path, index: int) -> None:
    from services.video_render.adapters.manim import scene_drawing

    sink = _PromiseKeeper()
    scene_drawing.draw(SCENES[index], "dark", TINY, tmp_path, sink, lambda done: None)
    assert sink.narrow > 3


def _render_for_ever(folder: Path, started: multiprocessing.synchronize.Event) -> None:
    engine = ManimSceneRenderer()
    long = Storyboard("t", (Scene("a", ONE_OF_EACH[1], duration_s=110.0),))
    engine.render(long, 0, (Rung("big", 1280, 720, 30),), folder, lambda done, total: started.set())


def test_v10_a_killed_render_leaves_no_segment_and_can_be_repeated(
    renderer: ManimSceneRenderer, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    child = context.Process(target=_render_for_ever, args=(tmp_path, started))
    child.start()
    assert started.wait(60), "the child has drawn frames"
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(20)
    assert not list(tmp_path.glob("*.mp4"))
    output = renderer.render(BOARD, 0, (TINY,), tmp_path, quiet)
    assert AvMediaTools().probe(output.segments[0].path).frames == output.frames


@pytest.mark.parametrize(
    "topic", ["Pythagorean theorem", "Quadratic formula", "Derivative", "Integral", "Sine", "Exponential"]
)
def test_r4_outlines_fit_their_scenes(renderer: ManimSceneRenderer, tmp_path: Path, topic: str) -> None:
    storyboard = ScriptPlanner().plan(topic, "explain it to a beginner")
    for index in range(len(storyboard.scenes)):
        output = renderer.render(storyboard, index, (replace(TINY, fps=4),), tmp_path / str(index), quiet)
        assert output.warnings == (), storyboard.scenes[index].id
