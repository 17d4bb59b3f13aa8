"""Runs one template under Manim's configuration. Importing this module imports Manim."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from manim import config, tempconfig

from services.video_render.adapters.manim.frame_renderer import FrameRenderer, FrameSink
from services.video_render.adapters.manim.painter import Pixels
from services.video_render.adapters.manim.templates import TEMPLATES
from services.video_render.adapters.manim.themes import THEMES, Frame
from services.video_render.adapters.manim.typesetter import compile_page
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import Scene

logging.getLogger("manim").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is known after the last frame: a still (BGRA) and what the layout check had to say."""

    poster: Pixels
    warnings: tuple[str, ...]


def warm_up() -> None:
    """Read the fonts and set one line of text and mathematics."""
    compile_page('#"ready" $x^2$ #raw("code")', size=0.5, color="#ffffff")


def draw(
    scene: Scene,
    theme_name: str,
    rung: Rung,
    scratch: Path,
    sink: FrameSink,
    on_frames: Callable[[int], None],
    language: str = "en",
) -> Drawing:
    """Draw one scene into `sink`; anything Manim would write goes under `scratch`. `language` is a BCP 47 tag."""
    theme = THEMES[theme_name]
    with tempconfig(settings(rung, scratch)):
        config.background_color = theme.background
        renderer = FrameRenderer(sink, theme.background, on_frames)
        story = TEMPLATES[type(scene.content)](scene, theme, language, renderer=renderer)
        story.setup()
        story.construct()
        story.tear_down()
    assert renderer.poster is not None, "every scene holds its finished picture"
    return Drawing(renderer.poster, tuple(story.problems))


def settings(rung: Rung, scratch: Path) -> dict[str, object]:
    """Manim's configuration for one render: no files but under `scratch`, no progress bar, no hashing."""
    return {
        "pixel_width": rung.width,
        "pixel_height": rung.height,
        "frame_rate": float(rung.fps),
        "frame_width": Frame.WIDTH,
        "frame_height": Frame.WIDTH * rung.height / rung.width,
        "media_dir": str(scratch),
        "seed": 0,
        "dry_run": True,
        "write_to_movie": False,
        "progress_bar": "none",
        "disable_caching": True,
    }
