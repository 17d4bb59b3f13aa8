"""The environment of each process: addresses, databases and secrets, all generated, none with a default."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import files
from deploy.local.errors import StackError
from deploy.local.folder import DataFolder
from deploy.local.ports import LOOPBACK, PortBook

SERVICES = ("auth", "storage", "video_render", "job")
"""The gRPC services, in the order in which they start."""
CLIENTS = (*SERVICES, "worker", "gateway")
"""Everything that asks auth for a service token."""
CALLER = "local"
"""Whose certificate people take to call the services by hand, where these speak mutual TLS."""
GATEWAY_PORT = 8080
"""Preferred; the first free one is taken when it is not, and kept."""


@dataclass(frozen=True)
class Addresses:
    """Where everything listens; all on the loopback address."""

    services: Mapping[str, str]
    """Service name -> host:port of its gRPC server."""
    gateway: str
    """host:port of the HTTP gateway."""

    @property
    def url(self) -> str:
        """The one URL that people need."""
        return f"http://{self.gateway}"

    @classmethod
    def of(cls, folder: DataFolder) -> Addresses:
        """The kept addresses of this folder, chosen now where there is none.

        Call it while the stack is down. ``T2M_GATEWAY_PORT`` is what to prefer to 8080; 0 is any free port.
        """
        book = PortBook(folder.ports)
        preferred = int(os.environ.get("T2M_GATEWAY_PORT") or GATEWAY_PORT) or None
        services = {name: f"{LOOPBACK}:{book.port(name)}" for name in SERVICES}
        return cls(services, f"{LOOPBACK}:{book.port('gateway', preferred=preferred)}")


def kept_secrets(folder: DataFolder) -> dict[str, str]:
    """The folder's secrets; random ones are made for what is missing, in one file with mode 0600."""
    known: dict[str, str] = files.read_json(folder.secrets)
    names = [*(f"service_{name}" for name in CLIENTS), "api_key_pepper", "url_signing_key", "webhook_key"]
    made = {name: secrets.token_urlsafe(32) for name in names if name not in known}
    if made:
        known |= made
        files.write_json(folder.secrets, known)
    return known


def remember_secret(folder: DataFolder, name: str, value: str) -> None:
    """Keep one more secret (the demo's API key) beside the others."""
    files.write_json(folder.secrets, {**files.read_json(folder.secrets), name: value})


def plain_url(url: str) -> str:
    """A Postgres URL in the form that asyncpg itself reads: ``postgresql://``, without a driver in the scheme."""
    return "postgresql://" + url.partition("://")[2]


def with_database(admin_url: str, database: str) -> str:
    """``admin_url`` (as ``plain_url`` makes it) with another database, for SQLAlchemy over asyncpg.

    The query string is kept; ``sslmode``, as every Postgres tool calls it, is ``ssl`` there.
    """
    location, question, query = admin_url.partition("?")
    server = location.partition("://")[2].partition("/")[0]
    query = re.sub(r"(^|&)sslmode=", r"\1ssl=", query)
    return f"postgresql+asyncpg://{server}/{database}{question}{query}"


def wants_tls() -> bool:
    """Whether the services are to speak mutual TLS on the loopback address too: ``T2M_LOCAL_TLS``."""
    return os.environ.get("T2M_LOCAL_TLS", "").lower() in ("1", "true", "yes")


