"""Loopback ports that are chosen once and kept, so that addresses survive a restart."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from deploy.local import files
from deploy.local.errors import StackError

LOOPBACK = "127.0.0.1"

_RANGE = range(20_000, 32_000)
"""Below the ephemeral ports of Linux and macOS.

An outgoing connection can never sit on a port that we have chosen.
"""


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


class PortBook:
    """The ports of named processes, in a JSON file. One writer at a time (the holder of the stack's lock)."""

    def __init__(self, path: Path) -> None:
        """``path`` is created on the first choice."""
        self._path = path

    def port(self, name: str, *, preferred: int | None = None) -> int:
        """The port kept for ``name`` if it is free, else ``preferred`` if free, else any free one; kept.

        Call it while the process ``name`` is down. StackError when no port is free.
        """
        book = files.read_json(self._path)
        taken = {port for other, port in book.items() if other != name}
        candidates = [book.get(name), preferred, *random.sample(_RANGE, 200)]
        for candidate in candidates:
            if candidate is not None and candidate not in taken and is_free(candidate):
                if book.get(name) != candidate:
                    files.write_json(self._path, {**book, name: candidate})
                return int(candidate)
        raise StackError(f"no free loopback port for {name}")
