"""Small stills: of a picture, and of a whole video in rows (the seek preview of players)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image

from services.video_render.adapters.media.joining import reading, video_of
from services.video_render.adapters.media.stills import JPEG_QUALITY
from services.video_render.application.engine import MediaFailed, Tile

TILE_WIDTH = 160
COLUMNS = 10
MOST_TILES = 100


def shrink(picture: Path, width: int, out: Path) -> tuple[int, int]:
    """Save a picture `width` pixels wide as JPEG; its size. One that is narrower keeps its size."""
    with Image.open(picture) as image:
        width = min(width, image.width)
        size = width, max(round(image.height * width / image.width), 1)
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    _save(small, out)
    return small.size


def sprite(video: Path, out: Path) -> list[Tile]:
    """Save the video's key frames, `MOST_TILES` at most, as one JPEG; which tile shows which time.

    Raises `MediaFailed`.
    """
    with reading(video) as container:
        stream = video_of(container, video)
        seconds = float((stream.duration or 0) * (stream.time_base or 0))
        pictures = list(_key_frames(container, stream))
    if not pictures:
        raise MediaFailed(f"{video.name} holds no frames")
    pictures = pictures[:: -(-len(pictures) // MOST_TILES)]
    width, height = pictures[0][1].size
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (width * min(len(pictures), COLUMNS), height * rows))
    tiles = []
    ends = [time for time, _ in pictures[1:]] + [seconds]
    for number, ((start, picture), end) in enumerate(zip(pictures, ends, strict=True)):
        left, top = number % COLUMNS * width, number // COLUMNS * height
        sheet.paste(picture, (left, top))
        tiles.append(Tile(start, end, left, top, width, height))
    _save(sheet, out)
    return tiles


def _key_frames(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[tuple[float, Image.Image]]:
    """(seconds, picture) of every key frame; the others are not decoded."""
    stream.codec_context.skip_frame = "NONKEY"
    height = round(TILE_WIDTH * stream.codec_context.height / stream.codec_context.width)
    for frame in container.decode(stream):
        yield (
            float(frame.time or 0.0),
            Image.fromarray(frame.to_ndarray(width=TILE_WIDTH, height=height, format="rgb24")),
        )


def _save(picture: Image.Image, out: Path) -> None:
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        picture.save(unfinished, "JPEG", quality=JPEG_QUALITY)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