def of_single_processes() -> dict[str, dict[str, str]]:
    """Process -> variables for it alone, from the JSON file that ``T2M_PROCESS_ENV`` names; empty without one.

    For what concerns one process only: its log level, a profiler, the address of a proxy before a neighbour. They
    win over what the stack decides. StackError when the file is missing or not of that form.
    """
    path = os.environ.get("T2M_PROCESS_ENV")
    if not path:
        return {}
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return {name: {key: str(value) for key, value in variables.items()} for name, variables in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise StackError(f"T2M_PROCESS_ENV: {path} is not JSON of processes and variables: {error}") from error


@dataclass(frozen=True)
class Environments:
    """Makes the environment of each process from what the stack decided and what the caller's shell sets."""

    folder: DataFolder
    addresses: Addresses
    secrets: Mapping[str, str]
    database_url: str
    """Of the administrator."""
    redis_url: str

    def of(self, name: str) -> dict[str, str]:
        """The whole environment of the process ``name`` (one of ``CLIENTS``).

        A ``T2M_`` variable of the caller's shell reaches every process, unless the stack itself decides it.
        What ``T2M_PROCESS_ENV`` says has the last word, see ``of_single_processes``.
        """
        own = {
            "auth": self._auth,
            "job": self._job,
            "storage": self._storage,
            "worker": self._worker,
            "gateway": self._gateway,
        }.get(name, dict)()
        bind = self.addresses.gateway if name == "gateway" else self.addresses.services.get(name)
        database = {"worker": "video_render", "gateway": None}.get(name, name)
        decided = {
            **self._common(),
            "T2M_SERVICE_ID": name,
            "T2M_SERVICE_SECRET": self.secrets[f"service_{name}"],
            **({"T2M_BIND": bind} if bind else {}),
            **self._tls(name),
            **({"T2M_DATABASE_URL": with_database(self.database_url, f"t2m_{database}")} if database else {}),
            **own,
        }
        unset = {"T2M_BIND", "T2M_DATABASE_URL", "T2M_SERVICE_SECRETS", "T2M_API_KEY_PEPPER"}
        inherited = {key: value for key, value in os.environ.items() if key not in unset}
        return {**inherited, **decided, **of_single_processes().get(name, {})}

    def tls_folder(self, name: str) -> Path | None:
        """Where the certificate of a process lies; None where the stack speaks plain text."""
        return self.folder.certificates / name if wants_tls() else None

    def _tls(self, name: str) -> dict[str, str]:
        folder = self.tls_folder(name)
        if folder is None:
            return {}
        suffix = "_FILE" if name == "gateway" else ""
        named = {"CERT": "tls.crt", "KEY": "tls.key", "CA": "ca.crt"}
        paths = {f"T2M_TLS_{kind}{suffix}": str(folder / file) for kind, file in named.items()}
        return {**paths, "T2M_TLS_CLIENTS": json.dumps([CALLER])}

    def _common(self) -> dict[str, str]:
        return {
            "T2M_ENVIRONMENT": "dev",
            "T2M_REDIS_URL": self.redis_url,
            "T2M_PUBLIC_URL": self.addresses.url,
            **{f"T2M_{name.upper()}_ADDRESS": address for name, address in self.addresses.services.items()},
            "PYTHONUNBUFFERED": "1",
            # Caches of libraries belong to the data folder too, and no settings of the user's own reach them.
            "XDG_CACHE_HOME": str(self.folder.root / "cache"),
            "XDG_CONFIG_HOME": str(self.folder.root / "config"),
        }

    def _auth(self) -> dict[str, str]:
        return {
            "T2M_SERVICE_SECRETS": json.dumps({name: self.secrets[f"service_{name}"] for name in CLIENTS}),
            "T2M_KEYS_DIR": str(self.folder.root / "keys"),
            "T2M_API_KEY_PEPPER": self.secrets["api_key_pepper"],
            # Mail goes into a folder, unless the caller's shell names a mail server.
            **({} if os.environ.get("T2M_SMTP_HOST") else {"T2M_MAIL_OUTBOX": str(self.folder.root / "outbox")}),
        }

    def _job(self) -> dict[str, str]:
        return {"T2M_WEBHOOK_KEY": self.secrets["webhook_key"]}

    def _storage(self) -> dict[str, str]:
        return {
            "T2M_STORAGE_ROOT": str(self.folder.root / "objects"),
            "T2M_URL_SIGNING_KEY": self.secrets["url_signing_key"],
        }

    def _gateway(self) -> dict[str, str]:
        host, _, port = self.addresses.gateway.rpartition(":")
        # Plain http on one's own machine; browsers would drop cookies whose names promise TLS.
        return {"T2M_GATEWAY_HOST": host, "T2M_GATEWAY_PORT": port, "T2M_SESSION_COOKIES": "insecure"}

    def _worker(self) -> dict[str, str]:
        return {
            "T2M_WORKER_CONCURRENCY": os.environ.get("T2M_WORKER_CONCURRENCY") or str(os.cpu_count() or 1),
            "T2M_SCRATCH_DIR": str(self.folder.root / "scratch"),
            "T2M_READY_FILE": str(self.folder.worker_ready),
        }
