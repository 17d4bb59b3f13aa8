"""The gallery is a valid storyboard with every kind, and nothing in it is too long or in the way (V9, R4)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from manim import tempconfig
from PIL import Image

from services.video_render.adapters.manim import scene_drawing
from services.video_render.adapters.manim.templates import TEMPLATES
from services.video_render.adapters.manim.themes import THEMES
from services.video_render.application.engine import QUALITIES
from services.video_render.domain.storyboard import KINDS, Scene
from tests.gallery import storyboard
from tests.gallery.__main__ import SHEET, TILE, contact_sheet

BOARD = storyboard()


def test_v9_the_gallery_shows_every_kind_once_in_order() -> None:
    assert BOARD.violations() == ()
    assert [scene.kind for scene in BOARD.scenes] == list(KINDS)


def test_v9_the_gallery_shows_every_theme() -> None:
    assert {BOARD.theme_of(scene) for scene in BOARD.scenes} == set(THEMES)


@pytest.mark.parametrize("scene", BOARD.scenes, ids=[scene.kind for scene in BOARD.scenes])
@pytest.mark.parametrize("theme", THEMES)
def test_r4_the_layout_check_has_nothing_to_say(scene: Scene, theme: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        tempconfig(scene_drawing.settings(QUALITIES["low"], Path(folder))),
    ):
        story = TEMPLATES[type(scene.content)](scene, THEMES[theme], BOARD.language)
        story.prepare()
        assert story.problems == []
        assert story.blocks, "what is placed is registered"


def test_v9_the_contact_sheet_has_a_tile_of_each_kind_and_is_small(tmp_path: Path) -> None:
    still = tmp_path / "still.png"
    Image.new("RGB", (854, 480), "#336699").save(still)
    sheet = contact_sheet([(kind, still) for kind in KINDS])
    with Image.open(SHEET) as committed:
        assert committed.size == sheet.size
    assert SHEET.stat().st_size < 400 * 1024
    assert sheet.width > 3 * TILE[0]
