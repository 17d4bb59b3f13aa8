"""What decides how a scene looks, as one digest. Imports nothing that draws: the service asks for it too."""

from __future__ import annotations

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path

from services.video_render.adapters.manim import fonts

PACKAGES = ("manim", "typst", "av", "pillow", "networkx", "scipy", *fonts.PACKAGES)


@cache
def engine_version() -> str:
    """A digest over this package's source and the versions of what draws: no template change goes unnoticed."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for source in sorted([*here.rglob("*.py"), *(here.parent / "media").glob("*.py")]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    for package in PACKAGES:
        digest.update(f"{package}={importlib.metadata.version(package)}".encode())
    return f"1-{digest.hexdigest()[:12]}"
