"""What exports and erasures need, in memory; `tests/contract/test_job_record.py` compares it with Postgres."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.job.application.erasing import LeftJob
from services.job.application.export import AccountPage, KeptFile
from tests.fakes.job import FakeDatabase


@dataclass
class FakeErasedOwners:
    """`ErasedOwners` over the jobs of a database; batches and the rest are ids by owner."""

    database: FakeDatabase
    receivers: dict[str, list[str]] = field(default_factory=dict)
    batch_ids: dict[str, list[str]] = field(default_factory=dict)

    async def forget_receivers(self, owner_id: str) -> None:
        """Webhooks."""
        self.receivers.pop(owner_id, None)

    async def jobs(self, owner_id: str, after: str, limit: int) -> list[LeftJob]:
        """By id."""
        mine = sorted(
            (job for job in self.database.jobs.values() if job.order.owner_id == owner_id), key=lambda job: job.job_id
        )
        left = [LeftJob(job.job_id, job.status, job.deleted_at is not None, job.completed_at) for job in mine]
        return [job for job in left if job.job_id > after][:limit]

    async def batches(self, owner_id: str) -> list[str]:
        """Of the owner."""
        return list(self.batch_ids.get(owner_id, []))

    async def forget(self, owner_id: str) -> bool:
        """Not while there is a job."""
        if await self.jobs(owner_id, "", 1):
            return False
        self.batch_ids.pop(owner_id, None)
        return True


class FakeExportTurns:
    """`ExportTurns`."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    @asynccontextmanager
    async def take(self, owner_id: str) -> AsyncIterator[bool]:
        """One at a time."""
        if owner_id in self.taken:
            yield False
            return
        self.taken.add(owner_id)
        try:
            yield True
        finally:
            self.taken.discard(owner_id)


@dataclass
class FakeAccountRecords:
    """`AccountRecords`, so many to a page; `fails_after` pages it raises `error`."""

    records: list[tuple[str, str]]
    page_size: int = 2
    error: Exception | None = None
    fails_after: int = 0

    async def page(self, owner_id: str, page_token: str) -> AccountPage:
        """The token is where it begins."""
        begin = int(page_token or 0)
        if self.error is not None and begin >= self.fails_after * self.page_size:
            raise self.error
        end = begin + self.page_size
        return AccountPage(self.records[begin:end], str(end) if end < len(self.records) else "")


@dataclass
class FakeKeptFiles:
    """`KeptFiles`, one to a page."""

    files: list[tuple[KeptFile, bytes]] = field(default_factory=list)

    async def page(self, owner_id: str, page_token: str) -> tuple[list[KeptFile], str]:
        """One."""
        begin = int(page_token or 0)
        found = [file for file, _ in self.files[begin : begin + 1]]
        return found, str(begin + 1) if begin + 1 < len(self.files) else ""

    async def read(self, owner_id: str, object_id: str) -> AsyncGenerator[bytes]:
        """In two chunks."""
        content = next(content for file, content in self.files if file.object_id == object_id)
        yield content[:3]
        yield content[3:]


@dataclass
class FakeOwnedRecords:
    """`OwnedRecords`: lines by member."""

    rows: dict[str, list[bytes]] = field(default_factory=dict)

    def members(self) -> list[str]:
        """All."""
        return list(self.rows)

    async def lines(self, member: str, owner_id: str) -> AsyncGenerator[bytes]:
        """Of the member."""
        for line in self.rows[member]:
            yield line
