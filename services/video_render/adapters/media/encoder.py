"""Segments of one scene at every rung of the ladder, fed frame by frame: frames are drawn once, encoded per rung."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from services.video_render.adapters.media.h264 import FrameNumbers
from services.video_render.adapters.media.yuv import Pixels, Yuv
from services.video_render.application.engine import Rung

TICKS_PER_FRAME = 512
"""The segment's clock runs at fps * 512, which every player handles and which divides every frame evenly."""

GOP_SECONDS = 2
STILL_ENCODED = 2
"""A still picture is given to the encoder so often in a GOP: what it lacks after the first time, it has then."""
X264 = {
    "preset": "superfast",
    "qp": "22",  # of one quality throughout; what crf adds costs a quarter more time and saves nothing here
    "forced-idr": "1",
    "x264-params": (
        "open-gop=0:scenecut=0:bframes=0:ref=1:weightp=0:mbtree=0:rc-lookahead=0:sync-lookahead=0"
        ":threads=1:lookahead-threads=1:sliced-threads=0"
        ":cabac=0:no-deblock=1:subme=0"  # a still frame is then nothing but one run of skipped macroblocks
        ":force-cfr=1"  # else each packet comes one frame late, and no GOP is known to be complete at its end
    ),
}
"""Every frame is answered at once, key frames are chosen here, and a still frame is coded as simply as can be."""


