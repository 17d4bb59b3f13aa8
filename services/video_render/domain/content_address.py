"""The content address of a rendered scene: same address, same bytes worth keeping."""

from __future__ import annotations

import hashlib
import json

from services.video_render.domain.storyboard import Scene


def content_hash(
    scene: Scene,
    *,
    theme: str,
    language: str,
    quality: str,
    engine_version: str,
    voice: str = "",
) -> str:
    """SHA-256 (hex) over everything that decides what the scene looks like.

    `theme` is the one that the scene is drawn in. `quality` names the rung with its numbers (`Rung.key`), so that
    changing a rung changes the address. The scene's id is left out: the same scene in another video is the same
    picture. Narration counts only with a `voice`: without one it is not in the segment.
    """
    spec = scene.to_dict()
    for name in ("id", "theme", *([] if voice else ["narration"])):
        spec.pop(name, None)
    identity = {
        "scene": spec,
        "theme": theme,
        "language": language,
        "quality": quality,
        "engine": engine_version,
        "voice": voice,
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
