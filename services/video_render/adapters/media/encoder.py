"""One H.264 segment, fed frame by frame."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from services.video_render.adapters.media.yuv import Pixels, Yuv

TICKS_PER_FRAME = 512
"""The segment's clock runs at fps * 512, which every player handles and which divides every frame evenly."""

GOP_SECONDS = 2
_X264 = {
    "preset": "superfast",
    "crf": "20",
    "x264-params": (
        "open-gop=0:scenecut=0:bframes=0:ref=1:weightp=0:mbtree=0:rc-lookahead=0:sync-lookahead=0"
        ":threads=1:lookahead-threads=1:sliced-threads=0"
    ),
}


class SegmentEncoder:
    """Writes BGRA frames as an MP4 segment that starts with an IDR frame and has closed GOPs of a fixed length.

    There are no B-frames, so decoding order is showing order and segments with the same encoder settings join by
    stream copy. Use it as a context manager: the file gets its name only when everything was written; on an error
    the unfinished file is removed.
    """

    def __init__(self, path: Path, width: int, height: int, fps: int, options: dict[str, str] | None = None) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._container = av.open(str(self._unfinished), "w", format="mp4", options=_container_options(fps))
        self._stream = self._container.add_stream("libx264", rate=fps, options=_X264 | (options or {}))
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.gop_size = fps * GOP_SECONDS
        context.time_base = Fraction(1, fps)
        context.color_range, context.colorspace = 1, 1  # limited range, BT.709
        context.color_primaries, context.color_trc = 1, 1
        self._picture = Yuv(width, height)
        self._fps = fps
        self.frames = 0

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        """Show a BGRA picture for one frame; the array may be changed afterwards.

        With `rows` (first, one after last) the caller promises that the picture differs from the one before only
        there, and only these rows are converted.
        """
        self._picture.update(pixels, rows)
        self.repeat(1)

    def repeat(self, count: int) -> None:
        """Show the last picture for `count` more frames; it is neither drawn nor converted again."""
        if self._picture.frame is None:
            raise ValueError("there is no picture to repeat")
        frame, base = self._picture.frame, Fraction(1, self._fps)
        for _ in range(count):
            frame.pts, frame.time_base = self.frames, base
            self.frames += 1
            self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if kind is None:
                self._unfinished.replace(self._path)
        finally:
            self._unfinished.unlink(missing_ok=True)


def _container_options(fps: int) -> dict[str, str]:
    return {"video_track_timescale": str(fps * TICKS_PER_FRAME), "fflags": "+bitexact"}
