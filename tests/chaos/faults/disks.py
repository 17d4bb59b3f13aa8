"""Disks that are full."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

from tests.chaos.arena import Arena
from tests.chaos.faults.base import FaultKind
from tests.chaos.schedule import Kind

_HOLD_S = (2.0, 6.0)
_BLOCK = 1 << 20
_WRITERS = {"objects": ("storage",), "scratch": ("worker",), "data": ("postgres", "redis", "storage", "job", "worker")}


def kinds(arena: Arena) -> list[FaultKind]:
    """The disks of the arena; no target where it could mount none."""
    return [FaultKind(Kind("full disk", tuple(arena.disks), weight=2, hold_s=_HOLD_S), FullDisk)]


class FullDisk:
    """A ballast file takes every byte of a folder's file system: writes fail with ENOSPC, reads do not."""

    def __init__(self, arena: Arena, target: str) -> None:
        self._arena = arena
        self._target = target
        self._ballast = arena.disks[target] / "ballast"

    async def inject(self) -> str:
        """Fill it."""
        return f"{await asyncio.to_thread(_fill, self._ballast) >> 20} MiB"

    async def recover(self) -> None:
        """Free it."""
        self._ballast.unlink(missing_ok=True)

    async def ready(self) -> bool:
        """Who writes there serves."""
        return all([await self._arena.serves(writer) for writer in _WRITERS[self._target]])


def _fill(ballast: Path) -> int:
    """Write until nothing more fits, to the last byte; how much that was."""
    written, size = 0, _BLOCK
    descriptor = os.open(ballast, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        while size:
            try:
                written += os.write(descriptor, bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    finally:
        os.close(descriptor)
    return written
