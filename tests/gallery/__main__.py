"""Renders the gallery with the real engine: an MP4 of each kind, and a contact sheet.

python -m tests.gallery [folder]        (default: .t2m/gallery)
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from font_source_sans_pro import SourceSansPro  # type: ignore[import-untyped]
from PIL import Image, ImageDraw, ImageFont

from services.video_render.adapters.manim.scene_renderer import ManimSceneRenderer
from services.video_render.adapters.manim.themes import DARK
from services.video_render.application.engine import QUALITIES
from tests.gallery import storyboard

RUNG = QUALITIES["low"]
SHEET = Path("deploy/gallery.jpg")
COLUMNS = 3
TILE = (416, 234)
GAP = 16
NAME_HEIGHT = 34

_engine = ManimSceneRenderer()


def render(index: int, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """One scene as `NN-kind.mp4` with a still beside it; returns the still and what the layout check says."""
    board = storyboard()
    name = f"{index + 1:02d}-{board.scenes[index].kind}"
    scratch = folder / name
    output = _engine.render(board, index, (RUNG,), scratch, lambda done, total: None)
    still = folder / f"{name}.png"
    output.segments[0].path.replace(folder / f"{name}.mp4")
    output.poster.replace(still)
    shutil.rmtree(scratch)
    return still, output.warnings


def contact_sheet(stills: list[tuple[str, Path]]) -> Image.Image:
    """A tile of each kind over its name."""
    rows = -(-len(stills) // COLUMNS)
    width = COLUMNS * (TILE[0] + GAP) + GAP
    sheet = Image.new("RGB", (width, rows * (TILE[1] + NAME_HEIGHT + GAP) + GAP), DARK.panel)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(SourceSansPro, 20)
    for number, (kind, still) in enumerate(stills):
        x = GAP + number % COLUMNS * (TILE[0] + GAP)
        y = GAP + number // COLUMNS * (TILE[1] + NAME_HEIGHT + GAP)
        with Image.open(still) as picture:
            sheet.paste(picture.convert("RGB").resize(TILE, Image.Resampling.LANCZOS), (x, y))
        draw.text((x + 2, y + TILE[1] + 6), kind, fill=DARK.muted, font=font)
    return sheet


def main() -> int:
    """Render everything on all cores; 1 when the layout check has something to say."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".t2m/gallery")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scenes = storyboard().scenes
    _engine.preload()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        results = list(pool.map(render, range(len(scenes)), [folder] * len(scenes)))
    for scene, (_, warnings) in zip(scenes, results, strict=True):
        for warning in warnings:
            print(f"{scene.kind}: {warning}", file=sys.stderr)
    tiles = [(scene.kind, still) for scene, (still, _) in zip(scenes, results, strict=True)]
    contact_sheet(tiles).save(SHEET, quality=82, optimize=True, progressive=True)
    print(f"{len(tiles)} videos in {folder}, contact sheet {SHEET} ({SHEET.stat().st_size // 1024} KiB)")
    return int(any(warnings for _, warnings in results))


if __name__ == "__main__":
    sys.exit(main())
