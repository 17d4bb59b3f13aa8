"""`migrate-files` on real files, Postgres and S3 servers, killed in the middle (S7)."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.storage.__main__ import main
from services.storage.application.attempts import WriteCommand
from services.storage.bootstrap import build
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import ArtifactKind, Bucket, Placement, StoredObject
from services.storage.settings import StorageSettings
from tests import stack
from tests.fakes.patterns import pattern
from tests.integration.storage_harness import eventually, make_settings
from tests.integration.storage_process import command, environment
from tests.s3_servers import S3Server, credentials, ministack, rclone

_numbers = itertools.count(1)
OBJECTS = 40
BEFORE = {"storage_region": "local", "storage_account": "embedded"}


@dataclass
class Move:
    """A deployment on the file system, and the S3 server it moves to."""

    settings: StorageSettings
    server: S3Server

    @property
    def names(self) -> BucketNames:
        return self.settings.buckets()

    async def fill(self, count: int, *, first: int = 0) -> list[StoredObject]:
        """Objects of many sizes, one without any bytes, in all buckets."""
        storage = build(self.settings)
        try:
            return [await storage.use_cases.write(*_upload(first + number)) for number in range(count)]
        finally:
            await storage.close()

    def versions(self) -> Counter[str]:
        """How many versions the target has of each key."""
        found: Counter[str] = Counter()
        for bucket in Bucket:
            answer = self.server.client.list_object_versions(Bucket=self.names.of(bucket))
            found.update(each["Key"] for each in answer.get("Versions", []))
        return found

    def keys(self) -> set[str]:
        """What the target has."""
        answers = (self.server.client.list_objects_v2(Bucket=self.names.of(bucket)) for bucket in Bucket)
        return {each["Key"] for answer in answers for each in answer.get("Contents", [])}

    async def run(self, *options: str) -> tuple[int, str]:
        """The command in this process; its exit code and what it prints."""
        runner = CliRunner(env=environment(self.settings))
        result = await asyncio.to_thread(runner.invoke, main, ["migrate-files", *options])
        return result.exit_code, result.output


def _upload(number: int) -> tuple[WriteCommand, AsyncIterator[bytes]]:
    data = pattern(number * 7_919)
    place = Placement(f"u{number % 3}", f"j{number}", list(Bucket)[number % 4], ArtifactKind.VIDEO)

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return WriteCommand(f"r{number}", place, "video/mp4", "Größe.mp4", size_bytes=len(data)), chunks()


@pytest.fixture(params=[rclone, ministack], ids=["rclone", "ministack"])
def move(request: pytest.FixtureRequest, postgres: Callable[[], str], tmp_path: Path) -> Iterator[Move]:
    server: S3Server = request.param()
    settings = make_settings(
        postgres(),
        tmp_path,
        storage_region="us-east-1",
        storage_account=f"m{next(_numbers)}",
        s3_endpoint_url=server.url,
        s3_path_style=True,
    )
    server.make_buckets(settings.buckets())
    if server is ministack():
        for bucket in Bucket:
            name = settings.buckets().of(bucket)
            server.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    with credentials(server.access_key, server.secret_key):
        yield Move(settings, server)


async def test_S7_a_migration_that_is_killed_goes_on_where_it_was(move: Move) -> None:
    """kill -9 in the middle; then everything is there, right, and copied once; later objects are the next run's."""
    await stack.migrate("storage", move.settings.database_url)
    rows = await move.fill(OBJECTS)
    assert not move.keys()

    process = await command(move.settings, "", "migrate-files", "--parallel", "2")

    async def is_in_the_middle() -> bool:
        assert process.returncode is None
        return len(await asyncio.to_thread(move.keys)) >= 5

    await eventually(is_in_the_middle, "some objects are copied")
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    before = move.keys()
    assert 5 <= len(before) < OBJECTS

    code, said = await move.run()
    assert code == 0, said
    assert move.keys() == {row.key for row in rows}
    copied = int(said.split(" copied")[0].rsplit(" ", 1)[-1])
    assert OBJECTS - len(before) <= copied <= OBJECTS - len(before) + 2  # those that the kill cut
    if move.server is ministack():
        assert max(move.versions().values()) <= 2
        assert sum(move.versions().values()) <= OBJECTS + 2

    added = await move.fill(2, first=OBJECTS)
    code, said = await move.run()
    assert (code, f"2 copied, {OBJECTS} present" in said) == (0, True), said
    assert move.keys() == {row.key for row in [*rows, *added]}


async def test_S7_what_is_missing_or_damaged_is_named_and_the_rest_is_done(move: Move) -> None:
    """In the source when copying, in the target when verifying; the exit code says it."""
    await stack.migrate("storage", move.settings.database_url)
    rows = await move.fill(8)
    missing, damaged = rows[4], rows[5]
    folder = move.settings.storage_root
    (folder / move.names.of(missing.placement.bucket) / missing.key).unlink()
    path = folder / move.names.of(damaged.placement.bucket) / damaged.key
    path.write_bytes(bytes(damaged.size_bytes))

    code, said = await move.run("--dry-run")
    assert (code, "6 to copy" in said) == (1, True), said
    assert not move.keys()
    code, said = await move.run()
    assert (code, "6 copied" in said) == (1, True), said
    assert f"missing: {missing.object_id}" in said
    assert f"damaged: {damaged.object_id}" in said
    assert move.keys() == {row.key for row in rows if row not in (missing, damaged)}

    move.server.client.put_object(Bucket=move.names.of(rows[7].placement.bucket), Key=rows[7].key, Body=b"other")
    code, said = await move.run("--verify-only")
    assert (code, "5 present" in said, f"damaged: {rows[7].object_id}" in said) == (1, True, True), said


async def test_S1_S7_folders_may_be_named_after_another_region_and_account_than_the_buckets(move: Move) -> None:
    """As with every deployment that began on the file system, where both have names that no S3 knows."""
    await stack.migrate("storage", move.settings.database_url)
    rows = await Move(move.settings.model_copy(update=BEFORE), move.server).fill(4)

    code, said = await move.run()
    assert (code, "4 missing" in said) == (1, True), said
    code, said = await move.run("--from-region", "under_score")
    assert (code, "--from-region, --from-account: not a bucket name" in said) == (1, True), said
    code, said = await move.run("--from-region", "local", "--from-account", "embedded")
    assert (code, "4 copied" in said) == (0, True), said
    assert move.keys() == {row.key for row in rows}
