"""P6: CPU of rendering beside CPU of encoding the same frames alone, with the same settings of x264."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from services.video_render.adapters.manim import scene_drawing
from services.video_render.adapters.media import encoder as ours
from services.video_render.adapters.media.yuv import Pixels, Yuv
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import Storyboard


class PlainEncoder:
    """Every frame is converted and given to x264, as a file writer does that knows nothing of what it is shown."""

    def __init__(self, path: Path, rung: Rung) -> None:
        self.frames = 0
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=rung.fps, options=ours.X264)
        self._stream.width, self._stream.height, self._stream.pix_fmt = rung.width, rung.height, "yuv420p"
        self._stream.codec_context.gop_size = rung.fps * ours.GOP_SECONDS
        self._stream.codec_context.time_base = Fraction(1, rung.fps)
        self._picture = Yuv(rung.width, rung.height)
        self._last: Pixels | None = None

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        """One frame."""
        self._last = pixels
        self._picture.update(pixels, None)
        frame = self._picture.frame
        assert frame is not None
        frame.pts = self.frames
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def repeat(self, count: int) -> None:
        """The same frame again, and again."""
        assert self._last is not None
        for _ in range(count):
            self.write(self._last)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


class Clocked:
    """A frame sink that counts the CPU seconds spent in it."""

    def __init__(self, sink: PlainEncoder | ours.LadderEncoder) -> None:
        self._sink = sink
        self.frames = 0
        self.seconds = 0.0

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        """See `FrameSink`."""
        started = time.process_time()
        self._sink.write(pixels, rows)
        self.frames += 1
        self.seconds += time.process_time() - started

    def repeat(self, count: int) -> None:
        """See `FrameSink`."""
        started = time.process_time()
        self._sink.repeat(count)
        self.frames += count
        self.seconds += time.process_time() - started


def round_of(board: Storyboard, rung: Rung, folder: Path) -> dict[str, float]:
    """CPU seconds of all scenes: of rendering, of our encoder in it, and of encoding every frame alone."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {"render": 0.0, "encoder": 0.0, "alone": 0.0}
    for index in range(len(board.scenes)):
        with PlainEncoder(folder / "plain.mp4", rung) as plain:
            clocked = Clocked(plain)
            _draw(board, index, rung, folder, clocked)
        seconds["alone"] += clocked.seconds
        started = time.process_time()
        with ours.LadderEncoder(folder, (rung,)) as encoder:
            clocked = Clocked(encoder)
            _draw(board, index, rung, folder, clocked)
        seconds["render"] += time.process_time() - started
        seconds["encoder"] += clocked.seconds
        assert encoder.frames == plain.frames
    return seconds


def _draw(board: Storyboard, index: int, rung: Rung, folder: Path, sink: Clocked) -> None:
    scene = board.scenes[index]
    scene_drawing.draw(scene, board.theme_of(scene), rung, folder, sink, lambda _: None, board.language)
