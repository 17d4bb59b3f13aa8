"""What t2m consists of on one machine: which processes, in which order, with which environment."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import asyncpg

from deploy.local import certificates, probes
from deploy.local.daemon import Probe, tied
from deploy.local.environment import (
    CALLER,
    CLIENTS,
    SERVICES,
    Addresses,
    Environments,
    kept_secrets,
    plain_url,
    wants_tls,
)
from deploy.local.errors import ProcessFailedError, StackError
from deploy.local.folder import CHECKOUT, DataFolder
from deploy.local.postgres import START_TIMEOUT, EmbeddedPostgres, create_database
from deploy.local.redis import EmbeddedRedis
from deploy.local.specs import ProcessSpec, Stage, nothing

MIGRATION_TIMEOUT = 120.0
"""Seconds for one service's migrations."""


class _Server(Protocol):
    """What the embedded Postgres and Redis have in common."""

    name: str
    stop_signal: int

    @property
    def url(self) -> str: ...
    def prepare(self) -> None: ...
    def command(self) -> list[str]: ...
    async def ready(self) -> bool: ...


@dataclass(frozen=True)
class Plan:
    """The stages to run and what a client of the stack needs to know."""

    stages: list[Stage]
    environments: Environments

    @property
    def url(self) -> str:
        """The gateway's URL."""
        return self.environments.addresses.url


def plan(folder: DataFolder) -> Plan:
    """Decide everything for ``folder``; creates what the servers need. Call it holding the folder's lock.

    ``T2M_DATABASE_URL`` (an administrator's URL of a Postgres) and ``T2M_REDIS_URL`` in the environment
    replace the embedded servers. StackError when an embedded server cannot run here.
    """
    database_url, redis_url = os.environ.get("T2M_DATABASE_URL"), os.environ.get("T2M_REDIS_URL")
    servers: list[ProcessSpec] = []
    if not database_url:
        postgres = EmbeddedPostgres(folder.root / "postgres")
        servers.append(_server_spec(postgres))
        database_url = postgres.url
    database_url = plain_url(database_url)
    if not redis_url:
        redis = EmbeddedRedis(folder.root / "redis")
        servers.append(_server_spec(redis))
        redis_url = redis.url
    environments = Environments(folder, Addresses.of(folder), kept_secrets(folder), database_url, redis_url)
    if wants_tls():
        certificates.write_all(folder.certificates, (*CLIENTS, CALLER))
    return Plan([Stage(servers, then=(_databases(environments),)), *_stages(environments)], environments)


def _server_spec(server: _Server) -> ProcessSpec:
    server.prepare()
    url = server.url

    def prepare_again() -> None:
        server.prepare()
        if server.url != url:
            raise StackError(f"the port of {server.name} was taken by another program while it was down")

    return ProcessSpec(
        server.name,
        server.command,
        server.ready,
        prepare=prepare_again,
        stop_signal=server.stop_signal,
        start_timeout=START_TIMEOUT,
        tied=True,
    )


def _stages(environments: Environments) -> list[Stage]:
    """auth, then what asks auth for tokens, then the gateway."""

    mark = environments.folder.worker_ready

    def python(name: str, module: str, ready: Probe, prepare: Callable[[], None] = nothing) -> ProcessSpec:
        command = [sys.executable, "-m", module]
        return ProcessSpec(name, lambda: command, ready, environments.of(name), prepare)

    def forget_readiness() -> None:
        mark.unlink(missing_ok=True)

    def service(name: str) -> ProcessSpec:
        address, tls = environments.addresses.services[name], environments.tls_folder(CALLER)
        return python(name, f"services.{name}", probes.grpc_health(address, tls))

    gateway_ready = probes.http_ok(f"{environments.addresses.url}/health/ready")
    return [
        Stage([service("auth")]),
        Stage(
            [
                *(service(name) for name in SERVICES if name != "auth"),
                python("worker", "services.video_render.worker", probes.file_exists(mark), forget_readiness),
            ]
        ),
        Stage([python("gateway", "gateway", gateway_ready)]),
    ]


def _databases(environments: Environments) -> Callable[[], Awaitable[None]]:
    """A step that creates the services' databases and migrates them side by side."""

    async def step() -> None:
        try:
            for name in SERVICES:
                await create_database(environments.database_url, f"t2m_{name}")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StackError(f"Cannot create the databases on the Postgres in use: {error}") from error
        await asyncio.gather(*(_migrate(name, environments) for name in SERVICES))

    return step


async def _migrate(name: str, environments: Environments) -> None:
    log = environments.folder.logs / f"{name}.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *tied([sys.executable, "-m", f"services.{name}", "migrate"]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environments.of(name),
            cwd=CHECKOUT,
        )
    try:
        async with asyncio.timeout(MIGRATION_TIMEOUT):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        raise ProcessFailedError(f"{name} migrate", f"took over {MIGRATION_TIMEOUT:.0f} s", log) from None
    except asyncio.CancelledError:
        process.kill()
        raise
    if code != 0:
        raise ProcessFailedError(f"{name} migrate", f"ended with {code}", log)
