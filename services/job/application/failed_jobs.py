"""The failed jobs of everybody, for operators (J9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.job.application.page_tokens import PageTokens
from services.job.application.ports import PageKey
from services.job.domain.job import Job


@dataclass(frozen=True, slots=True)
class FailedQuery:
    """Which failed jobs, last failed first; an unset filter lets everything pass."""

    error_code: str = ""
    owner_id: str = ""
    failed_after: datetime | None = None

    @property
    def name(self) -> tuple[str, ...]:
        """Everything that decides which jobs the list has, for its page tokens."""
        moment = self.failed_after.isoformat() if self.failed_after else ""
        return ("failed", self.error_code, self.owner_id, moment)


class FailedJobsStore(Protocol):
    """Failed jobs that are not deleted."""

    async def failed(self, query: FailedQuery, after: PageKey | None, limit: int) -> list[Job]:
        """At most `limit` jobs after the key, whose moment is that of the failure. Without their scenes."""
        ...

    async def repeats(self, job_id: str) -> list[Job]:
        """The jobs that repeat this one, oldest first."""
        ...


class FailedJobs:
    """Pages of failed jobs."""

    def __init__(self, store: FailedJobsStore, tokens: PageTokens) -> None:
        self._store = store
        self._tokens = tokens

    async def page(self, query: FailedQuery, page_token: str, limit: int) -> tuple[list[Job], str]:
        """A page and the token of the next one. Raises FieldsRefused for a token of another list."""
        after = self._tokens.open_key(page_token, *query.name) if page_token else None
        jobs = await self._store.failed(query, after, limit + 1)
        shown = jobs[:limit]
        if len(jobs) <= limit:
            return shown, ""
        last = shown[-1]
        return shown, self._tokens.seal_key(PageKey(last.completed_at or last.updated_at, last.job_id), *query.name)
