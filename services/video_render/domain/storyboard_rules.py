"""What a storyboard as a whole may hold; the kinds of scenes know their own rules. Rules only, no drawing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.video_render.domain import checks
from services.video_render.domain.kinds.diagrams import Image
from services.video_render.domain.violations import Violation

if TYPE_CHECKING:
    from services.video_render.domain.storyboard import Scene, Storyboard

THEMES = ("dark", "light", "contrast")
MAX_SCENES = 60
MAX_SCENE_SECONDS = 120.0
MAX_VIDEO_SECONDS = 1800.0
MAX_TITLE = 500
MAX_HEADING = 120
MAX_NARRATION = 4000
MAX_IMAGES_BYTES = 2 * 1024 * 1024
SLOWEST, FASTEST = 0.25, 4.0

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z")
_SCENE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


def check(board: Storyboard) -> Iterator[Violation]:
    """Every broken rule of a storyboard, in reading order."""
    yield from checks.text(board.title, "title", MAX_TITLE)
    if not _LANGUAGE.match(board.language) or len(board.language) > 35:
        yield Violation("language", "must be a BCP 47 tag such as 'en' or 'pt-BR'")
    if board.theme not in THEMES:
        yield Violation("theme", f"must be one of: {', '.join(THEMES)}")
    yield from checks.count(board.scenes, "scenes", MAX_SCENES)
    if sum(scene.duration_s for scene in board.scenes) > MAX_VIDEO_SECONDS:
        yield Violation("scenes", f"must not ask for more than {MAX_VIDEO_SECONDS:g} seconds in all")
    if sum(len(s.content.data) for s in board.scenes if isinstance(s.content, Image)) > MAX_IMAGES_BYTES:
        yield Violation("scenes", f"must not hold more than {MAX_IMAGES_BYTES} bytes of pictures in all")
    seen: set[str] = set()
    for index, scene in enumerate(board.scenes):
        path = f"scenes[{index}]"
        if scene.id in seen:
            yield Violation(f"{path}.id", f"'{scene.id}' is used twice")
        seen.add(scene.id)
        yield from _scene(scene, path)


def _scene(scene: Scene, path: str) -> Iterator[Violation]:
    if not _SCENE_ID.match(scene.id):
        yield Violation(f"{path}.id", "must be 1-64 letters, digits, '_' or '-', starting with a letter or digit")
    yield from checks.text(scene.heading, f"{path}.heading", MAX_HEADING, required=False)
    yield from checks.text(scene.narration, f"{path}.narration", MAX_NARRATION, required=False)
    if not 0.0 <= scene.duration_s <= MAX_SCENE_SECONDS:
        yield Violation(f"{path}.duration_s", f"must be between 0 and {MAX_SCENE_SECONDS:g} seconds")
    if scene.theme and scene.theme not in THEMES:
        yield Violation(f"{path}.theme", f"must be empty, or one of: {', '.join(THEMES)}")
    if not SLOWEST <= scene.animation.speed <= FASTEST:
        yield Violation(f"{path}.animation.speed", f"must be between {SLOWEST:g} and {FASTEST:g}")
    yield from scene.content.violations(f"{path}.{scene.kind}")
