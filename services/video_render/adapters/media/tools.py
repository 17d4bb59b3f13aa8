"""Finished media files: joining, measuring, stills. Everything by PyAV, no command-line tools."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer

from services.video_render.adapters.media import codecs, fmp4, sound, sprites
from services.video_render.adapters.media.joining import join, reading, video_of
from services.video_render.adapters.media.stills import save_still
from services.video_render.application.engine import AudioOutput, Chapter, MediaFailed, MediaInfo, Sound, Tile

POSTER_CANDIDATES = 8


class AvMediaTools:
    """The `MediaTools` port over PyAV (FFmpeg's libraries)."""

    def assemble(
        self, segments: Sequence[Path], out: Path, chapters: Sequence[Chapter], sounds: Sequence[Sound] = ()
    ) -> None:
        """See `MediaTools.assemble`. Segments must come from one encoder at one rung."""
        if not segments:
            raise MediaFailed("there are no segments to join")
        unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            join(segments, unfinished, lambda target: _set_chapters(target, chapters), sounds)
            unfinished.replace(out)
        except (av.FFmpegError, OSError) as error:
            raise MediaFailed(f"cannot join the segments: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)

    def voice_track(self, speech: Path | None, lead_s: float, duration_s: float, out: Path) -> AudioOutput:
        """See `MediaTools.voice_track`."""
        try:
            frames = sound.voice_track(speech, lead_s, duration_s, out)
            found = fmp4.layout(out)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaFailed(f"cannot make the sound of a scene: {error}") from error
        rate = sound.RATE / sound.FRAME
        each = -(-sound.FRAGMENT_SECONDS * sound.RATE // sound.FRAME)
        return AudioOutput(out, "mp4a.40.2", frames, rate, found.head_bytes, found.sizes, each)

    def probe(self, path: Path) -> MediaInfo:
        """See `MediaTools.probe`. Reads every packet: the frame count is counted, not believed."""
        with reading(path) as container:
            stream = video_of(container, path)
            assert stream.time_base is not None
            frames, end = 0, 0
            for packet in container.demux(stream):
                if packet.pts is not None:
                    frames += 1
                    end = max(end, packet.pts + (packet.duration or 0))
            if not frames:
                raise MediaFailed(f"{path.name} holds no frames")
            duration = float(end * stream.time_base)
            return MediaInfo(
                duration_s=duration,
                width=stream.codec_context.width,
                height=stream.codec_context.height,
                fps=round(frames / duration, 3) if duration else 0.0,
                codec=stream.codec_context.name,
                size_bytes=path.stat().st_size,
                frames=frames,
                audio_codec=next((each.codec_context.name for each in container.streams.audio), ""),
                codec_string=codecs.of_stream(stream),
                chapters=tuple(_chapters(container)),
            )

    def shrink(self, picture: Path, width: int, out: Path) -> tuple[int, int]:
        """See `MediaTools.shrink`."""
        try:
            return sprites.shrink(picture, width, out)
        except OSError as error:
            raise MediaFailed(f"cannot make a still smaller: {error}") from error

    def sprite(self, video: Path, out: Path) -> Sequence[Tile]:
        """See `MediaTools.sprite`."""
        try:
            return sprites.sprite(video, out)
        except OSError as error:
            raise MediaFailed(f"cannot make the sprite: {error}") from error

    def poster(self, video: Path, out: Path) -> None:
        """See `MediaTools.poster`. Of a few frames spread over the video the one with most to see is kept."""
        with reading(video) as container:
            stream = video_of(container, video)
            length = float((stream.duration or 0) * (stream.time_base or 0))
            best: np.ndarray[Any, np.dtype[np.uint8]] | None = None
            most = -1.0
            for index in range(POSTER_CANDIDATES):
                at = length * (index + 0.5) / POSTER_CANDIDATES
                pixels = _frame_at(container, stream, at)
                if pixels is not None and (detail := _detail(pixels)) > most:
                    best, most = pixels, detail
        if best is None:
            raise MediaFailed(f"{video.name} holds no frames")
        try:
            save_still(best, out)
        except OSError as error:
            raise MediaFailed(f"cannot save the poster: {error}") from error


def _set_chapters(target: OutputContainer, chapters: Sequence[Chapter]) -> None:
    base = Fraction(1, 1000)
    target.set_chapters(
        [
            {
                "id": number,
                "start": round(chapter.start_s * 1000),
                "end": round(chapter.end_s * 1000),
                "time_base": base,
                "metadata": {"title": chapter.title},
            }
            for number, chapter in enumerate(chapters)
        ]
    )


def _chapters(container: InputContainer) -> Iterator[Chapter]:
    for chapter in container.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        title = chapter["metadata"].get("title", "")
        yield Chapter(title, float(chapter["start"] * base), float(chapter["end"] * base))


def _frame_at(
    container: InputContainer, stream: av.VideoStream, seconds: float
) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """The frame shown at a time, as RGB."""
    assert stream.time_base is not None
    wanted = int(seconds / stream.time_base)
    container.seek(wanted, stream=stream, backward=True)
    last: av.VideoFrame | None = None
    for frame in container.decode(stream):
        last = frame
        if frame.pts is None or frame.pts >= wanted:
            break
    return None if last is None else last.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _detail(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    """How much there is to see: the share of pixels that differ clearly from their neighbour."""
    luma = pixels[::2, ::2].mean(axis=2)
    edges = np.abs(np.diff(luma, axis=1)) > 24
    return float(edges.mean())
