"""Scenes prepared without drawing: what a template has placed, and where."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from manim import tempconfig

from services.video_render.adapters.manim import scene_drawing
from services.video_render.adapters.manim.templates import TEMPLATES
from services.video_render.adapters.manim.themes import DARK
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import Content, Scene, Storyboard

TINY = Rung("tiny", 426, 240, 10)


def prepared(content: Content, heading: str = "") -> Any:
    """The scene object of a valid content, everything placed."""
    scene = Scene("s", content, heading)
    assert Storyboard("t", (scene,)).violations() == ()
    with tempfile.TemporaryDirectory() as folder, tempconfig(scene_drawing.settings(TINY, Path(folder))):
        story = TEMPLATES[type(content)](scene, DARK)
        story.prepare()
    return story
