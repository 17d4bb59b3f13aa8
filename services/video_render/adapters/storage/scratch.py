"""This machine's scratch folder: one folder per attempt, and segments by checksum so that assembling need not fetch
what was rendered here. All of it may be deleted at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.video_render.adapters.storage.hashing import sha256_of

_FRESH = "new-"
_MAKING_S = 60.0
"""Between the making of a folder and its lock lie microseconds; whoever took this long is gone."""


class ScratchFolders:
    """Folders of attempts under `root`; see the port `Workspace`.

    Whoever uses a folder holds a lock on it, which the kernel takes back when the process ends, in whatever way: a
    folder without one was left behind. Nobody ever waits for a lock, as its holder may be frozen.
    """

    def __init__(self, root: Path) -> None:
        self._root = root / "attempts"

    @asynccontextmanager
    async def folder(self, step_id: str, fence: int) -> AsyncIterator[Path]:
        """An empty folder, removed at the end. The fence keeps a zombie's files apart from its successor's."""
        await asyncio.to_thread(self.purge)
        path = self._root / f"{step_id}.{fence}"
        held = self._made(path)
        try:
            yield path
        finally:
            try:
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
            finally:
                os.close(held)

    def purge(self) -> None:
        """Remove what killed processes have left behind."""
        for path in self._root.glob("*"):
            with contextlib.suppress(OSError):
                held = _locked(path)
                try:
                    if not _being_made(path):
                        shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(held)

    def _made(self, path: Path) -> int:
        """Make the folder, which is locked before it has its name; the descriptor that holds the lock."""
        shutil.rmtree(path, ignore_errors=True)
        self._root.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=self._root))
        held = _locked(fresh)
        fresh.rename(path)
        return held


def _locked(path: Path) -> int:
    """Lock a folder; the descriptor that holds the lock. Raises OSError when another holds it, or it is gone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _being_made(path: Path) -> bool:
    """Whether somebody may be about to lock the folder."""
    return path.name.startswith(_FRESH) and time.time() - path.stat().st_mtime < _MAKING_S


class LocalSegments:
    """Segments under `root`, at most `max_bytes` of them; the longest unused go first. See the port `SegmentCache`."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root / "segments"
        self._max_bytes = max_bytes

    async def keep(self, source: Path, sha256: str) -> None:
        """Keep a copy of a segment; a full disk costs only the copy."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._keep, source, sha256)

    async def fetch(self, sha256: str, target: Path) -> bool:
        """Put the segment at `target`; False when it is not here, or not whole."""
        return await asyncio.to_thread(self._fetch, sha256, target)

    def _keep(self, source: Path, sha256: str) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        part = self._root / f"{sha256}.{os.getpid()}.part"
        shutil.copyfile(source, part)
        part.replace(self._root / sha256)
        self._prune()

    def _fetch(self, sha256: str, target: Path) -> bool:
        kept = self._root / sha256
        try:
            shutil.copyfile(kept, target)
            os.utime(kept)
        except OSError:
            return False
        if sha256_of(target) == sha256:
            return True
        kept.unlink(missing_ok=True)
        return False

    def _prune(self) -> None:
        found = []
        for path in self._root.iterdir():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        kept_bytes = 0
        for _, size, path in sorted(found, reverse=True):
            kept_bytes += size
            if kept_bytes > self._max_bytes:
                path.unlink(missing_ok=True)
