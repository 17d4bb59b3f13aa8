"""Takes the jobs of the older system over, page by page; safe to repeat and to interrupt anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from services.job.application.importing.records import OlderJob, Record, Refused, read
from services.job.application.ports import Clock
from services.job.domain.job import Job
from services.job.domain.plan import Kept, Plans
from services.job.domain.retention import schedule


@dataclass(frozen=True, slots=True)
class OlderPage:
    """Some of the older system's jobs. `broken` are keys that could not be read, with the reason."""

    jobs: Sequence[OlderJob]
    broken: Sequence[tuple[str, str]]
    next_cursor: int
    """Where to go on; 0 after the last page."""


class OlderSystem(Protocol):
    """Reads the older system. A job may come twice; one that is there all the time comes at least once."""

    async def prepare(self) -> None:
        """Read what ties jobs to users and videos. Raises ConnectionError when it is away, as `page` does."""
        ...

    async def page(self, cursor: int) -> OlderPage:
        """The page at the cursor, 0 for the first."""
        ...


class ImportStore(Protocol):
    """Where imported jobs go."""

    async def add(self, jobs: Sequence[Job]) -> Mapping[str, str | None]:
        """Store those whose id is free, each with its event. The owner of the job that has each id already; None for
        those that were stored.
        """
        ...

    async def owners(self, job_ids: Sequence[str]) -> Mapping[str, str]:
        """Whose the jobs with these ids are, as far as they exist."""
        ...


class ImportOutcome(StrEnum):
    """What became of one key."""

    IMPORTED = "imported"
    PRESENT = "present"
    """By an earlier run."""
    TO_IMPORT = "to import"
    """If this were no dry run."""
    REFUSED = "refused"


Tell = Callable[[str, ImportOutcome, str], None]
"""Told of every key, what became of it, and what is to be said of that."""


@dataclass(slots=True)
class ImportReport:
    """Sums of a run."""

    outcomes: Counter[ImportOutcome] = field(default_factory=Counter)


class ImportJobs:
    """Every job gets an id that is made of its old one, so a second run meets the rows of the first and leaves them."""

    def __init__(
        self, older: OlderSystem, store: ImportStore, plans: Plans, clock: Clock, owners: Mapping[str, str]
    ) -> None:
        self._older = older
        self._store = store
        self._plans = plans
        self._clock = clock
        self._owners = owners

    async def __call__(
        self, tell: Tell, at: Callable[[int], None], *, cursor: int = 0, dry_run: bool = False
    ) -> ImportReport:
        """One run from the cursor on; `at` is told each cursor once everything before it is stored."""
        report = ImportReport()

        def count(key: str, outcome: ImportOutcome, text: str) -> None:
            report.outcomes[outcome] += 1
            tell(key, outcome, text)

        await self._older.prepare()
        while True:
            page = await self._older.page(cursor)
            for key, reason in page.broken:
                count(key, ImportOutcome.REFUSED, reason)
            await self._take(self._read(page.jobs, count), count, dry_run=dry_run)
            cursor = page.next_cursor
            if not cursor:
                return report
            at(cursor)

    def _read(self, found: Sequence[OlderJob], count: Tell) -> dict[str, tuple[str, Record]]:
        """Records by job id, each with its old id."""
        now = self._clock.now()
        records: dict[str, tuple[str, Record]] = {}
        for older in found:
            try:
                record = read(older, now, self._owners)
            except Refused as refused:
                count(f"jobs:{older.older_id}", ImportOutcome.REFUSED, str(refused))
                continue
            job = record.job
            plan = self._plans.of(job.order.plan)
            # Old as it may be, the user has it for as long as the plan says from now on.
            schedule(job, plan, not_before=now + (plan.kept_for(Kept.JOB) or timedelta(0)))
            records.setdefault(job.job_id, (older.older_id, record))
        return records

    async def _take(self, records: Mapping[str, tuple[str, Record]], count: Tell, *, dry_run: bool) -> None:
        jobs = [record.job for _, record in records.values()]
        known: Mapping[str, str | None] = (
            await self._store.owners(list(records)) if dry_run else await self._store.add(jobs)
        )
        for job_id, (older_id, record) in records.items():
            owner, remarks = known.get(job_id), "; ".join(record.remarks)
            if owner is None:
                count(f"jobs:{older_id}", ImportOutcome.TO_IMPORT if dry_run else ImportOutcome.IMPORTED, remarks)
            elif owner == record.job.order.owner_id:
                count(f"jobs:{older_id}", ImportOutcome.PRESENT, "")
            else:
                count(f"jobs:{older_id}", ImportOutcome.REFUSED, f"job {job_id} is somebody else's")