class LadderEncoder:
    """Writes BGRA frames as one fragmented MP4 per rung (`{rung}.mp4` in a folder), all of the same length.

    Each starts with an IDR frame and has closed GOPs of a fixed length, a fragment each; there are no B-frames, so
    that decoding order is showing order and segments with the same settings join by stream copy. Use it as a context
    manager: the files get their names only when everything was written; on an error the unfinished ones are removed.
    """

    def __init__(self, folder: Path, ladder: Sequence[Rung]) -> None:
        top = ladder[0]
        uneven = [rung.name for rung in ladder if top.fps % rung.fps]
        if uneven:
            raise ValueError(f"frame rates do not divide {top.fps}: {', '.join(uneven)}")
        self._picture = Yuv(top.width, top.height)
        self._tracks = [_Track(folder / f"{rung.name}.mp4", rung, top.fps // rung.fps) for rung in ladder]
        self._step = max(track.every for track in self._tracks)
        self.frames = 0

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        """Show a BGRA picture for one frame; the array may be changed afterwards.

        With `rows` (first, one after last) the caller promises that the picture differs from the one before only
        there, and only these rows are converted.
        """
        if self._picture.update(pixels, rows):
            for track in self._tracks:
                track.changed()
        self.repeat(1)

    def repeat(self, count: int) -> None:
        """Show the last picture for `count` more frames; it is neither drawn nor converted again."""
        frame = self._picture.frame
        if frame is None:
            raise ValueError("there is no picture to repeat")
        for track in self._tracks:
            track.hold(frame, self.frames, count)
        self.frames += count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.frames % self._step:
                self.repeat(self._step - self.frames % self._step)  # all rungs end at the same time
        finally:
            for track in self._tracks:
                track.close(complete=kind is None)


class _Track:
    """One rung: shows every `every`-th frame, scaled."""

    def __init__(self, path: Path, rung: Rung, every: int) -> None:
        self.every = every
        self._rung = rung
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._container = av.open(str(self._unfinished), "w", format="mp4", options=_container_options(rung.fps))
        self._stream = self._container.add_stream("libx264", rate=rung.fps, options=X264)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = rung.width, rung.height, "yuv420p"
        context.gop_size = rung.fps * GOP_SECONDS
        context.time_base = Fraction(1, rung.fps)
        context.color_range, context.colorspace = 1, 1  # limited range, BT.709
        context.color_primaries, context.color_trc = 1, 1
        self._scaler = VideoReformatter()
        self._scaled: av.VideoFrame | None = None
        self._gop = _Gop(rung.fps * GOP_SECONDS)
        self._numbers: FrameNumbers | None = None
        self._shown = self._encoded = 0
        self._asked = 0  # how often in a row the encoder was given the same picture

    def changed(self) -> None:
        """The next frame shows another picture."""
        self._scaled = None
        self._asked = 0
        self._gop.broken()

    def hold(self, picture: av.VideoFrame, first: int, count: int) -> None:
        """Show a picture for frames `first` to `first + count` of the top rung, those that are this rung's."""
        left = -(-(first + count) // self.every) - -(-first // self.every)
        while left:
            repeated = self._gop.repeatable() if left >= self._gop.length else None
            if repeated is not None:
                for number, data in enumerate(repeated):
                    self._mux(data, key=number == 0)
                left -= self._gop.length
            else:
                self._show(picture)
                left -= 1

    def close(self, *, complete: bool) -> None:
        """Finish the file, or throw it away."""
        try:
            if complete:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if complete:
                self._unfinished.replace(self._path)
        finally:
            self._unfinished.unlink(missing_ok=True)

    def _fitting(self, picture: av.VideoFrame) -> av.VideoFrame:
        if (picture.width, picture.height) == (self._rung.width, self._rung.height):
            return picture
        if self._scaled is None:
            self._scaled = self._scaler.reformat(
                picture, width=self._rung.width, height=self._rung.height, interpolation=Interpolation.AREA
            )
        return self._scaled

    def _show(self, picture: av.VideoFrame) -> None:
        """One more frame; the encoder is asked only where it has something to say."""
        starts = self._gop.starts
        if starts:
            self._asked = 0
        data = self._numbers.repeated() if self._numbers and self._asked >= STILL_ENCODED else None
        if data is None:
            data = self._encoded_frame(self._fitting(picture), key=starts)
            self._asked += 1
        self._gop.add(data)
        self._mux(data, key=starts)

    def _encoded_frame(self, frame: av.VideoFrame, *, key: bool) -> bytes:
        # The encoder counts only what it is given: repeated frames are not in its time, but in the file's.
        frame.pts, frame.time_base = self._encoded, Fraction(1, self._rung.fps)
        frame.pict_type = PictureType.I if key else PictureType.NONE
        self._encoded += 1
        packets = self._stream.encode(frame)
        if len(packets) != 1 or packets[0].is_keyframe != key:
            raise RuntimeError("the encoder does not answer each frame at once, or chooses key frames itself")
        if self._numbers is None:
            blocks = -(-self._rung.width // 16) * -(-self._rung.height // 16)
            self._numbers = FrameNumbers(self._stream.codec_context.extradata or b"", blocks)
        return self._numbers.passed(bytes(packets[0]), key=key)

    def _mux(self, data: bytes, *, key: bool) -> None:
        packet = av.Packet(data)
        packet.pts = packet.dts = self._shown
        packet.duration, packet.time_base = 1, Fraction(1, self._rung.fps)
        packet.is_keyframe = key
        packet.stream = self._stream
        self._shown += 1
        self._container.mux(packet)


class _Gop:
    """Remembers the packets of the GOP under way, as long as it shows one picture only."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._at = 0
        self._still = True
        self._packets: list[bytes] = []
        self._last: list[bytes] | None = None

    @property
    def starts(self) -> bool:
        """The next frame is the first of a GOP."""
        return self._at == 0

    def broken(self) -> None:
        """The picture changes."""
        self._still = self._at == 0
        self._last = None
        if not self._still:
            self._packets.clear()

    def add(self, packet: bytes) -> None:
        """The next frame of the GOP."""
        if self._still:
            self._packets.append(packet)
        self._at += 1
        if self._at == self.length:
            self._last = self._packets if self._still else None
            self._at, self._still, self._packets = 0, True, []

    def repeatable(self) -> Sequence[bytes] | None:
        """The packets of a whole GOP of the picture that is shown, if a GOP may begin here."""
        return self._last if self._at == 0 else None


def _container_options(fps: int) -> dict[str, str]:
    return {
        "movflags": "+frag_keyframe+empty_moov+default_base_moof",
        "video_track_timescale": str(fps * TICKS_PER_FRAME),
        "fflags": "+bitexact",
    }
