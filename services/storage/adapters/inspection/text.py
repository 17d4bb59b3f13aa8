"""Plain text in UTF-8, Markdown among it."""

from __future__ import annotations

import codecs
import re
from typing import IO

from services.storage.adapters.inspection.findings import refused
from services.storage.domain.errors import UnsupportedContent

_BLOCK = 256 * 1024
_CONTROLS = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]")
_MARKUP = re.compile(r"<(?:\?xml|!doctype|svg|html|script|head|body)\b", re.IGNORECASE)
_COMMENTS = re.compile(r"\A(?:\s|<!--.*?-->)*", re.DOTALL)


def check(file: IO[bytes]) -> None:
    """Read all of it. Raises UnsupportedContent for other bytes, InvalidInput for a text with control characters."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    first = True
    try:
        while block := file.read(_BLOCK):
            _check_block(decoder.decode(block), first=first)
            first = False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise UnsupportedContent("a file that is none of these and no text in UTF-8") from error


def _check_block(block: str, *, first: bool) -> None:
    if first:
        start = _COMMENTS.sub("", block.removeprefix("\ufeff"), count=1)
        if _MARKUP.match(start):
            raise UnsupportedContent("SVG, HTML or XML, which can carry scripts,")
    if "\0" in block:
        raise UnsupportedContent("a file that is none of these and no text in UTF-8")
    if (found := _CONTROLS.search(block)) is not None:
        raise refused(f"has the control character U+{ord(found.group()):04X}, which no text has")
