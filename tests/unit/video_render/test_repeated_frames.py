"""Frames that are made without an encoder (P5, P6)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.video_render.adapters.media import encoder, h264
from services.video_render.adapters.media.yuv import Pixels
from services.video_render.application.engine import Rung

SIZES = ((64, 48), (854, 480), (1280, 720))
"""Not all are whole macroblocks."""
FPS = 10


def picture(number: int, width: int, height: int) -> Pixels:
    """A BGRA picture that differs from its neighbours."""
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[..., :3] = 24
    left = number * 7 % (width // 2)
    pixels[height // 4 : height // 2, left : left + width // 3, :3] = (40, 160, 220 - number % 8 * 10)
    return pixels


def encoded(holds: Sequence[int], width: int, height: int, folder: Path) -> bytes:
    """A segment that shows each picture for so many frames."""
    with encoder.LadderEncoder(folder, (Rung("x", width, height, FPS),)) as target:
        for number, hold in enumerate(holds):
            target.write(picture(number, width, height))
            target.repeat(hold - 1)
    return (folder / "x.mp4").read_bytes()


def decoded(segment: bytes) -> Iterator[np.ndarray]:
    """Every frame; a stream with any fault is refused."""
    with av.open(io.BytesIO(segment), "r") as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode+crccheck+bitstream+buffer"}
        for frame in container.decode(video=0):
            yield frame.to_ndarray()


@pytest.fixture
def complaints() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg has to say; that it had to conceal something is only information to it."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    with av.logging.Capture(local=False) as said:
        yield said
    av.logging.set_level(level)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_P6_what_is_repeated_is_the_frame_before(
    tmp_path: Path, complaints: list[tuple[int, str, str]], width: int, height: int
) -> None:
    """P5, P6: decoded to the same bytes; motion goes on after it as if the encoder had made every frame."""
    holds = [1, 1, 5, 1, 9, 1, 1, 1, 30, 2, 1, 3, 1, 40, 1]
    frames = list(decoded(encoded(holds, width, height, tmp_path)))
    assert len(frames) == sum(holds)
    position = 0
    for number, hold in enumerate(holds):
        shown = frames[position : position + hold]
        for offset, (before, after) in enumerate(itertools.pairwise(shown), position + 1):
            refined = encoder.STILL_ENCODED
            if offset % (FPS * encoder.GOP_SECONDS) >= refined and offset - position >= refined:
                assert np.array_equal(before, after), (number, offset)
        luma = picture(number, width, height)[..., :3].astype(float) @ (0.0722, 0.7152, 0.2126) * 219 / 255 + 16
        for frame in shown:
            assert np.abs(frame[:height, :width] - luma).mean() < 1.5, number
        position += hold
    assert [said for said in complaints if said[1] == "h264"] == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 45), min_size=1, max_size=12))
def test_P6_any_sequence_decodes_to_its_length(tmp_path_factory: pytest.TempPathFactory, holds: list[int]) -> None:
    """P6: whatever moves and rests when, every frame is there and shows its picture."""
    frames = list(decoded(encoded(holds, 64, 48, tmp_path_factory.mktemp("x"))))
    shown = [number for number, hold in enumerate(holds) for _ in range(hold)]
    assert len(frames) == len(shown)
    for number, frame in zip(shown, frames, strict=True):
        luma = picture(number, 64, 48)[..., :3].astype(float) @ (0.0722, 0.7152, 0.2126) * 219 / 255 + 16
        assert np.abs(frame[:48, :64] - luma).mean() < 3


def test_P6_most_of_a_still_picture_is_made_without_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P6: of 200 frames of one picture, x264 is asked for a few."""
    asked = []
    original = h264.FrameNumbers.passed

    def passed(self: h264.FrameNumbers, packet: bytes, *, key: bool) -> bytes:
        asked.append(key)
        return original(self, packet, key=key)

    monkeypatch.setattr(h264.FrameNumbers, "passed", passed)
    encoded([200], 64, 48, tmp_path)
    assert asked == [True, False]


@pytest.mark.parametrize("parameters", ["cabac=1", "bframes=2", "interlaced=1"])
def test_P6_a_stream_of_another_kind_is_left_to_its_encoder(parameters: str) -> None:
    """P6: arithmetic coding, or frames out of order: nothing is repeated, nothing is renumbered."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.framerate, context.time_base = Fraction(1), Fraction(1)
    context.options = {"preset": "superfast", "x264-params": f"bframes=0:cabac=0:weightp=0:{parameters}"}
    context.flags |= av.codec.context.Flags.global_header
    context.open()
    numbers = h264.FrameNumbers(bytes(context.extradata or b""), 12)
    assert numbers.passed(b"\0\0\0\1\x41anything", key=False) == b"\0\0\0\1\x41anything"
    assert numbers.repeated() is None


def test_P6_parameters_that_say_nothing_repeat_nothing() -> None:
    """P6: no parameter sets."""
    assert h264.FrameNumbers(b"", 12).repeated() is None
