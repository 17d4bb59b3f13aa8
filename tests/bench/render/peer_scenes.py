"""The benchmark's peer: the same scene classes as plain Manim scenes, for Manim's own command line.

Reads the storyboard from the JSON file that `T2M_BENCH_STORYBOARD` names and defines `Scene0`, `Scene1`, …
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from services.video_render.adapters.manim.templates import TEMPLATES
from services.video_render.adapters.manim.themes import THEMES
from services.video_render.domain.storyboard import Scene, Storyboard


def _peer(scene: Scene, theme: str, name: str) -> type[Any]:
    template = TEMPLATES[type(scene.content)]

    def create(self: Any, **kwargs: Any) -> None:
        template.__init__(self, scene, THEMES[theme], **kwargs)

    return type(name, (template,), {"__init__": create, "__module__": __name__})


_BOARD = Storyboard.from_dict(json.loads(Path(os.environ["T2M_BENCH_STORYBOARD"]).read_text(encoding="utf-8")))
for _index, _scene in enumerate(_BOARD.scenes):
    globals()[f"Scene{_index}"] = _peer(_scene, _BOARD.theme, f"Scene{_index}")
