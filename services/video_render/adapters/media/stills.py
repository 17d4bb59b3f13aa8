"""Pictures out of pixels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

JPEG_QUALITY = 88


def save_still(pixels: np.ndarray[Any, np.dtype[np.uint8]], path: Path) -> None:
    """Save a BGRA or RGB picture as JPEG or PNG (by suffix); the file appears only when it is complete."""
    rgb = pixels[:, :, 2::-1] if pixels.shape[2] == 4 else pixels
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    try:
        Image.fromarray(np.ascontiguousarray(rgb)).save(unfinished, kind, quality=JPEG_QUALITY)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
