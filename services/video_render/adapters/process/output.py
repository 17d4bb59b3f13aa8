"""What a render child printed, as far as it helps whoever looks for a fault."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NAME = "output.log"
_TAIL_BYTES = 64 * 1024
_LINES = 20
_LONGEST = 2000
_FOLDERS = re.compile(r"(?<![\w.:/])(?:/[\w.@+~-]+)+/(?=[\w.@+~-])")
"""The folders of an absolute path; they say more of the machine than of the fault."""


def capture(folder: Path) -> None:
    """Send everything that this process prints from now on, native code included, to a file in the folder."""
    descriptor = os.open(folder / _NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


def tail(folder: Path) -> tuple[str, ...]:
    """The last lines that were captured in the folder, oldest first, without folders of this machine."""
    try:
        with (folder / _NAME).open("rb") as output:
            output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = output.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(scrub(line) for line in text.splitlines() if line.strip())[-_LINES:]


def scrub(line: str) -> str:
    """The line without control characters and folders, cut to a bearable length."""
    visible = "".join(char if char.isprintable() else " " for char in line.rstrip())
    return _FOLDERS.sub("", visible)[:_LONGEST]
