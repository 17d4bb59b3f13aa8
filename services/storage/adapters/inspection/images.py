"""PNG, JPEG and WebP: one picture, whole, of not too many pixels, with nothing behind it."""

from __future__ import annotations

import os
import struct
import warnings
from typing import IO

from PIL import Image

from services.storage.adapters.inspection.findings import refused
from services.storage.domain.errors import InvalidInput
from services.storage.domain.files import JPEG, PNG, WEBP

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FORMATS = {PNG: "PNG", JPEG: "JPEG", WEBP: "WEBP"}
_MAX_SIDE = 16_384
"""More than any renderer or browser takes."""


def type_of(head: bytes) -> str | None:
    """The type that the first bytes promise, None for no image that is accepted."""
    if head.startswith(_PNG_SIGNATURE):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    return None


def check(file: IO[bytes], size: int, content_type: str, max_pixels: int) -> None:
    """Decode the image. Raises InvalidInput."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's own limit, which is above ours
            _decode(file, content_type, max_pixels)
        if content_type == PNG:
            _check_png_end(file, size)
        elif content_type == WEBP:
            _check_webp_end(file, size)
    except InvalidInput:
        raise
    except Image.DecompressionBombError as error:
        raise refused(f"is an image of more than {max_pixels} pixels") from error
    except Exception as error:  # a decoder fails in many ways at bytes that were made for that
        raise refused("is a broken image") from error


def _decode(file: IO[bytes], content_type: str, max_pixels: int) -> None:
    # Only the header is read here, and only by the decoder of the type.
    with Image.open(file, formats=[_FORMATS[content_type]]) as image:
        width, height = image.size
        if width * height > max_pixels or max(width, height) > _MAX_SIDE:
            raise refused(
                f"is an image of {width} × {height} pixels; {max_pixels} and sides of {_MAX_SIDE} are allowed"
            )
        # A JPEG of a telephone may carry previews; viewers show the first picture only.
        if content_type != JPEG and getattr(image, "n_frames", 1) != 1:
            raise refused("must not be an animation")
        image.load()


def _check_png_end(file: IO[bytes], size: int) -> None:
    """The chunks fill the file to its last byte, and the last of them is the end."""
    position = len(_PNG_SIGNATURE)
    while position < size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        position += length + 12
        if kind == b"IEND":
            break
    if position != size:
        raise refused("must have nothing behind the image")


def _check_webp_end(file: IO[bytes], size: int) -> None:
    file.seek(4, os.SEEK_SET)
    (length,) = struct.unpack("<I", file.read(4))
    if length + 8 != size:
        raise refused("must have nothing behind the image")
