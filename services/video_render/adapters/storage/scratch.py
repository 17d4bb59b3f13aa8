"""This machine's scratch folder: one folder per attempt, and segments by checksum so that assembling need not fetch
what was rendered here. All of it may be deleted at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.video_render.adapters.storage.hashing import sha256_of


class ScratchFolders:
    """Folders of attempts under `root`; see the port `Workspace`."""

    def __init__(self, root: Path) -> None:
        self._root = root / "attempts"

    @asynccontextmanager
    async def folder(self, step_id: str, fence: int) -> AsyncIterator[Path]:
        """An empty folder, removed at the end. The fence keeps a zombie's files apart from its successor's."""
        path = self._root / f"{step_id}.{fence}"
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    def purge(self, older_than_s: float) -> None:
        """Remove what killed workers have left behind."""
        limit = time.time() - older_than_s
        for path in self._root.glob("*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < limit:
                    shutil.rmtree(path, ignore_errors=True)


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
