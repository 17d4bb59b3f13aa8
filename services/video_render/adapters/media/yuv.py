"""The encoder's picture: planar YUV 4:2:0, BT.709, limited range, converted only where it changes."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

_ALIGN = 16
_BLEED = 4
"""Chroma of a row is interpolated from its neighbours, so the change reaches this many rows further, and the rows at
the ends of what is kept need this many neighbours."""


class Yuv:
    """One picture in memory that an `av.VideoFrame` (`frame`) looks at."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._reformatters: dict[int, VideoReformatter] = {}
        self._planes: list[Pixels] = []
        self.frame: av.VideoFrame | None = None

    def update(self, pixels: Pixels, rows: tuple[int, int] | None) -> bool:
        """Take over a BGRA picture, or the rows of it that have changed; whether any difference can be seen."""
        if self.frame is None or rows is None or rows[1] - rows[0] > self._height * 3 // 4:
            frame = self._convert(pixels)
            planes, known = _views(frame), self._planes
            if known and all(np.array_equal(new, old) for new, old in zip(planes, known, strict=True)):
                return False
            self.frame, self._planes = frame, planes
            return True
        first, last = rows
        if first >= last:
            return False
        first = max(first - _BLEED, 0) // _ALIGN * _ALIGN
        last = min(-(-(last + _BLEED) // _ALIGN) * _ALIGN, self._height)
        start, stop = max(first - _BLEED, 0), min(last + _BLEED, self._height)
        band = _views(self._convert(pixels[start:stop]))
        changed = False
        for plane, part, step in zip(self._planes, band, (1, 2, 2), strict=True):
            offset = (first - start) // step
            count = (last - first) // step
            old, new = plane[first // step : first // step + count], part[offset : offset + count]
            if not np.array_equal(old, new):
                old[:] = new
                changed = True
        return changed

    def _convert(self, pixels: Pixels) -> av.VideoFrame:
        """BGRA rows as a frame of their own; a converter is kept per height, since setting one up costs time."""
        reformatter = self._reformatters.setdefault(len(pixels), VideoReformatter())
        return reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(pixels, format="bgra"),
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )


def _views(frame: av.VideoFrame) -> list[Pixels]:
    """The planes of a frame as writable arrays over the same memory."""
    views: list[Pixels] = []
    for plane in frame.planes:
        rows: Pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        views.append(rows[: plane.height, : plane.width])
    return views
