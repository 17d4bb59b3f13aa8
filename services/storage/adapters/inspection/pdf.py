"""PDF: its outer shape, and no scripts that can be seen. Nothing in it is parsed or run."""

from __future__ import annotations

import mmap
import re
from typing import IO

from services.storage.adapters.inspection.findings import refused

_VERSION = re.compile(rb"%PDF-[12]\.[0-9]\s")
_TAIL = 1024
_NAME = re.compile(rb"/(?:[A-Za-z]|#[0-9A-Fa-f]{2}){6,40}")
_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_REFUSED = {
    b"/JavaScript": "must not have scripts",
    b"/Launch": "must not start programs",
    b"/EmbeddedFile": "must not have other files in it",
    b"/EmbeddedFiles": "must not have other files in it",
    b"/Encrypt": "must not be encrypted",
    b"/RichMedia": "must not have media that play",
}


def check(file: IO[bytes], size: int) -> None:
    """Raises InvalidInput.

    Names are looked for in the file as it is: what a PDF hides in a compressed stream of objects is not seen, which is
    why whoever reads such files later must not run anything either.
    """
    descriptor = file.fileno()
    file.flush()
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        if not _VERSION.match(data):
            raise refused("has no version of PDF that is known")
        if data.rfind(b"%%EOF", max(size - _TAIL, 0)) < 0:
            raise refused("is a PDF that has been cut off")
        for found in _NAME.finditer(data):
            name = found.group()
            if b"#" in name:
                name = _ESCAPE.sub(lambda escape: bytes.fromhex(escape.group(1).decode("ascii")), name)
            if name in _REFUSED:
                raise refused(f"is a PDF that {_REFUSED[name]}")
