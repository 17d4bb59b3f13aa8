"""A picture from a file."""

from __future__ import annotations

import io
import math

import numpy as np
from manim import FadeIn, RoundedRectangle, VGroup, config
from manim.utils.rate_functions import ease_out_cubic
from PIL import Image, ImageOps

from services.video_render.adapters.manim import markup
from services.video_render.adapters.manim.mobjects import Bitmap, Picture
from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.adapters.manim.themes import Frame, Type
from services.video_render.adapters.manim.typesetter import SceneUndrawable
from services.video_render.domain import storyboard

MAX_PIXELS = 4096 * 4096
_TINY = 48
"""A picture with sides of at most so many pixels is shown with hard edges: blurred, nobody would recognise it."""
_BORDER = 0.04


class PictureDamaged(SceneUndrawable):
    """The file cannot be decoded; it never can."""

    code = "IMAGE_DAMAGED"


class ImageScene(StoryScene[storyboard.Image]):
    """The picture as large as it fits, with a hairline around it and a caption below."""

    kind = storyboard.Image

    def compose(self) -> None:
        """Caption at the bottom, the picture in the middle of what is left."""
        content, area = self.content, self.area
        decoded = decode(content.data)
        bottom = area.bottom
        self.caption = None
        if content.caption:
            source = f"#set align(center)\n{markup.inline(content.caption, self.accent)}"
            caption = self.fit(source, area.width * 0.9, 1.1, Type.CAPTION, balance=True, color=self.theme.muted)
            self.caption = caption.typeset
            bottom += caption.typeset.logical_height + 0.3
        factor = min((area.width - 0.1) / decoded.width, (area.top - bottom - 0.1) / decoded.height)
        width, height = max(decoded.width * factor, 0.02), max(decoded.height * factor, 0.02)
        self.picture = Picture(_bitmap(decoded, width, height), width, height, self.theme.muted)
        self.picture.move_to((area.center[0], (area.top + bottom) / 2, 0))
        border = RoundedRectangle(width=width + _BORDER, height=height + _BORDER, corner_radius=0.02)
        border.set_stroke(self.theme.rule, width=2).move_to(self.picture)
        self.framed = VGroup(self.picture, border)
        self.block("the picture", self.framed)
        if self.caption is not None:
            # Close to the picture, also where a wide one leaves room below.
            y = self.picture.get_bottom()[1] - 0.3
            self.caption.place(-self.caption.logical_width / 2, float(y))
            self.block("the caption", self.caption, caption.em)

    def perform(self) -> None:
        """The picture, then the caption."""
        self.play(FadeIn(self.framed, scale=0.97), run_time=1.0, rate_func=ease_out_cubic)
        if self.caption is not None:
            self.appear(self.caption)


def decode(data: bytes) -> Image.Image:
    """A PNG or JPEG file as RGBA, turned as its camera says; raises `PictureDamaged`."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            small_enough = opened.width * opened.height <= MAX_PIXELS
            if small_enough:
                opened.load()
                return ImageOps.exif_transpose(opened).convert("RGBA")
    except MemoryError:
        raise
    except Exception as error:  # decoders meet damage in many ways: OSError, SyntaxError, struct.error …
        raise PictureDamaged(f"the picture cannot be decoded: {error}") from error
    raise PictureDamaged(f"the picture has more than {MAX_PIXELS} pixels")


def _bitmap(decoded: Image.Image, width: float, height: float) -> Bitmap:
    """The picture at the size of the frame's own pixels, so that drawing it neither blurs nor costs."""
    unit = config.pixel_width / Frame.WIDTH
    size = max(math.ceil(width * unit), 1), max(math.ceil(height * unit), 1)
    crisp = max(decoded.size) <= _TINY
    premultiplied = decoded.convert("RGBa")  # edges of transparent parts would get a fringe otherwise
    resized = premultiplied.resize(size, Image.Resampling.NEAREST if crisp else Image.Resampling.LANCZOS)
    rgba = np.frombuffer(resized.tobytes(), dtype=np.uint8).reshape(size[1], size[0], 4)
    return Bitmap(rgba[:, :, [2, 1, 0, 3]])
