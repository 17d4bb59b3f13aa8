"""Mutual TLS between services, with real certificates over real sockets (row A5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from deploy.local.certificates import LIFETIME
from services.runtime.client import channel
from services.runtime.identity import Role
from services.runtime.settings import ServiceSettings
from tests.certificates import ENDED, Authority, client_credentials, spiffe_id, write
from tests.contract.every_rpc import METHODS, REACHED, Deployment, deployment
from tests.contract.test_permission_table import INTERNAL, SERVICES, callers, permission

START_RENDER = "/t2m.video_render.v1.RenderService/StartRender"
GET_JWKS = "/t2m.auth.v1.TokenService/GetJwks"
GET_JOB = "/t2m.job.v1.JobService/GetJob"
NO, GONE = "PERMISSION_DENIED", "UNAVAILABLE"
DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The deployment's."""
    return Authority()


@asynccontextmanager
async def served(authority: Authority, folder: Path) -> AsyncIterator[Deployment]:
    """Every rpc behind a server that demands certificates; its own channel is job's."""
    settings = authority.write(folder / "server", "video_render")
    own = client_credentials(authority.issue(spiffe_id("job")), authority)
    async with deployment(settings, own) as deployed:
        yield deployed


async def eventually(met: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(DEADLINE_S):
        while not await met():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.05)


def _strangers(authority: Authority) -> dict[str, tuple[grpc.ChannelCredentials | None, str]]:
    job = spiffe_id("job")

    def shows(*names: str, lifetime: timedelta = LIFETIME) -> grpc.ChannelCredentials:
        return client_credentials(authority.issue(*names, lifetime=lifetime), authority)

    return {
        "plaintext": (None, GONE),
        "no certificate": (client_credentials(None, authority), GONE),
        "of another authority": (client_credentials(Authority().issue(job), authority), GONE),
        "expired": (shows(job, lifetime=ENDED), GONE),
        "names no service": (shows(), NO),
        "another trust domain": (shows("spiffe://elsewhere/job"), NO),
        "another scheme": (shows("https://t2m/job"), NO),
        "a longer path": (shows(job + "/worker"), NO),
        "no path": (shows("spiffe://t2m"), NO),
        "two identities": (shows(job, spiffe_id("worker")), NO),
        "a service that may not call it": (shows(spiffe_id("storage")), NO),
        "the gateway": (shows(spiffe_id("gateway")), NO),
        "another case": (shows(spiffe_id("JOB")), NO),
    }


async def test_a5_who_shows_no_right_certificate_reaches_nothing(authority: Authority, tmp_path: Path) -> None:
    """A genuine service token in hand is not enough: stolen, it is of no use elsewhere."""
    found = {}
    wanted = _strangers(authority)
    async with served(authority, tmp_path) as deployed:
        token = deployed.token("job", Role.SERVICE)
        assert await deployed.outcome(START_RENDER, token) == REACHED
        for name, (credentials, _) in wanted.items():
            opened = (
                grpc.aio.insecure_channel(deployed.address)
                if credentials is None
                else grpc.aio.secure_channel(deployed.address, credentials)
            )
            async with opened as stranger:
                found[name] = await deployed.outcome(START_RENDER, token, stranger)
        assert await deployed.outcome(START_RENDER, token) == REACHED
    assert found == {name: code for name, (_, code) in wanted.items()}


async def test_a5_every_rpc_by_every_services_certificate(authority: Authority, tmp_path: Path) -> None:
    """The table: a method with callers is open to those, any other to the gateway alone; for all rpcs there are."""
    found: dict[str, set[str]] = {path: set() for path in METHODS}
    async with served(authority, tmp_path) as deployed:
        for service in SERVICES:
            credentials = client_credentials(authority.issue(spiffe_id(service)), authority)
            async with grpc.aio.secure_channel(deployed.address, credentials) as peer:
                for path in METHODS:
                    role, subject = (Role.SERVICE, service) if path in INTERNAL else (Role.ADMIN, "root")
                    if await deployed.outcome(path, deployed.token(subject, role), peer) == REACHED:
                        found[path].add(service)
    assert found == {path: set(callers(method)) or {"gateway"} for path, method in METHODS.items()}


