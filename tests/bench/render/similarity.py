"""Do the two engines show the same picture? SSIM of the luma of decoded frames, scene by scene."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
from scipy.ndimage import uniform_filter

Plane = np.ndarray[Any, np.dtype[np.float64]]
EVERY = 15


def ssim(first: Plane, second: Plane) -> float:
    """Structural similarity of two 8-bit planes: Wang et al. 2004 with an 8 x 8 window."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = uniform_filter(first, 8), uniform_filter(second, 8)
    var_a = uniform_filter(first * first, 8) - mean_a**2
    var_b = uniform_filter(second * second, 8) - mean_b**2
    cov = uniform_filter(first * second, 8) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def report(folder: Path, scenes: int) -> str:
    """Mean and worst SSIM of every `EVERY`-th frame, and whether the frame counts agree."""
    values: list[float] = []
    counts: list[str] = []
    for index in range(scenes):
        peer = next(path for path in (folder / "peer").rglob(f"scene_{index}.mp4") if "partial" not in str(path))
        [ours] = (folder / "t2m" / str(index)).glob("*.mp4")
        for number, (a, b) in enumerate(zip_longest(_luma(peer), _luma(ours))):
            if a is None or b is None:
                counts.append(f"scene {index}: {number} frames in common, then one ends")
                break
            if number % EVERY == 0:
                values.append(ssim(a, b))
    mean, worst = sum(values) / len(values), min(values)
    return f"SSIM over {len(values)} frames: mean {mean:.4f}, worst {worst:.4f}. {'; '.join(counts)}"


def _luma(path: Path) -> Iterator[Plane]:
    """The grey picture a viewer sees: decoded to RGB by the file's own colour tags first."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            rgb = frame.to_ndarray(format="rgb24").astype(np.float64)
            yield rgb @ np.array([0.299, 0.587, 0.114])
