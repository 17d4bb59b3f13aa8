"""`FileStore` over the real storage service: whole, or lost, or away; and the scratch folder beside it."""

# ruff: noqa: ASYNC240  # small local files, looked at between the awaits

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from services.runtime.client import ServiceCredentials, channel
from services.runtime.identity import Role
from services.runtime.tokens import TokenSigner
from services.storage.domain.objects import Bucket
from services.video_render.adapters.storage.files import GrpcFileStore
from services.video_render.adapters.storage.hashing import sha256_of
from services.video_render.adapters.storage.scratch import LocalSegments, ScratchFolders
from services.video_render.application.ports import FileKind, FileLost, FileSpec, FileUnavailable
from services.video_render.settings import VideoRenderSettings
from tests.fakes.patterns import pattern
from tests.integration import storage_harness
from tests.s3_servers import Rclone, credentials
from tests.stack import free_port

SPEC = FileSpec("r1:scene.0:1:segment", "u1", "j1", FileKind.SEGMENT, 1, "video/mp4", "scene.mp4", 0)


class SignedCredentials:
    """A service token without an auth service."""

    async def token(self) -> str:
        """A fresh one."""
        return TokenSigner(storage_harness.KEY).sign("worker", Role.SERVICE, timedelta(minutes=5))[0]


@asynccontextmanager
async def file_store(address: str, attempts: int = 4) -> AsyncIterator[GrpcFileStore]:
    """A store that talks to the address."""
    connection = channel(address, VideoRenderSettings(), cast(ServiceCredentials, SignedCredentials()))
    try:
        yield GrpcFileStore(connection, attempts=attempts, first_pause_s=0.02)
    finally:
        await connection.close()


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """A file of several chunks."""
    path = tmp_path / "segment.mp4"
    path.write_bytes(pattern(2 * storage_harness.MIB + 17))
    return path


async def test_a_file_comes_back_as_it_was_saved(postgres: Callable[[], str], tmp_path: Path, segment: Path) -> None:
    """S4: verified end to end; a repeated write stores nothing twice."""
    address = f"127.0.0.1:{free_port()}"
    serving = storage_harness.running(postgres(), tmp_path / "objects", bind=address)
    async with serving as storage, file_store(address) as files:
        stored = await files.save(segment, SPEC)
        assert (stored.sha256, stored.size_bytes) == (sha256_of(segment), segment.stat().st_size)
        assert await files.save(segment, SPEC) == stored
        assert len(storage.files()) == 1
        target = tmp_path / "back.mp4"
        await files.load(stored, target)
        assert sha256_of(target) == stored.sha256
        for wrong in (replace(stored, sha256="0" * 64), replace(stored, object_id="0" * 8 + stored.object_id[8:])):
            with pytest.raises(FileLost):
                await files.load(wrong, tmp_path / "lost.mp4")
        assert not list(tmp_path.glob("lost.mp4*")), "nothing half-written is left"


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Rclone]:
    """A store that checks signatures."""
    store = Rclone(tmp_path / "s3")
    yield store
    store.kill()


def passed_through() -> list[float | None]:
    """How many calls have carried bytes through the storage service of this process."""
    methods = [f"/t2m.storage.v1.ObjectService/{name}" for name in ("WriteObject", "ReadObject")]
    labels = [{"method": method, "code": "OK"} for method in methods]
    return [REGISTRY.get_sample_value("t2m_rpc_server_calls_total", each) for each in labels]


