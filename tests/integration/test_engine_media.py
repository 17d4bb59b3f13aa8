"""Joining, measuring and stills on real files (V4, V6, V7)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from services.video_render.adapters.media import AvMediaTools, fmp4
from services.video_render.adapters.media.encoder import LadderEncoder
from services.video_render.adapters.media.yuv import Pixels, Yuv
from services.video_render.application.engine import Chapter, MediaFailed, Rung

WIDTH, HEIGHT = 192, 108


LADDER = (Rung("big", WIDTH, HEIGHT, 20), Rung("small", 96, 54, 10), Rung("tiny", 64, 36, 5))


def picture(seed: int) -> Pixels:
    """A BGRA picture with something to see."""
    pixels = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    pixels[:, :, :3] = np.random.default_rng(seed).integers(0, 40, 3, dtype=np.uint8)
    pixels[20:60, 20 + seed : 90 + seed, :3] = (40 * seed % 255, 200, 120)
    return pixels


def segment(path: Path, seed: int, frames: int, fps: int = 10, width: int = WIDTH) -> Path:
    with LadderEncoder(path.parent, (Rung(path.stem, width, HEIGHT, fps),)) as encoder:
        encoder.write(np.ascontiguousarray(np.resize(picture(seed), (HEIGHT, width, 4))))
        encoder.repeat(frames - 1)
    return path


def test_v4_segments_join_without_losing_a_frame(tmp_path: Path) -> None:
    tools = AvMediaTools()
    counts = [7, 30, 1, 45]
    segments = [segment(tmp_path / f"{n}.mp4", n, count) for n, count in enumerate(counts)]
    chapters = [Chapter("Één", 0.0, 3.7), Chapter("Two", 3.7, 8.3)]
    out = tmp_path / "video.mp4"
    tools.assemble(segments, out, chapters)
    info = tools.probe(out)
    assert info.frames == sum(counts)
    assert info.duration_s == pytest.approx(sum(counts) / 10)
    assert (info.fps, info.codec, info.width, info.height) == (10.0, "h264", WIDTH, HEIGHT)
    assert info.size_bytes == out.stat().st_size
    assert info.chapters == tuple(chapters)
    data = out.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat"), "faststart"
    with av.open(str(out)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 10 for number in range(sum(counts))])
    assert not list(tmp_path.glob(".*")), "no unfinished files"


def test_v4_the_same_segments_give_the_same_file(tmp_path: Path) -> None:
    segments = [segment(tmp_path / f"{n}.mp4", n, 5) for n in range(2)]
    for name in ("a.mp4", "b.mp4"):
        AvMediaTools().assemble(segments, tmp_path / name, [Chapter("c", 0.0, 1.0)])
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_v4_what_cannot_be_joined_is_refused(tmp_path: Path) -> None:
    tools = AvMediaTools()
    good = segment(tmp_path / "good.mp4", 1, 5)
    other = segment(tmp_path / "other.mp4", 1, 5, width=200)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(good.read_bytes()[:300])
    out = tmp_path / "video.mp4"
    for segments in ([], [good, other], [good, broken], [good, tmp_path / "absent.mp4"]):
        with pytest.raises(MediaFailed):
            tools.assemble(segments, out, [])
        assert not out.exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x00" * 4096])
def test_v6_a_damaged_file_is_not_measured(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaFailed):
        AvMediaTools().probe(path)


def test_v7_the_poster_is_not_the_blank_part(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with LadderEncoder(tmp_path, (Rung("x", WIDTH, HEIGHT, 10),)) as encoder:
        encoder.write(np.zeros((HEIGHT, WIDTH, 4), np.uint8))
        encoder.repeat(70)
        encoder.write(picture(3))
        encoder.repeat(9)
    for name in ("poster.jpg", "poster.png"):
        AvMediaTools().poster(path, tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.size == (WIDTH, HEIGHT)
            assert image.format == ("PNG" if name.endswith("png") else "JPEG")
            assert np.asarray(image.convert("L")).std() > 20


def test_p5_converting_the_changed_rows_equals_converting_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    banded, whole = Yuv(WIDTH, HEIGHT), Yuv(WIDTH, HEIGHT)
    banded.update(pixels, None)
    for first, last in ((30, 41), (0, 3), (100, 108), (50, 50), (17, 64)):
        pixels[first:last] = rng.integers(0, 255, (last - first, WIDTH, 4), dtype=np.uint8)
        banded.update(pixels, (first, last))
        whole.update(pixels, None)
        assert banded.frame is not None
        assert whole.frame is not None
        assert np.array_equal(banded.frame.to_ndarray(), whole.frame.to_ndarray())


def test_v10_an_error_while_encoding_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with LadderEncoder(tmp_path, LADDER) as encoder:
            encoder.write(picture(1))
            raise RuntimeError("drawing failed")

    with pytest.raises(RuntimeError, match="drawing failed"):
        fail()
    assert list(tmp_path.iterdir()) == []


def frames_of(path: Path) -> list[Pixels]:
    """The luma of every frame."""
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="gray"), np.uint8) for frame in container.decode(video=0)]


def test_v4_every_rung_shows_the_same_in_the_same_time(tmp_path: Path) -> None:
    """V4, P5: drawn once; a lower rung shows every n-th frame, scaled; all end together."""
    with LadderEncoder(tmp_path, LADDER) as encoder:
        for seed in range(1, 8):
            encoder.write(picture(seed))
            encoder.repeat(seed)
    assert encoder.frames == 36, "35 and one more, so that the tiny rung ends with the others"
    for rung, every in zip(LADDER, (1, 2, 4), strict=True):
        info = AvMediaTools().probe(tmp_path / f"{rung.name}.mp4")
        assert (info.width, info.height, info.fps, info.frames) == (rung.width, rung.height, rung.fps, 36 // every)
        assert info.codec_string.startswith("avc1.")
    big, small = frames_of(tmp_path / "big.mp4"), frames_of(tmp_path / "small.mp4")
    for number, frame in enumerate(small):
        shrunk = np.asarray(Image.fromarray(big[number * 2]).resize((96, 54), Image.Resampling.BOX))
        assert np.abs(shrunk.astype(int) - frame).mean() < 6


def test_p6_a_still_picture_is_encoded_once(tmp_path: Path) -> None:
    """P5, P6: whole GOPs of one picture are repeated as bytes; what is seen is the same, to the frame."""
    with LadderEncoder(tmp_path, (Rung("x", WIDTH, HEIGHT, 10),)) as encoder:
        for seed, hold in ((1, 3), (2, 150), (3, 0), (4, 40)):
            encoder.write(picture(seed))
            encoder.repeat(hold)
    found = fmp4.layout(tmp_path / "x.mp4")
    assert len(found.sizes) == -(-encoder.frames // 20)
    assert len(set(found.sizes[2:7])) == 1, "GOPs of the long hold are the same"
    frames = frames_of(tmp_path / "x.mp4")
    assert len(frames) == encoder.frames == 197
    expected = [1] * 4 + [2] * 151 + [3] + [4] * 41
    for number, (seed, frame) in enumerate(zip(expected, frames, strict=True)):
        wanted = np.asarray(Image.fromarray(picture(seed)[:, :, 2::-1]).convert("L")).astype(int)
        assert np.abs(wanted - frame).mean() < 8, number


def test_v5_fragments_cover_the_file_and_stand_alone(tmp_path: Path) -> None:
    """V5: the head and any one fragment are a playable file of one GOP."""
    path = segment(tmp_path / "x.mp4", 3, 45)
    found = fmp4.layout(path)
    data = path.read_bytes()
    assert found.head_bytes + sum(found.sizes) <= len(data)
    start = found.head_bytes
    counts = []
    for size in found.sizes:
        part = tmp_path / "part.mp4"
        part.write_bytes(data[: found.head_bytes] + data[start : start + size])
        start += size
        counts.append(len(frames_of(part)))
    assert counts == [20, 20, 5]


@pytest.mark.parametrize("cut", [0, 4, 300, -9])
def test_v5_a_file_that_is_cut_off_has_no_layout(tmp_path: Path, cut: int) -> None:
    path = segment(tmp_path / "x.mp4", 3, 30)
    found = fmp4.layout(path)
    whole = path.read_bytes()[: found.head_bytes + sum(found.sizes)]
    path.write_bytes(whole[:cut])
    with pytest.raises(ValueError, match=r"x\.mp4"):
        fmp4.layout(path)


def test_v4_rungs_whose_frame_rates_do_not_divide_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="odd"):
        LadderEncoder(tmp_path, (LADDER[0], Rung("odd", 64, 36, 15)))


def test_v7_a_sprite_has_a_tile_for_every_key_frame(tmp_path: Path) -> None:
    with LadderEncoder(tmp_path, (Rung("x", WIDTH, HEIGHT, 10),)) as encoder:
        for seed in range(1, 13):
            encoder.write(picture(seed))
            encoder.repeat(19)
    tiles = AvMediaTools().sprite(tmp_path / "x.mp4", tmp_path / "sprite.jpg")
    assert [(tile.start_s, tile.end_s) for tile in tiles] == [(n * 2.0, n * 2.0 + 2.0) for n in range(12)]
    with Image.open(tmp_path / "sprite.jpg") as sheet:
        assert sheet.size == (1600, 180)
        for seed, tile in enumerate(tiles, start=1):
            shown = np.asarray(sheet.crop((tile.left, tile.top, tile.left + tile.width, tile.top + tile.height)))
            drawn = Image.fromarray(np.ascontiguousarray(picture(seed)[:, :, 2::-1])).resize((160, 90))
            assert np.abs(shown.astype(int) - np.asarray(drawn)).mean() < 12


def test_v7_a_long_video_has_a_hundred_tiles_at_most(tmp_path: Path) -> None:
    with LadderEncoder(tmp_path, (Rung("x", 64, 36, 1),)) as encoder:
        encoder.write(np.zeros((36, 64, 4), np.uint8))
        encoder.repeat(499)
    tiles = AvMediaTools().sprite(tmp_path / "x.mp4", tmp_path / "sprite.jpg")
    assert len(tiles) == 84, "250 key frames, every third"
    assert tiles[-1].end_s == 500.0


def test_v7_stills_are_made_smaller_not_larger(tmp_path: Path) -> None:
    Image.new("RGB", (854, 480), "navy").save(tmp_path / "poster.png")
    assert AvMediaTools().shrink(tmp_path / "poster.png", 320, tmp_path / "small.jpg") == (320, 180)
    assert AvMediaTools().shrink(tmp_path / "poster.png", 1280, tmp_path / "large.jpg") == (854, 480)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(MediaFailed):
        AvMediaTools().shrink(tmp_path / "broken.png", 320, tmp_path / "x.jpg")
