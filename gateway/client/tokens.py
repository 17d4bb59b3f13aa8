"""Where the tokens of a session are kept: in memory, or in a file that several processes may share."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import threading
from datetime import datetime
from pathlib import Path

from gateway.client.models.account import SessionTokens


class MemoryTokens:
    """For one process."""

    def __init__(self, tokens: SessionTokens | None = None) -> None:
        self._tokens = tokens
        self._lock = threading.Lock()

    def load(self) -> SessionTokens | None:
        """The newest pair."""
        return self._tokens

    def save(self, tokens: SessionTokens | None) -> None:
        """Keep this one."""
        self._tokens = tokens

    def try_lock(self) -> bool:
        """Become the one who renews."""
        return self._lock.acquire(blocking=False)

    def unlock(self) -> None:
        """Let others."""
        self._lock.release()


class FileTokens:
    """A JSON file that only its owner can read. The lock is a file beside it, which a dead process lets go of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._held: int | None = None
        self._mutex = threading.Lock()

    def load(self) -> SessionTokens | None:
        """The newest pair; None without a readable one."""
        try:
            tokens = json.loads(self._path.read_text(encoding="utf-8"))
            datetime.fromisoformat(tokens["expires_at"])
            found: SessionTokens | None = tokens if tokens["access_token"] and tokens["refresh_token"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    def save(self, tokens: SessionTokens | None) -> None:
        """Replace the file in one step; None removes it."""
        if tokens is None:
            self._path.unlink(missing_ok=True)
        else:
            write_private(self._path, json.dumps(tokens))

    def try_lock(self) -> bool:
        """Become the one of all processes, and of all threads here, who renews."""
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            self._lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                os.close(held)
                raise
        except BlockingIOError:
            self._mutex.release()
            return False
        except BaseException:
            self._mutex.release()
            raise
        self._held = held
        return True

    def unlock(self) -> None:
        """Let others."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
        self._mutex.release()


def write_private(path: Path, text: str) -> None:
    """Write a file that is whole or not there, and that nobody else can read at any time (mode 0600)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # Made with mode 0600.
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
