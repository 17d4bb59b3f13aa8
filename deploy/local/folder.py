"""The one data folder: where each thing lives, and who holds it."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from deploy.local import files

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class DataFolder:
    """Paths below the data folder; nothing is created by asking for one."""

    root: Path

    @classmethod
    def from_environment(cls) -> DataFolder:
        """``T2M_DATA_DIR``, else ``.t2m`` in the checkout."""
        return cls(Path(os.environ.get("T2M_DATA_DIR") or CHECKOUT / ".t2m").expanduser().absolute())

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def videos(self) -> Path:
        """What the demo downloads."""
        return self.root / "videos"

    @property
    def secrets(self) -> Path:
        """Generated secrets, mode 0600."""
        return self.root / "secrets.json"

    @property
    def ports(self) -> Path:
        """The ports chosen for this folder."""
        return self.root / "ports.json"

    @property
    def state(self) -> Path:
        """What runs; written by the supervisor alone."""
        return self.root / "stack.json"

    @property
    def requests(self) -> Path:
        """Names of processes to restart; read by the supervisor on SIGHUP."""
        return self.root / "restart.json"

    @property
    def certificates(self) -> Path:
        """A folder per process, where the stack speaks mutual TLS."""
        return self.root / "tls"

    @property
    def worker_ready(self) -> Path:
        """Touched by the worker once it takes tasks; removed before it starts."""
        return self.root / "worker.ready"

    def create(self) -> None:
        """Create it, private.

        As root it stays enterable, for the account that Postgres may have to run as.
        """
        if not self.root.is_dir():
            self.root.mkdir(parents=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def try_lock(self) -> IO[str] | None:
        """The held lock (keep it open), or None when another process holds it.

        The kernel frees it at death.
        """
        lock = (self.root / "stack.lock").open("a", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def running(self) -> dict[str, Any] | None:
        """The state of the stack whose supervisor is alive, else None."""
        state = files.read_json(self.state)
        return state if state and is_alive(state.get("pid"), state.get("process_started")) else None


def process_started(pid: int) -> float:
    """When ``pid`` started, Unix seconds: with the pid it names one process for good."""
    return float(psutil.Process(pid).create_time())


def is_alive(pid: int | None, started: float | None) -> bool:
    """Whether the very process that had ``pid`` since ``started`` still runs."""
    if pid is None or started is None:
        return False
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 2.0
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pid: int, started: float, timeout: float) -> bool:
    """Wait for a process that is not our child; False when it still runs after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while is_alive(pid, started):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
