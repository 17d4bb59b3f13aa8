"""What is accepted and what is refused, by the bytes (S5)."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator

import pytest

from services.storage.adapters.inspection import FileInspector, Limits
from services.storage.domain.errors import InvalidInput, UnsupportedContent
from services.storage.domain.files import DOCX, JPEG, PDF, PNG, TEXT, WEBP
from tests.fakes import sample_files as samples

IMAGE = samples.image()


@pytest.fixture(scope="module")
def inspector() -> Iterator[FileInspector]:
    found = FileInspector(Limits(pixels=100_000, archive_bytes=4_000_000))
    yield found
    found.close()


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def png_of(width: int, height: int, rows: bytes = b"\0") -> bytes:
    """Says that it is so large, whatever it has."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def overlapping() -> bytes:
    """Two members whose directory entries lead to the same bytes."""
    data = bytearray(samples.docx({"word/a.txt": b"a" * 100, "word/b.txt": b"a" * 100}))
    entries = [start for start in range(len(data)) if data.startswith(b"PK\x01\x02", start)]
    first, second = [at for at in entries if b"word/" in data[at + 46 : at + 60]][-2:]
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    data[second + 46 : second + 56] = b"word/b.txt"
    return bytes(data)


def encrypted() -> bytes:
    """With the flag of an encrypted member."""
    data = bytearray(samples.docx())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def twice() -> bytes:
    """Two members of one name."""
    return samples.docx({"word/a.txt": "1", "word/A.TXT": "2"})


