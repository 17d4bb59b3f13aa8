"""A scene's animation choices have an effect in every kind, and frame counts stay right (V9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from manim import AnimationGroup, FadeIn, Group, LaggedStart, ShowPassingFlash, Square, Write
from manim.animation.animation import prepare_animation

from services.video_render.adapters.manim import scene_drawing
from services.video_render.adapters.manim.painter import Pixels
from services.video_render.adapters.manim.templates import TEMPLATES
from services.video_render.adapters.manim.templates.direction import introduces, with_entrance
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import (
    Bullets,
    Content,
    Entrance,
    Geometry,
    Image,
    Order,
    Scene,
    SceneAnimation,
    Transition,
)
from tests.unit.video_render.test_storyboard import ONE_OF_EACH

TINY = Rung("tiny", 214, 120, 10)
KINDS = [content for content in ONE_OF_EACH if type(content) in TEMPLATES]
SECONDS = 6.0


class _Frames:
    """A sink that keeps every frame."""

    def __init__(self) -> None:
        self.kept: list[Pixels] = []
        self.frames = 0

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        self.kept.append(pixels.copy())
        self.frames += 1

    def repeat(self, count: int) -> None:
        self.kept += [self.kept[-1]] * count
        self.frames += count


def drawn(folder: Path, content: Content, seconds: float = SECONDS, **choices: Any) -> list[Pixels]:
    scene = Scene("s", content, "Heading", duration_s=seconds, animation=SceneAnimation(**choices))
    sink = _Frames()
    scene_drawing.draw(scene, "dark", TINY, folder, sink, lambda done: None)
    return sink.kept


@cache
def usual(content: Content, seconds: float = SECONDS) -> list[Pixels]:
    """Without any choice; drawn once for all that is compared with it."""
    with TemporaryDirectory() as folder:
        return drawn(Path(folder), content, seconds)


def difference(first: Sequence[Pixels], second: Sequence[Pixels]) -> float:
    """The largest mean difference between frames at the same time."""
    return max(float(np.abs(a.astype(int) - b.astype(int)).mean()) for a, b in zip(first, second, strict=False))


def is_blank(frame: Pixels) -> bool:
    return bool((frame == frame[0, 0]).all())


def shown_at(frames: Sequence[Pixels]) -> list[float]:
    """How much of the most crowded frame each frame shows."""
    ink = [float((frame != frame[0, 0]).any(axis=2).sum()) for frame in frames]
    return [value / max(ink) for value in ink]


@pytest.mark.parametrize("content", KINDS, ids=lambda content: type(content).__name__)
@pytest.mark.parametrize("entrance", [Entrance.FADE, Entrance.WRITE, Entrance.SLIDE, Entrance.GROW, Entrance.NONE])
def test_v9_every_entrance_looks_different_and_ends_the_same(
    tmp_path: Path, content: Content, entrance: Entrance
) -> None:
    chosen = drawn(tmp_path, content, entrance=entrance)
    assert difference(usual(content), chosen) > 0.02
    # The last moment before the scene goes is the same picture: a little before the end of the hold.
    assert np.abs(usual(content)[-8].astype(int) - chosen[-8].astype(int)).mean() < 0.5
    assert len(chosen) >= SECONDS * TINY.fps


@pytest.mark.parametrize("content", KINDS, ids=lambda content: type(content).__name__)
@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_v9_speed_changes_the_pace_of_every_kind(tmp_path: Path, content: Content, speed: float) -> None:
    frames = len(drawn(tmp_path, content, 1.0, speed=speed))
    assert (frames < len(usual(content, 1.0))) if speed > 1 else (frames > len(usual(content, 1.0)))


@pytest.mark.parametrize("content", KINDS, ids=lambda content: type(content).__name__)
def test_v9_transitions_of_every_kind(tmp_path: Path, content: Content) -> None:
    """A cut holds to the last frame; a slide moves out; a fade dims; all last as long."""
    faded, cut, slid = (drawn(tmp_path, content, 20.0, transition=choice) for choice in Transition)
    assert len(faded) == len(cut) == len(slid) == 20 * TINY.fps
    assert (cut[-1] == cut[-10]).all()
    assert not is_blank(cut[-1])
    assert not (faded[-1] == faded[-10]).all()
    shown = shown_at(slid)
    assert shown[-1] < 0.7 * shown[-10]
    assert difference(faded[-3:], slid[-3:]) > 0.02


@pytest.mark.parametrize(
    "content",
    [content for content in KINDS if not isinstance(content, Geometry)],  # its steps have an order of their own
    ids=lambda content: type(content).__name__,
)
def test_v9_together_shows_every_kind_at_once(tmp_path: Path, content: Content) -> None:
    """After the time of the longest entrance nothing but steps that point at something may still change."""
    together = drawn(tmp_path, content, 14.0, order=Order.TOGETHER)
    assert len(together) == 14 * TINY.fps
    assert shown_at(together)[40] > 0.75


@pytest.mark.parametrize("content", KINDS, ids=lambda content: type(content).__name__)
def test_v9_one_by_one_takes_its_time(tmp_path: Path, content: Content) -> None:
    one_by_one = drawn(tmp_path, content, 14.0, order=Order.ONE_BY_ONE)
    together = drawn(tmp_path, content, 14.0, order=Order.TOGETHER)
    assert len(one_by_one) >= 14 * TINY.fps
    assert sum(shown_at(one_by_one)[:40]) < sum(shown_at(together)[:40])


@pytest.mark.parametrize("seconds", [4.2, 5.7, 12.3])
def test_v9_choices_keep_the_target_duration_to_the_frame(tmp_path: Path, seconds: float) -> None:
    bullets = next(content for content in ONE_OF_EACH if isinstance(content, Bullets))
    for choices in (
        {"speed": 1.7, "entrance": Entrance.GROW},
        {"order": Order.TOGETHER, "transition": Transition.CUT},
        {"entrance": Entrance.NONE, "transition": Transition.SLIDE, "speed": 4.0},
    ):
        assert len(drawn(tmp_path, bullets, seconds, **choices)) == round(seconds * TINY.fps)


def test_v9_a_picture_fades_where_it_cannot_be_written(tmp_path: Path) -> None:
    picture = next(content for content in ONE_OF_EACH if isinstance(content, Image))
    without_heading = replace(Scene("s", picture, duration_s=4.0), animation=SceneAnimation(entrance=Entrance.WRITE))
    sink = _Frames()
    scene_drawing.draw(without_heading, "dark", TINY, tmp_path, sink, lambda done: None)
    assert not is_blank(sink.kept[8])


def test_v9_only_entrances_are_replaced() -> None:
    square: Any = Square()
    moving = prepare_animation(square.animate.shift((1, 0, 0)))
    assert with_entrance(moving, Entrance.SLIDE) is moving
    assert not introduces(ShowPassingFlash(Square()))
    group = LaggedStart(FadeIn(Square()), FadeIn(Group(Square(), Square())), lag_ratio=0.4, run_time=2.5)
    changed = with_entrance(group, Entrance.WRITE)
    assert isinstance(changed, AnimationGroup)
    assert [type(member) for member in changed.animations] == [Write, Write]
    assert (changed.run_time, changed.lag_ratio) == (2.5, 0.4)
    mixed = LaggedStart(FadeIn(Square()), prepare_animation(square.animate.shift((1, 0, 0))))
    assert with_entrance(mixed, Entrance.WRITE) is mixed
