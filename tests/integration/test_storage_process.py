"""A real storage process: kill -9 in the middle of an upload, the sweep, SIGTERM, memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from deploy.local.ports import LOOPBACK
from services.storage.bootstrap import build
from services.storage.settings import StorageSettings
from t2m.auth.v1 import token_service_pb2
from t2m.storage.v1 import object_service_pb2 as pb
from tests import stack
from tests.fakes.storage import ManualClock
from tests.integration.storage_harness import (
    KEY,
    MIB,
    Running,
    eventually,
    failure,
    header,
    make_settings,
    metadata,
    pattern,
    sha256,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def auth_address() -> AsyncIterator[str]:
    """Where the public key of the tests' tokens is published, as auth does."""

    async def get_jwks(*_: object) -> token_service_pb2.GetJwksResponse:
        document = {"keys": [KEY.as_dict(private=False)]}
        return token_service_pb2.GetJwksResponse(jwks_json=json.dumps(document))

    handler = grpc.unary_unary_rpc_method_handler(
        get_jwks,
        request_deserializer=token_service_pb2.GetJwksRequest.FromString,
        response_serializer=token_service_pb2.GetJwksResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("t2m.auth.v1.TokenService", {"GetJwks": handler})]
    )
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    yield f"{LOOPBACK}:{port}"
    await server.stop(0)


def _environment(settings: StorageSettings, auth_address: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("T2M_")},
        "T2M_ENVIRONMENT": "test",
        "T2M_BIND": f"{LOOPBACK}:0",
        "T2M_DATABASE_URL": settings.database_url,
        "T2M_AUTH_ADDRESS": auth_address,
        "T2M_STORAGE_ROOT": str(settings.storage_root),
        "T2M_PUBLIC_URL": settings.public_url,
        "T2M_URL_SIGNING_KEY": settings.url_signing_key.get_secret_value(),
    }


async def _command(settings: StorageSettings, auth_address: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.storage", *arguments),
        cwd=ROOT,
        env=_environment(settings, auth_address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _port(process: asyncio.subprocess.Process) -> int:
    """The port that the process says it serves on."""
    assert process.stdout is not None
    printed: list[str] = []
    async with asyncio.timeout(60):
        async for line in process.stdout:
            printed.append(line.decode())
            if '"event":"serving"' in printed[-1]:
                return int(json.loads(printed[-1])["port"])
    pytest.fail("".join(printed))


@asynccontextmanager
async def serving(
    settings: StorageSettings, auth_address: str
) -> AsyncGenerator[tuple[asyncio.subprocess.Process, Running]]:
    """The service in a process of its own; ended at the latest with the block."""
    process = await _command(settings, auth_address)
    channel = None
    try:
        channel = grpc.aio.insecure_channel(f"{LOOPBACK}:{await _port(process)}")
        yield process, Running(settings, channel)
    finally:
        if channel is not None:
            await channel.close()
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def settings(postgres: Callable[[], str], tmp_path: Path) -> StorageSettings:
    return make_settings(postgres(), tmp_path / "objects")


async def test_a_process_killed_during_an_upload_loses_nothing_else(
    settings: StorageSettings, auth_address: str
) -> None:
    """kill -9 with bytes on the disk: nothing can be read, a retry succeeds, the rest is reclaimed."""
    data = pattern(6 * MIB)
    await stack.migrate("storage", settings.database_url)
    async with serving(settings, auth_address) as (process, storage):
        kept = await storage.write(data, request_id="kept")
        await _kill_during_upload(process, storage)

    async with serving(settings, auth_address) as (_, storage):
        assert sorted(await storage.rows()) == [("committed", "kept"), ("pending", "write-1")]
        listed = await storage.stub.ListObjects(pb.ListObjectsRequest(owner_id="u1"), metadata=metadata())
        assert [item.object_id for item in listed.objects] == [kept.object_id]
        assert await storage.read(object_id=kept.object_id) == data

        stored = await storage.write(data, sha256=sha256(data))
        assert await storage.read(object_id=stored.object_id) == data

        await _sweep_after(settings, timedelta(minutes=30))
        assert ("pending", "write-1") in await storage.rows()
        await _sweep_after(settings, timedelta(minutes=61))
        assert sorted(await storage.rows()) == [("committed", "kept"), ("committed", "write-1")]
        assert {path.name for path in storage.files()} == {Path(item.key).name for item in (kept, stored)}


async def _kill_during_upload(process: asyncio.subprocess.Process, storage: Running) -> None:
    async def parts() -> AsyncIterator[pb.WriteObjectRequest]:
        yield pb.WriteObjectRequest(header=header(size_bytes=6 * MIB))
        for _ in range(3):
            yield pb.WriteObjectRequest(chunk=bytes(MIB))
        await asyncio.Event().wait()

    async def bytes_have_arrived() -> bool:
        return any(path.suffix == ".part" and path.stat().st_size >= MIB for path in storage.files())

    call = storage.stub.WriteObject(parts(), metadata=metadata())
    await eventually(bytes_have_arrived, "bytes of the upload are on the disk")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert (await failure(call)).code is grpc.StatusCode.UNAVAILABLE


async def _sweep_after(settings: StorageSettings, age: timedelta) -> None:
    """Sweep as if this much time had passed."""
    service = build(settings, ManualClock(datetime.now(UTC) + age))
    try:
        await service.sweep()
    finally:
        await service.close()


async def test_slow_readers_cost_no_memory(settings: StorageSettings, auth_address: str) -> None:
    """Flow control: a reader that stops taking holds a few chunks of the object, not the rest of it."""
    data = pattern(24 * MIB)
    await stack.migrate("storage", settings.database_url)
    async with serving(settings, auth_address) as (process, storage):
        stored = await storage.write(data)
        before = _resident_mib(process.pid)
        request = pb.ReadObjectRequest(object_id=stored.object_id)
        readers = [storage.stub.ReadObject(request, metadata=metadata()) for _ in range(20)]
        await asyncio.gather(*(reader.read() for reader in readers))
        assert await storage.read(object_id=stored.object_id) == data
        assert _resident_mib(process.pid) - before < 150  # 20 × 24 MiB if it were buffered
        for reader in readers:
            reader.cancel()


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def test_sigterm_lets_a_download_end(settings: StorageSettings, auth_address: str) -> None:
    """O4: calls in flight end in order."""
    data = pattern(24 * MIB)  # more than the transport holds by itself
    migration = await _command(settings, auth_address, "migrate")
    output, _ = await migration.communicate()
    assert migration.returncode == 0, output.decode()
    async with serving(settings, auth_address) as (process, storage):
        stored = await storage.write(data)
        call = storage.stub.ReadObject(pb.ReadObjectRequest(object_id=stored.object_id), metadata=metadata())
        chunks = aiter(call)
        got = [(await anext(chunks)).chunk]
        process.send_signal(signal.SIGTERM)
        got += [part.chunk async for part in chunks]
        assert b"".join(got) == data
        await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
