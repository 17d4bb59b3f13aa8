"""What one side of the comparison runs on, and what it costs: a Postgres, a Redis and processes of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.redis import EmbeddedRedis

CHECKOUT = Path(__file__).parents[3]


@dataclass
class Side:
    """One competitor. Each has servers of its own, so that no figure has a part of the other's in it."""

    name: str
    folder: Path
    postgres: EmbeddedPostgres = field(init=False)
    redis: EmbeddedRedis = field(init=False)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Durable, as in production: a commit waits for the disk on both sides.
        self.postgres = EmbeddedPostgres(self.folder / "postgres")
        self.redis = EmbeddedRedis(self.folder / "redis")

    def start_servers(self) -> None:
        """Start Postgres and Redis."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.postgres.start()
        self.redis.start()

    def run(self, name: str, arguments: list[str], port: int, environment: Mapping[str, str]) -> None:
        """Start a Python process and return when it listens; its log goes to a file, as in production to a pipe."""
        self.execute(name, [sys.executable, *arguments], port, environment)

    def execute(self, name: str, command: list[str], port: int, environment: Mapping[str, str]) -> None:
        """The same for a program of any kind."""
        log = (self.folder / f"{name}.log").open("wb")
        self._processes[name] = subprocess.Popen(
            command, cwd=CHECKOUT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 60
        while not listens(port):
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not serve: see {log.name}")
            time.sleep(0.05)

    def pid(self, name: str) -> int:
        """Of a process."""
        return self._processes[name].pid

    def stop(self) -> None:
        """End everything."""
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            process.wait()
        self.redis.stop()
        self.postgres.stop()

    def cpu_s(self) -> dict[str, float]:
        """Seconds of CPU since each part was started; Postgres with its backends, those that have ended too."""
        spent = {name: _tree_s(process.pid) for name, process in self._processes.items()}
        assert self.postgres.pid is not None
        assert self.redis.pid is not None
        return {**spent, "postgres": _tree_s(self.postgres.pid), "redis": _tree_s(self.redis.pid)}


def listens(port: int) -> bool:
    """Whether somebody accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _tree_s(pid: int) -> float:
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
