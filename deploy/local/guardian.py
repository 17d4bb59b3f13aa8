"""The process that outlives a killed supervisor just long enough to end what it had started.

``python -I -S guardian.py`` reads lines from its standard input: ``+ <process group>``, ``- <process
group>``, and ``bye`` at a clean end. When the input ends without ``bye`` the supervisor is dead: the groups
are asked to end, newest first, and killed after a while. It inherits the stack's lock, so no second stack
starts on the data folder before the first is gone. Standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE = 8.0
"""Seconds between asking and killing."""

_POLL = 0.05


def groups_left_by(lines: list[str]) -> list[int]:
    """The process groups that still need an end after these lines, newest first; empty after ``bye``."""
    groups: list[int] = []
    for line in lines:
        word, _, number = line.strip().partition(" ")
        if word == "bye":
            return []
        if word == "+":
            groups.append(int(number))
        elif word == "-" and int(number) in groups:
            groups.remove(int(number))
    return groups[::-1]


def send(group: int, number: int) -> bool:
    """Signal a process group (0 only asks); False when it is gone."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end(groups: list[int]) -> None:
    """Ask all groups to end, wait, kill those that are left."""
    for group in groups:
        send(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while any(send(group, 0) for group in groups) and time.monotonic() < deadline:
        time.sleep(_POLL)
    for group in groups:
        send(group, signal.SIGKILL)


def main() -> None:
    """Read until the input ends, then act."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end(groups_left_by(list(sys.stdin)))


if __name__ == "__main__":
    main()
