"""What can go wrong while the embedded stack is brought up.

Every message is written for the person at the terminal.
"""

from __future__ import annotations

from pathlib import Path


class StackError(Exception):
    """The stack, or a part of it, cannot run here; the message says why and what to do."""


class ProcessFailedError(StackError):
    """A process ended or did not become ready; carries the tail of its log."""

    def __init__(self, name: str, reason: str, log: Path, *, lines: int = 25) -> None:
        """``reason`` completes the sentence "name …"; ``log`` is read for its last ``lines`` lines."""
        super().__init__(f"{name} {reason}\n  log: {log}\n{indent(tail(log, lines))}")
        self.name = name
        self.log = log


def tail(path: Path, lines: int) -> str:
    """The last ``lines`` lines of a text file, or a note that there is none; reads at most 64 KiB."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 65536))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"


def indent(text: str) -> str:
    """Every line of ``text`` behind a bar, so that a log is told apart from the message around it."""
    return "\n".join(f"  | {line}" for line in text.splitlines())
