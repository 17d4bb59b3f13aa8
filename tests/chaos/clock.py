"""Clocks of single processes, set while they run (libfaketime, preloaded)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

_REREAD_S = 1
"""A process looks at its file this often: a skew arrives within so many seconds."""


def library() -> Path | None:
    """The shared library, where its package is installed (Linux)."""
    spec = importlib.util.find_spec("libfaketime")  # found, not imported: it patches the running process
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for found in sorted(Path(folder).glob("vendor/**/libfaketime.so.1")):
            return found
    return None


class Clock:
    """The wall clock of one process and its children. The monotonic clock is left alone, as by a real skew."""

    def __init__(self, file: Path) -> None:
        """`file` holds the skew and is read by the process."""
        self._file = file
        self.skew(0)

    @property
    def works(self) -> bool:
        """Whether there is anything that could skew it here."""
        return library() is not None

    def skew(self, seconds: float) -> None:
        """By how much the process is ahead (or behind) from now on; a jump, as by a clock that is set."""
        self._file.write_text(f"{seconds:+g}\n", encoding="ascii")

    def environment(self) -> Mapping[str, str]:
        """What the process must be started with; empty where it does not work."""
        found = library()
        if found is None:
            return {}
        return {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(_REREAD_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }
