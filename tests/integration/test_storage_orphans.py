"""Storage that is killed in the middle of uploads, and the sweeps that put it right, on every backend (S6)."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from services.runtime.db import create_engine
from services.runtime.ids import new_id
from services.storage.adapters.filesystem import FilesystemInventory
from services.storage.adapters.s3 import S3Inventory
from services.storage.application.inventory import BlobInventory
from services.storage.application.orphans import Finding, OrphanPolicy
from services.storage.bootstrap import build
from services.storage.domain.objects import Bucket
from services.storage.settings import StorageSettings
from t2m.storage.v1 import object_pb2
from t2m.storage.v1 import object_service_pb2 as pb
from tests import stack
from tests.fakes.patterns import pattern
from tests.fakes.storage import ManualClock
from tests.integration.storage_harness import (
    MIB,
    Running,
    eventually,
    header,
    make_settings,
    metadata,
    running,
    sha256,
)
from tests.integration.storage_process import auth_server, command, serving
from tests.s3_servers import S3Server, credentials, ministack, rclone

_numbers = itertools.count(1)
WRITERS = 4


@dataclass
class Deployment:
    """Settings of a service, and how to look into its store behind its back."""

    settings: StorageSettings
    inventory: BlobInventory
    server: S3Server | None

    async def keys(self) -> set[str]:
        """Everything that lies in the store, unfinished uploads included."""
        found: set[str] = set()
        for bucket in Bucket:
            found |= {each.key for each in (await self.inventory.page(bucket, "", 1000)).found}
            found |= {f"{each.key} (unfinished)" for each in await self.inventory.unfinished(bucket, 1000)}
        return found

    def remove_bytes(self, key: str) -> None:
        """As a disk that fails, or a person who cleans up."""
        name = self.settings.buckets().of(Bucket.VIDEOS)
        if self.server is None:
            (self.settings.storage_root / name / key).unlink()
        else:
            self.server.client.delete_object(Bucket=name, Key=key)

    def put_foreign(self, key: str) -> None:
        """A file that somebody else put there."""
        name = self.settings.buckets().of(Bucket.VIDEOS)
        if self.server is None:
            (self.settings.storage_root / name / key).write_bytes(b"mine")
        else:
            self.server.client.put_object(Bucket=name, Key=key, Body=b"mine")


@pytest.fixture(params=["filesystem", "rclone", "ministack"])
def deployment(request: pytest.FixtureRequest, postgres: Callable[[], str], tmp_path: Path) -> Iterator[Deployment]:
    if request.param == "filesystem":
        settings = make_settings(postgres(), tmp_path / "objects")
        yield Deployment(settings, FilesystemInventory(settings.storage_root, settings.buckets()), None)
        return
    server = rclone() if request.param == "rclone" else ministack()
    settings = make_settings(
        postgres(),
        tmp_path / "unused",
        storage_backend="s3",
        storage_region="us-east-1",
        storage_account=f"o{next(_numbers)}",
        s3_endpoint_url=server.url,
        s3_path_style=True,
    )
    server.make_buckets(settings.buckets())
    if request.param == "ministack":  # the one that knows versions: none may be left either
        for bucket in Bucket:
            server.client.put_bucket_versioning(
                Bucket=settings.buckets().of(bucket), VersioningConfiguration={"Status": "Enabled"}
            )
    with credentials(server.access_key, server.secret_key):
        yield Deployment(settings, S3Inventory(server.client, settings.buckets()), server)


def again(settings: StorageSettings) -> AbstractAsyncContextManager[Running]:
    """The service as it is after a restart."""
    return running(
        settings.database_url,
        settings.storage_root,
        **settings.model_dump(exclude={"database_url", "storage_root", "bind"}),
    )


@dataclass
class Load:
    """Writers that never stop, and what was acknowledged to them."""

    storage: Running
    acknowledged: dict[str, str] = field(default_factory=dict)
    """SHA-256 by object id."""

    async def run(self) -> None:
        """Until the service is gone."""
        await asyncio.gather(*(self._writer(number) for number in range(WRITERS)), self._stalled())

    async def _writer(self, writer: int) -> None:
        for number in itertools.count():
            data = pattern(400_000 + writer)
            try:
                stored = await self.storage.write(data, request_id=f"w{writer}-{number}", chunk_bytes=50_000)
            except grpc.aio.AioRpcError:
                return
            self.acknowledged[stored.object_id] = sha256(data)

    async def _stalled(self) -> None:
        """An upload in parts, cut in the middle."""

        async def parts() -> AsyncIterator[pb.WriteObjectRequest]:
            place = {"bucket": object_pb2.BUCKET_THUMBNAILS, "kind": object_pb2.ARTIFACT_KIND_THUMBNAIL}
            yield pb.WriteObjectRequest(header=header(request_id="stalled", size_bytes=40 * MIB, **place))
            for _ in range(34):
                yield pb.WriteObjectRequest(chunk=bytes(MIB))
            await asyncio.Event().wait()

        with pytest.raises(grpc.aio.AioRpcError):
            await self.storage.stub.WriteObject(parts(), metadata=metadata())


async def _committed(settings: StorageSettings) -> dict[str, tuple[str, str]]:
    """Key and SHA-256 of every committed row, by object id; no other row may be left."""
    engine = create_engine(settings.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            rows = (await connection.execute(sa.text("SELECT object_id, key, sha256, state FROM objects"))).all()
    finally:
        await engine.dispose()
    assert {row.state for row in rows} <= {"committed"}
    return {str(row.object_id): (row.key, row.sha256) for row in rows}


async def _forget_row(settings: StorageSettings, object_id: str) -> None:
    """As a database that was restored from yesterday."""
    engine = create_engine(settings.database_url, pool_size=1)
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text("DELETE FROM objects WHERE object_id = :id"), {"id": object_id})
    finally:
        await engine.dispose()


async def _sweep_pending(settings: StorageSettings) -> None:
    """As if the time that an upload may take had passed."""
    service = build(settings, ManualClock(datetime.now(UTC) + timedelta(minutes=61)))
    try:
        await service.sweep()
    finally:
        await service.close()


async def _compare(settings: StorageSettings, grace: timedelta, *, dry_run: bool) -> dict[tuple[str, str], bool]:
    """What was found by kind and key, and whether it was put right."""
    found: list[Finding] = []
    service = build(settings)
    try:
        await service.orphans(OrphanPolicy(grace, 100, dry_run=dry_run, mark_lost=True), found.append)
    finally:
        await service.close()
    return {(each.kind.value, each.key): each.repaired for each in found}


async def test_S6_what_a_killed_process_leaves_is_put_right(deployment: Deployment) -> None:
    """kill -9 under load, rows and bytes lost besides: then every row has its bytes, and nothing else lies there."""
    settings = deployment.settings
    await stack.migrate("storage", settings.database_url)
    async with auth_server() as auth_address:
        async with serving(settings, auth_address) as (process, storage):
            load = Load(storage)
            writing = asyncio.ensure_future(load.run())

            async def is_busy() -> bool:
                assert not writing.done()
                begun = await deployment.inventory.unfinished(Bucket.THUMBNAILS, 1)
                return bool(begun) and len(load.acknowledged) >= 3 * WRITERS

            await eventually(is_busy, "an upload in parts has begun, others are acknowledged")
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await writing

        known, (forgotten, lost) = dict(load.acknowledged), sorted(load.acknowledged)[:2]
        async with again(settings) as storage:
            lost_key = (await storage.stub.GetObject(_named(lost), metadata=metadata())).object.key
            forgotten_key = (await storage.stub.GetObject(_named(forgotten), metadata=metadata())).object.key
            await _forget_row(settings, forgotten)
            deployment.remove_bytes(lost_key)
            deployment.put_foreign("readme.txt")
            await _sweep_pending(settings)

            before = await deployment.keys()
            found = await _compare(settings, timedelta(0), dry_run=True)
            assert {("orphan", forgotten_key), ("lost", lost_key), ("foreign", "readme.txt")} <= set(found)
            assert not any(found.values())
            assert await deployment.keys() == before
            assert set(await _compare(settings, timedelta(hours=1), dry_run=False)) == {("foreign", "readme.txt")}
            process = await command(settings, auth_address, "sweep-orphans", "--grace", "0", "--mark-lost")
            said = (await process.communicate())[0].decode()
            assert process.returncode == 0, said
            for line in (f"repaired orphan videos/{forgotten_key}", f"repaired lost videos/{lost_key} {lost}"):
                assert line in said
            await _sweep_pending(settings)

            rows = await _committed(settings)
            assert set(known) - {forgotten, lost} <= set(rows)
            assert not {forgotten, lost} & set(rows)
            for object_id, (_, checksum) in rows.items():
                assert known.get(object_id, checksum) == checksum
                assert sha256(await storage.read(object_id=object_id)) == checksum
            assert await deployment.keys() == {key for key, _ in rows.values()} | {"readme.txt"}


def _named(object_id: str) -> pb.GetObjectRequest:
    return pb.GetObjectRequest(object_id=object_id, owner_id="u1")


async def test_S6_an_expired_temp_object_is_gone_with_its_row(deployment: Deployment) -> None:
    """Every version of it; others stay."""
    settings = deployment.settings
    await stack.migrate("storage", settings.database_url)
    async with again(settings) as storage:
        kept = await storage.write(b"kept", request_id="kept")
        await storage.write(b"temp", request_id="temp", bucket=object_pb2.BUCKET_TEMP)
    service = build(settings, ManualClock(datetime.now(UTC) + timedelta(days=7, seconds=1)))
    try:
        assert await service.expire() == 1
        await service.sweep()
    finally:
        await service.close()
    assert set(await _committed(settings)) == {kept.object_id}
    assert await deployment.keys() == {kept.key}


async def test_S6_the_service_compares_by_itself(postgres: Callable[[], str], tmp_path: Path) -> None:
    """And not when that is switched off."""
    orphan = f"users/u1/files/video/000000-{new_id()}.mp4"
    for interval, stays in ((0.0, True), (0.24, False)):
        async with running(postgres(), tmp_path, orphan_interval_s=interval, orphan_grace_s=0.0) as storage:
            path = tmp_path / storage.settings.buckets().of(Bucket.VIDEOS) / orphan
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"nobody's")

            async def is_gone(path: Path = path, storage: Running = storage) -> bool:
                return path not in storage.files()

            if not stays:
                await eventually(is_gone, "the orphan is gone")
            assert (path in storage.files()) is stays
