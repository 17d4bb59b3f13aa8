"""SHA-256 beside the work that it is about."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

_MOST_BEHIND = 4 * 1024 * 1024


class BackgroundSha256:
    """Hashes in a thread of its own, at most 4 MiB behind: hashing costs as much as writing, and both need not wait.

    For one caller at a time; `close` gives the thread back.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._behind: deque[tuple[Future[None], int]] = deque()
        self._behind_bytes = 0

    def update(self, data: bytes) -> None:
        """Hash these bytes next. Waits when too many are waiting already."""
        while self._behind and (self._behind[0][0].done() or self._behind_bytes + len(data) > _MOST_BEHIND):
            self._catch_up()
        self._behind.append((self._thread.submit(self._hash.update, data), len(data)))
        self._behind_bytes += len(data)

    def hexdigest(self) -> str:
        """Of everything so far, once that is hashed."""
        while self._behind:
            self._catch_up()
        return self._hash.hexdigest()

    def close(self) -> None:
        """End the thread; what is not hashed by now never is."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _catch_up(self) -> None:
        future, size = self._behind.popleft()
        future.result()
        self._behind_bytes -= size
