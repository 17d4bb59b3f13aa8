"""A real storage process: kill -9 in the middle of an upload, the sweep, SIGTERM, memory."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from services.storage.bootstrap import build
from services.storage.settings import StorageSettings
from t2m.storage.v1 import object_service_pb2 as pb
from tests import stack
from tests.fakes.patterns import pattern
from tests.fakes.storage import ManualClock
from tests.integration.storage_harness import (
    MIB,
    Running,
    as_job,
    eventually,
    failure,
    header,
    make_settings,
    metadata,
    sha256,
)
from tests.integration.storage_process import auth_server, command, serving


@pytest.fixture
async def auth_address() -> AsyncIterator[str]:
    async with auth_server() as address:
        yield address


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
        listed = await storage.stub.ListObjects(pb.ListObjectsRequest(owner_id="u1"), metadata=as_job())
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
    migration = await command(settings, auth_address, "migrate")
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