ACCEPTED = {
    "png": (IMAGE, PNG),
    "png in grey with alpha": (samples.image(mode="LA"), PNG),
    "jpeg": (samples.image("JPEG"), JPEG),
    "jpeg with something of the camera's behind": (samples.image("JPEG") + bytes(64), JPEG),
    "webp": (samples.image("WEBP"), WEBP),
    "pdf": (samples.pdf(), PDF),
    "text": (samples.text(300_000), TEXT),
    "text with a mark": (b"\xef\xbb\xbf# Titel\n", TEXT),
    "markdown with markup inside": (b"# About <svg> and <script>\n\n<b>x</b>\n", TEXT),
    "text about pdf": (b"%PDF is how such files begin\n", TEXT),
    "docx": (samples.docx({"word/media/image1.png": IMAGE, "word/styles.xml": "<w:styles/>"}), DOCX),
}
UNSUPPORTED = {
    "gif": b"GIF89a" + bytes(40),
    "bmp": b"BM" + bytes(40),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "svg behind a comment": b"\xef\xbb\xbf \n<!-- <hello> --> \n<SVG onload='x'/>",
    "xml": b"<?xml version='1.0'?><svg/>",
    "html": b"\n\n<!doctype html><script>alert(1)</script>",
    "program": b"\x7fELF" + bytes(100),
    "windows program": b"MZ" + bytes(100),
    "latin-1": "Größe".encode("latin-1"),
    "utf-16": "text".encode("utf-16"),
    "text with a zero": b"text\0text",
    "text that ends inside a character": "Größe 映".encode()[:-1],
    "gzip": b"\x1f\x8b\x08" + bytes(40),
    "video": b"\0\0\0\x18ftypmp42" + bytes(40),
    "archive": samples.archive({"a.txt": "a"}),
    "spreadsheet": samples.archive({"[Content_Types].xml": "x", "xl/workbook.xml": "x"}),
    "document with macros": samples.docx(types=samples.DOCM_TYPES),
    "older word document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40),
}
REFUSED = {
    "truncated png": (IMAGE[:-30], "broken image"),
    "png with a wrong byte": (IMAGE[:60] + bytes([IMAGE[60] ^ 1]) + IMAGE[61:], "broken image"),
    "png of too few rows": (png_of(100, 100), "broken image"),
    "png bomb": (png_of(30_000, 30_000), "pixels"),
    "png far beyond": (png_of(2**31 - 1, 2**31 - 1), "pixels"),
    "png as a thin line": (png_of(20_000, 1), "pixels"),
    "png of no size": (png_of(0, 10), "broken image"),
    "large but real": (samples.image(size=(400, 300)), "pixels"),
    "truncated jpeg": (samples.image("JPEG")[:-40], "broken image"),
    "truncated webp": (samples.image("WEBP")[:-10], "broken image"),
    "webp with something behind": (samples.image("WEBP") + b"x", "behind"),
    "png with something behind": (IMAGE + b"<script>", "behind"),
    "animated png": (samples.animation("PNG"), "animation"),
    "animated webp": (samples.animation("WEBP"), "animation"),
    "png and archive": (IMAGE + samples.archive({"a": "b"}), "archive as well"),
    "jpeg and archive": (samples.image("JPEG") + samples.archive({"a": "b"}), "archive as well"),
    "pdf and archive": (samples.pdf() + samples.archive({"a": "b"}), "archive as well"),
    "jpeg and pdf": (b"\xff\xd8\xff\xfe\x00\x20" + samples.pdf(), "PDF as well"),
    "pdf with a script": (samples.pdf(b"/OpenAction<</S/JavaScript/JS(app.alert(1))>>"), "scripts"),
    "pdf with a hidden script": (samples.pdf(b"/OpenAction<</S/J#61vaScri#70t/JS(1)>>"), "scripts"),
    "pdf that starts programs": (samples.pdf(b"/OpenAction<</S/Launch/F(cmd)>>"), "programs"),
    "pdf with a file in it": (samples.pdf(b"/EmbeddedFile"), "files"),
    "encrypted pdf": (samples.pdf(b"/Encrypt 5 0 R"), "encrypted"),
    "truncated pdf": (samples.pdf()[:-8], "cut off"),
    "pdf of no version": (b"%PDF-x\n%%EOF", "version"),
    "text with escapes": (b"\x1b[2Jgone", "U+001B"),
    "text with a bell": (b"ring\x07", "U+0007"),
    "truncated docx": (samples.docx()[:-10], "broken archive"),
    "zip bomb by ratio": (samples.docx({"word/a.xml": bytes(3_000_000)}), "far more"),
    "zip bomb by total": (samples.docx({f"word/{n}.bin": bytes(900_000) for n in range(5)}), "more than 4000000 bytes"),
    "zip bomb by members": (samples.docx({f"word/{n}": "" for n in range(2001)}), "members"),
    "zip with overlapping members": (overlapping(), "overlap"),
    "zip that is encrypted": (encrypted(), "encrypted"),
    "zip with two of one name": (twice(), "two members"),
    "zip that leads outside": (samples.docx({"../../etc/passwd": "x"}), "leads elsewhere"),
    "zip that leads to the root": (samples.docx({"/etc/passwd": "x"}), "leads elsewhere"),
    "zip that leads outside on windows": (samples.docx({"..\\x": "x"}), "leads elsewhere"),
    "zip of a drive": (samples.docx({"C:x": "x"}), "leads elsewhere"),
    "zip with a zip in it": (samples.docx({"word/x.bin": samples.archive({"a": "b"})}), "not accepted"),
    "zip with a program in it": (samples.docx({"word/x.bin": b"MZ" + bytes(20)}), "not accepted"),
    "docx with macros": (samples.docx({"word/vbaProject.bin": "x"}), "macros"),
    "docx with entities": (samples.docx({"word/a.xml": "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"}), "entities"),
    "docx with entities across blocks": (
        samples.docx({"word/a.xml": b"<!--" + bytes(65529) + b"<!DOCTYPE"}),
        "entities",
    ),
    "docx with wide xml": (samples.docx({"word/a.xml": "<x/>".encode("utf-16")}), "not accepted"),
    "docx packed otherwise": (
        samples.archive({"[Content_Types].xml": samples.DOCX_TYPES, "word/document.xml": "x"}, zipfile.ZIP_BZIP2),
        "unusual",
    ),
    "docx behind something": (b"PK\x03\x04" + bytes(20) + samples.docx(), "overlap"),
}


@pytest.mark.parametrize("case", ACCEPTED)
async def test_S5_accepted(inspector: FileInspector, case: str) -> None:
    """S5: with the type that it is."""
    data, expected = ACCEPTED[case]
    assert await inspector.inspect(chunks(data)) == expected


@pytest.mark.parametrize("case", UNSUPPORTED)
async def test_S5_of_no_type_that_is_accepted(inspector: FileInspector, case: str) -> None:
    """S5: SVG among them."""
    with pytest.raises(UnsupportedContent):
        await inspector.inspect(chunks(UNSUPPORTED[case]))


@pytest.mark.parametrize("case", REFUSED)
async def test_S5_refused(inspector: FileInspector, case: str) -> None:
    """S5: bombs, tricks and broken files, with the reason."""
    data, why = REFUSED[case]
    with pytest.raises(InvalidInput) as caught:
        await inspector.inspect(chunks(data))
    [(field, text)] = caught.value.field_violations
    assert (field, why in text) == ("content", True), text