async def test_a5_the_token_of_one_service_over_the_connection_of_another(authority: Authority, tmp_path: Path) -> None:
    read_object = "/t2m.storage.v1.ObjectService/GetObject"
    assert callers(METHODS[read_object]) >= {"job", "worker"}
    async with served(authority, tmp_path) as deployed:
        assert await deployed.outcome(read_object, deployed.token("job", Role.SERVICE)) == REACHED
        assert await deployed.outcome(read_object, deployed.token("worker", Role.SERVICE)) == NO


async def test_a5_a_deployment_may_let_in_clients_of_its_own(authority: Authority, tmp_path: Path) -> None:
    """`T2M_TLS_CLIENTS`: they may do what the gateway may, with a user's token, and nothing that is for services."""
    settings = authority.write(tmp_path, "job").model_copy(update={"tls_clients": frozenset({"shop"})})
    shop = client_credentials(authority.issue(spiffe_id("shop")), authority)
    async with deployment(settings, shop) as deployed:
        assert await deployed.outcome(GET_JOB, deployed.token("ada", Role.USER)) == REACHED
        assert await deployed.outcome(GET_JWKS, None) == NO
        assert await deployed.outcome(START_RENDER, deployed.token("job", Role.SERVICE)) == NO


def test_a5_public_methods_of_tls_deployments_name_who_needs_them() -> None:
    """What every service needs of auth is open to every service's certificate."""
    services = {"gateway", "job", "storage", "video_render", "worker"}
    for path in (GET_JWKS, "/t2m.auth.v1.TokenService/IssueServiceToken"):
        assert permission(METHODS[path])[0] == "PUBLIC"
        assert callers(METHODS[path]) == services


async def test_a5_a_server_takes_new_certificates_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    """First the server's own certificate is replaced, then the authority, as an operator would do it."""
    folder = tmp_path / "server"
    async with served(authority, tmp_path) as deployed:
        token = deployed.token("job", Role.SERVICE)
        assert await deployed.outcome(START_RENDER, token) == REACHED
        next_authority = Authority()
        theirs = client_credentials(next_authority.issue(spiffe_id("job")), next_authority)
        async with grpc.aio.secure_channel(deployed.address, theirs) as early:
            assert await deployed.outcome(START_RENDER, token, early) == GONE
        write(folder, next_authority.issue(spiffe_id("video_render")), next_authority)

        async def reached() -> bool:
            async with grpc.aio.secure_channel(deployed.address, theirs) as fresh:
                return await deployed.outcome(START_RENDER, token, fresh) == REACHED

        await eventually(reached)
        old = client_credentials(authority.issue(spiffe_id("job")), authority)
        async with grpc.aio.secure_channel(deployed.address, old) as late:
            assert await deployed.outcome(START_RENDER, token, late) == GONE
        # Whoever was connected is not thrown out.
        assert await deployed.outcome(START_RENDER, token) == REACHED


async def test_a5_a_server_with_unreadable_new_files_serves_with_the_old(authority: Authority, tmp_path: Path) -> None:
    async with served(authority, tmp_path) as deployed:
        (tmp_path / "server" / "tls.key").unlink()
        fresh = client_credentials(authority.issue(spiffe_id("job")), authority)
        async with grpc.aio.secure_channel(deployed.address, fresh) as later:
            assert await deployed.outcome(START_RENDER, deployed.token("job", Role.SERVICE), later) == REACHED


async def test_a5_a_client_takes_new_certificates_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    """Its certificate has ended and was replaced: the same channel and the same stub go on."""
    folder = tmp_path / "client"
    settings: ServiceSettings = write(folder, authority.issue(spiffe_id("job"), lifetime=ENDED), authority)
    async with served(authority, tmp_path) as deployed:
        token = deployed.token("job", Role.SERVICE)
        async with channel(deployed.address, settings, None) as own:
            assert await deployed.outcome(START_RENDER, token, own) == GONE
            authority.write(folder, "job")

            async def reached() -> bool:
                return await deployed.outcome(START_RENDER, token, own) == REACHED

            await eventually(reached)
