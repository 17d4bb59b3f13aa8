"""The ports of the import in memory; `tests/contract/test_job_importing.py` proves the store equal to the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.job.application.importing.records import OlderJob
from services.job.application.importing.use_case import OlderPage
from services.job.domain.job import Job


class ListedOlderSystem:
    """Pages of a list; dies before a page, if told so."""

    def __init__(self, jobs: Sequence[OlderJob]) -> None:
        self.jobs = jobs
        self.away_at: int | None = None

    async def prepare(self) -> None:
        pass

    async def page(self, cursor: int) -> OlderPage:
        if cursor == self.away_at:
            raise ConnectionError("away")
        following = cursor + 2
        broken = [("jobs:list", "is a list, not a hash")] if not cursor else []
        return OlderPage(self.jobs[cursor:following], broken, following if following < len(self.jobs) else 0)


class MemoryImports:
    """Jobs by id."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}

    async def add(self, jobs: Sequence[Job]) -> Mapping[str, str | None]:
        known = await self.owners([job.job_id for job in jobs])
        for job in jobs:
            self.jobs.setdefault(job.job_id, job)
        return {job.job_id: known.get(job.job_id) for job in jobs}

    async def owners(self, job_ids: Sequence[str]) -> Mapping[str, str]:
        return {job_id: self.jobs[job_id].order.owner_id for job_id in job_ids if job_id in self.jobs}
