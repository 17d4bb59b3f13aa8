"""Bytes of the kinds of files that users upload, good ones and bad ones; made here, small and always the same."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from PIL import Image

_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.{kind}+xml"/></Types>'
)
DOCX_TYPES, DOCM_TYPES = _TYPES.format(kind="document.main"), _TYPES.format(kind="document.macroEnabled.main")
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The text that every scanner takes for malware."""


def image(kind: str = "PNG", size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    """A gradient, so that it has a few bytes."""
    picture = Image.linear_gradient("L").resize(size).convert(mode)
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def animation(kind: str) -> bytes:
    """Two frames."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


def pdf(body: bytes = b"") -> bytes:
    """The outer shape of a PDF, which is all that is looked at."""
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog" + body + b">>\nendobj\nstartxref\n0\n%%EOF\n"


def archive(members: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as target:
        for name, data in members.items():
            target.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def docx(members: Mapping[str, bytes | str] | None = None, types: str = DOCX_TYPES) -> bytes:
    """A document, with further members."""
    return archive({"[Content_Types].xml": types, "word/document.xml": "<w:document/>", **(members or {})})


def text(length: int) -> bytes:
    """Lines that differ, in UTF-8."""
    line, lines = 0, bytearray()
    while len(lines) < length:
        lines += f"Zeile {line}: Größe und 映画\n".encode()
        line += 1
    # Cut between characters.
    return bytes(lines[:length]).decode("utf-8", "ignore").encode().ljust(length, b".")