async def test_S3_S4_bytes_go_to_the_store_and_come_from_it_directly(
    postgres: Callable[[], str], tmp_path: Path, segment: Path, s3: Rclone
) -> None:
    """S3, S4: the service sees none of them; what is gone is lost, and a store that is away is not."""
    address, counted, before = f"127.0.0.1:{free_port()}", [0], passed_through()

    def count(more: int) -> None:
        counted[0] += more

    with credentials(s3.access_key, s3.secret_key):
        settings: dict[str, Any] = {"storage_backend": "s3", "storage_region": "us-east-1", "s3_endpoint_url": s3.url}
        serving = storage_harness.running(
            postgres(), tmp_path / "objects", bind=address, s3_path_style=True, s3_verify=False, **settings
        )
        async with serving as storage, file_store(address) as files:
            buckets = storage.settings.buckets()
            s3.make_buckets(buckets)
            stored = await files.save(segment, SPEC, count)
            assert (stored.sha256, counted) == (sha256_of(segment), [stored.size_bytes])
            await files.load(stored, tmp_path / "back.mp4")
            assert (tmp_path / "back.mp4").read_bytes() == segment.read_bytes()
            assert passed_through() == before
            await asyncio.to_thread(s3.kill)
            with pytest.raises(FileUnavailable):
                await files.load(stored, tmp_path / "away.mp4")
            await asyncio.to_thread(s3.start)
            [[key]] = [
                [each["Key"] for each in s3.client.list_objects_v2(Bucket=buckets.of(Bucket.VIDEOS))["Contents"]]
            ]
            s3.client.delete_object(Bucket=buckets.of(Bucket.VIDEOS), Key=key)
            with pytest.raises(FileLost):
                await files.load(stored, tmp_path / "lost.mp4")


async def test_a_storage_that_is_away_is_waited_for(postgres: Callable[[], str], tmp_path: Path, segment: Path) -> None:
    """S4: three more times; then the step waits for it."""
    address = f"127.0.0.1:{free_port()}"
    async with file_store(address) as files:
        with pytest.raises(FileUnavailable):
            await files.save(segment, SPEC)
    async with file_store(address, attempts=12) as files:
        saving = asyncio.ensure_future(files.save(segment, SPEC))
        async with storage_harness.running(postgres(), tmp_path / "objects", bind=address):
            assert (await saving).sha256 == sha256_of(segment)


async def test_segments_on_this_machine_are_checked_and_bounded(tmp_path: Path, segment: Path) -> None:
    """A damaged copy is not used; the oldest go when the folder is full."""
    target = tmp_path / "target.mp4"
    segments = LocalSegments(tmp_path, max_bytes=3 * storage_harness.MIB)
    digest = sha256_of(segment)
    assert not await segments.fetch(digest, target)
    await segments.keep(segment, digest)
    assert await segments.fetch(digest, target)
    assert target.read_bytes() == segment.read_bytes()
    (tmp_path / "segments" / digest).write_bytes(b"damaged")
    assert not await segments.fetch(digest, target)
    await segments.keep(segment, digest)
    other = tmp_path / "other.mp4"
    other.write_bytes(segment.read_bytes() + b"!")
    await segments.keep(other, sha256_of(other))
    assert await segments.fetch(sha256_of(other), target)
    assert not await segments.fetch(digest, target), "two of them are too much"


async def test_folders_of_attempts_are_empty_and_removed(tmp_path: Path) -> None:
    """Also what a killed process has left behind, and nothing that a living one uses (J3)."""
    folders = ScratchFolders(tmp_path)
    async with folders.folder("r1.scene.0", 1) as folder:
        (folder / "half").touch()
        async with folders.folder("r1.scene.0", 2) as successor:
            assert successor != folder
        ScratchFolders(tmp_path).purge()
        assert (folder / "half").exists()
    assert not folder.exists()
    left = tmp_path / "attempts" / "r1.scene.0.1"
    for index in (0, 1):
        left.mkdir()
        (left / "half").touch()
        async with folders.folder(f"r1.scene.{index}", 1) as folder:
            assert list(folder.iterdir()) == []
            assert folder == left or not left.exists()
    assert list(left.parent.iterdir()) == []


async def test_J3_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    """J3: a lock does not outlive its process, whatever ended it."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from services.video_render.adapters.storage.scratch import ScratchFolders\n"
        "async def main():\n"
        "    async with ScratchFolders(pathlib.Path(sys.argv[1])).folder('r1.scene.0', 1):\n"
        "        print('ready', flush=True); sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: ASYNC220  # returns at once
    try:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == b"ready\n"
        left = tmp_path / "attempts" / "r1.scene.0.1"
        ScratchFolders(tmp_path).purge()
        assert left.exists()
        holder.send_signal(signal.SIGSTOP)
        ScratchFolders(tmp_path).purge()
        assert left.exists(), "a stopped process is not a dead one"
    finally:
        holder.kill()
        holder.communicate(timeout=10)
    ScratchFolders(tmp_path).purge()
    assert not left.exists()
