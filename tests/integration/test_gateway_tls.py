"""The gateway's own certificate: shown to every backend, replaced without a restart (row A5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.backends import Backends
from gateway.settings import Settings
from services.runtime.identity import Role
from tests.certificates import ENDED, Authority, spiffe_id, write
from tests.contract.every_rpc import METHODS, Deployment, deployment, valid_request

GET_JOB = "/t2m.job.v1.JobService/GetJob"
WATCH_JOB = "/t2m.job.v1.JobService/WatchJob"
DEADLINE_S = 15.0


@asynccontextmanager
async def behind_tls(authority: Authority, server: Path, files: Path) -> AsyncIterator[tuple[Deployment, Backends]]:
    """Every rpc behind a server that demands certificates, and the backends of a gateway with the certificate files."""
    async with deployment(authority.write(server, "job"), grpc.ssl_channel_credentials()) as served:
        settings = Settings(
            job_address=served.address,
            tls_ca_file=files / "ca.crt",
            tls_cert_file=files / "tls.crt",
            tls_key_file=files / "tls.key",
        )
        made = Backends({"job": settings.job_address}, settings.tls())
        try:
            yield served, made
        finally:
            await made.close()


async def ask(call: Any, served: Deployment, path: str = GET_JOB) -> str:
    """`OK`, or the code that the call ended with."""
    metadata = (("authorization", f"Bearer {served.token('ada', Role.USER)}"),)
    request = valid_request(METHODS[path].input_type).SerializeToString()
    try:
        if METHODS[path].server_streaming:
            async for _ in call(request, metadata=metadata, timeout=10):
                pass
        else:
            await call(request, metadata=metadata, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def until_ok(call: Any, served: Deployment, path: str = GET_JOB) -> None:
    """Wait until a call succeeds."""
    async with asyncio.timeout(DEADLINE_S):
        while await ask(call, served, path) != "OK":  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.05)


async def test_a5_the_gateway_takes_a_new_certificate_without_a_restart(tmp_path: Path) -> None:
    authority = Authority()
    folder = tmp_path / "gateway"
    write(folder, authority.issue(spiffe_id("gateway"), lifetime=ENDED), authority)
    async with behind_tls(authority, tmp_path / "job", folder) as (served, made):
        unary, stream = made.unary(GET_JOB), made.stream(WATCH_JOB)
        assert await ask(unary, served) == "UNAVAILABLE"
        authority.write(folder, "gateway")
        await until_ok(unary, served)
        await until_ok(stream, served, WATCH_JOB)


async def test_a5_unreadable_files_leave_the_gateway_with_what_it_has(tmp_path: Path) -> None:
    authority = Authority()
    folder = tmp_path / "gateway"
    authority.write(folder, "gateway")
    async with behind_tls(authority, tmp_path / "job", folder) as (served, made):
        unary = made.unary(GET_JOB)
        assert await ask(unary, served) == "OK"
        (folder / "tls.key").unlink()
        assert await ask(unary, served) == "OK"


async def test_a5_another_services_certificate_does_not_open_the_users_methods(tmp_path: Path) -> None:
    authority = Authority()
    folder = tmp_path / "worker"
    authority.write(folder, "worker")
    async with behind_tls(authority, tmp_path / "job", folder) as (served, made):
        assert await ask(made.unary(GET_JOB), served) == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    "given",
    [{"tls_cert_file": "a"}, {"tls_ca_file": "a", "tls_key_file": "b"}, {"tls_cert_file": "a", "tls_key_file": "b"}],
)
def test_half_a_configuration_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="set together"):
        Settings(**given)
