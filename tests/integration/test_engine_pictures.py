"""Pictures from files: decoded within bounds, placed, faded, damaged (R4, V9)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from services.video_render.adapters.manim import scene_drawing
from services.video_render.adapters.manim.mobjects import Bitmap, Picture
from services.video_render.adapters.manim.painter import Canvas, Painter, Pixels
from services.video_render.adapters.manim.scene_renderer import ManimSceneRenderer
from services.video_render.adapters.manim.templates.picture import PictureDamaged, decode
from services.video_render.application.engine import Rung, SceneFailed
from services.video_render.domain.storyboard import Image, Scene, SceneAnimation, Storyboard, Transition

TINY = Rung("tiny", 426, 240, 10)


def png(pixels: Pillow.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    pixels.save(stream, kind, **options)
    return stream.getvalue()


def quarters() -> Pillow.Image:
    """Red and green above, blue and white below."""
    picture = Pillow.new("RGB", (200, 100), "white")
    picture.paste("#ff0000", (0, 0, 100, 50))
    picture.paste("#00ff00", (100, 0, 200, 50))
    picture.paste("#0000ff", (0, 50, 100, 100))
    return picture


class _Frames:
    """A sink that keeps every frame."""

    def __init__(self) -> None:
        self.frames = 0
        self.kept: list[Pixels] = []

    def write(self, pixels: Pixels, rows: tuple[int, int] | None = None) -> None:
        self.kept.append(pixels.copy())
        self.frames += 1

    def repeat(self, count: int) -> None:
        self.frames += count


def frames_of(folder: Path, scene: Scene) -> list[Pixels]:
    sink = _Frames()
    scene_drawing.draw(scene, "dark", TINY, folder, sink, lambda done: None)
    return sink.kept


def test_v9_a_picture_stands_upright_in_its_own_colours(tmp_path: Path) -> None:
    cut = SceneAnimation(transition=Transition.CUT)
    frame = frames_of(tmp_path, Scene("s", Image(png(quarters())), duration_s=4.0, animation=cut))[-1]
    colours = [frame[y, x, 2::-1].tolist() for y in (80, 160) for x in (120, 300)]
    expected = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
    assert np.abs(np.array(colours) - expected).max() <= 2


def test_v9_a_picture_fades_in(tmp_path: Path) -> None:
    kept = frames_of(tmp_path, Scene("s", Image(png(quarters())), duration_s=4.0))
    brightness = [float(frame[:, :, :3].mean()) for frame in kept[:8]]
    assert brightness == sorted(brightness)
    assert brightness[0] < 25
    assert brightness[-1] > 50


def test_v9_transparent_parts_show_what_is_behind(tmp_path: Path) -> None:
    picture = Pillow.new("RGBA", (100, 100), (255, 255, 255, 0))
    kept = frames_of(tmp_path, Scene("s", Image(png(picture)), duration_s=4.0))
    assert (kept[-5][120, 213, :3] == kept[-5][3, 3, :3]).all()


def test_v9_a_photo_is_turned_as_its_camera_says() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    assert decode(png(quarters(), "JPEG", exif=exif)).size == (100, 200)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1", "I;16"])
def test_v9_every_kind_of_png_is_decoded(mode: str) -> None:
    assert decode(png(Pillow.new(mode, (7, 5)))).mode == "RGBA"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_v9_a_damaged_picture_is_a_final_failure_with_a_clear_message(tmp_path: Path, kind: str) -> None:
    noise = Pillow.effect_noise((300, 300), 80).convert("RGB")
    data = png(noise, kind)
    scene = Scene("s", Image(data[: len(data) // 3]))
    board = Storyboard("t", (scene,))
    assert board.violations() == (), "its header is whole"
    with pytest.raises(SceneFailed) as caught:
        ManimSceneRenderer().render(board, 0, (TINY,), tmp_path, lambda done, total: None)
    assert caught.value.code == "IMAGE_DAMAGED"
    assert caught.value.retryable is False
    assert "cannot be decoded" in caught.value.message


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0" + b"\0" * 99])
def test_v9_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureDamaged):
        decode(data)


def test_v9_more_pixels_than_allowed_are_not_decoded() -> None:
    with pytest.raises(PictureDamaged, match="more than"):
        decode(png(Pillow.new("1", (5000, 5000))))


def test_v9_a_moved_scaled_and_turned_picture_is_painted_where_it_is() -> None:
    rgba = np.asarray(quarters().convert("RGBA"))
    picture = Picture(Bitmap(rgba[:, :, [2, 1, 0, 3]]), 4.0, 2.0, "#888888")
    picture.scale(0.5).rotate(np.pi).shift((3.0, 1.0, 0.0))
    canvas = Canvas(711, 400, 128 / 9, "#000000")
    first, last = Painter().draw(canvas, [picture])
    unit = 50
    middle_x, middle_y = 711 // 2 + 3 * unit, 200 - unit
    found = [canvas.pixels[middle_y + dy, middle_x + dx, 2::-1].tolist() for dx, dy in ((25, 12), (-25, 12), (25, -12))]
    assert found == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    touched = np.flatnonzero(canvas.pixels[:, :, :3].any(axis=(1, 2)))
    assert first <= touched[0]
    assert touched[-1] < last
