"""One scene of every kind, realistic and worth looking at: `make gallery` renders them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from services.video_render.domain.storyboard import Storyboard

HERE = Path(__file__).parent


def storyboard() -> Storyboard:
    """The gallery's storyboard; pictures are files beside it."""
    body = json.loads((HERE / "storyboard.json").read_text())
    for scene in body["scenes"]:
        if "image" in scene:
            picture = HERE / scene["image"]["data"]
            scene["image"]["data"] = base64.b64encode(picture.read_bytes()).decode()
    return Storyboard.from_dict(body)
