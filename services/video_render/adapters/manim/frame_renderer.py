"""Plays a Manim scene's animations straight into a frame sink.

Takes the place of Manim's Cairo renderer and file writer: no partial movie files, no hashing of animations, no copy
of every frame. What does not move during an animation is drawn once; what does not change at all is not drawn again
but repeated by the encoder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from manim import Camera, Scene, VMobject
from manim.renderer.protocol import RendererCapabilities
from manim.utils.family import extract_mobject_family_members

from services.video_render.adapters.manim.painter import Canvas, Painter, Pixels, Rows

PROGRESS_SECONDS = 0.25


class FrameSink(Protocol):
    """Where frames go; `write` may not keep the array."""

    frames: int

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        """Show a picture for one frame; outside `rows` it is the picture before."""
        ...

    def repeat(self, count: int) -> None:
        """Show the last picture for `count` more frames."""
        ...


class FrameRenderer:
    """The renderer object a Manim `Scene` talks to."""

    capabilities = RendererCapabilities(live_preview=False)

    def __init__(self, sink: FrameSink, background: str, on_frames: Callable[[int], None]) -> None:
        self.camera = Camera()
        self.skip_animations = False
        self.static_image = None
        self.num_plays = 0
        self.file_writer = None
        self.poster: Pixels | None = None
        """The last still picture: a scene ends by holding everything it has to show."""
        self._sink = sink
        self._on_frames = on_frames
        self._reported = time.monotonic()
        self._painter = Painter()
        size = self.camera.pixel_width, self.camera.pixel_height, self.camera.frame_width
        self._canvas = Canvas(*size, background)
        self._backdrop = Canvas(*size, background)

    @property
    def time(self) -> float:
        """Seconds shown so far."""
        return self._sink.frames / self.camera.frame_rate

    def init_scene(self, scene: Scene, session_spec: Any, file_writer_settings: Any) -> None:
        """Manim's hook; there is no file writer to set up."""

    def scene_finished(self, scene: Scene) -> None:
        """Manim's hook; the sink is closed by whoever opened it."""

    def play(self, scene: Scene, *args: Any, **kwargs: Any) -> None:
        """Play one set of animations to the sink."""
        scene.compile_animation_data(*args, **kwargs)
        scene.begin_animations()
        if scene.is_current_animation_frozen_frame():
            self._hold(scene, round(scene.duration * self.camera.frame_rate))
        else:
            self._animate(scene)
        self.num_plays += 1

    def _hold(self, scene: Scene, frames: int) -> None:
        """A still picture: drawn once, repeated by the encoder."""
        if frames <= 0:
            return
        self._canvas.clear()
        self._draw(self._canvas, scene.mobjects)
        self.poster = self._canvas.pixels.copy()
        self._sink.write(self._canvas.pixels)
        step = round(self.camera.frame_rate)
        for done in range(1, frames, step):
            self._sink.repeat(min(step, frames - done))
            self._report()

    def _animate(self, scene: Scene) -> None:
        """Frame by frame over a backdrop of everything that stays still."""
        self._backdrop.clear()
        self._painter.draw(self._backdrop, _vectors(scene.static_mobjects))
        moving = list(_vectors(scene.moving_mobjects))
        touched = (0, len(self._canvas.pixels))
        for moment in np.arange(0, scene.duration, 1 / self.camera.frame_rate):
            scene.update_to_time(float(moment))
            self._canvas.restore(self._backdrop, touched)
            drawn = self._draw(self._canvas, moving)
            changed = _union(touched, drawn)
            self._sink.write(self._canvas.pixels, changed)
            touched = drawn
            self._report()
        for animation in scene.animations or ():
            animation.finish()
            animation.clean_up_from_scene(scene)
        scene.update_mobjects(0)
        self._painter.forget()

    def _draw(self, canvas: Canvas, mobjects: Iterable[Any]) -> Rows:
        family = extract_mobject_family_members(
            mobjects, use_z_index=self.camera.use_z_index, only_those_with_points=True
        )
        return self._painter.draw(canvas, _vectors(family))

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported >= PROGRESS_SECONDS:
            self._reported = now
            self._on_frames(self._sink.frames)


def _union(first: Rows, second: Rows) -> Rows:
    """The smallest band that holds both; an empty band counts for nothing."""
    bands = [band for band in (first, second) if band[0] < band[1]]
    return (min(band[0] for band in bands), max(band[1] for band in bands)) if bands else (0, 0)


def _vectors(mobjects: Iterable[Any]) -> Iterable[VMobject]:
    """Only vector mobjects are drawn; templates use no others."""
    return (mobject for mobject in mobjects if isinstance(mobject, VMobject))
