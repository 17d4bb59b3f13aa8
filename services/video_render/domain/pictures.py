"""The size of a picture from the header of its file, without decoding it (PNG: ISO/IEC 15948; JPEG: ITU-T T.81)."""

from __future__ import annotations

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2}
"""Baseline, extended and progressive Huffman; what else there is, decoders as a rule refuse."""
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def size_of(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels; None for anything but a PNG or JPEG file."""
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        return _jpeg(data)
    return None


def _png(data: bytes) -> tuple[int, int] | None:
    if len(data) < 33 or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Walks the segments up to the frame header."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if marker in _WITHOUT_LENGTH:
            at += 2
            continue
        if marker in _FRAME_HEADERS and at + 9 <= len(data):
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        if marker == 0xDA:  # pixels, and no frame header before them
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None
