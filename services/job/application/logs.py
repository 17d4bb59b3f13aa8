"""Logs of jobs: in pages, and followed (J4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from services.job.application.page_tokens import PageTokens
from services.job.application.ports import EventSource, LiveEvent, StoredEvent, Viewer
from services.job.application.queries import Queries
from services.job.application.streams import check_position, stream
from services.job.domain.log import Severity
from services.job.domain.values import JobStage


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines of a job's log; an unset filter lets everything pass."""

    job_id: str
    min_severity: Severity | None = None
    stage: JobStage | None = None
    scene_index: int | None = None
    attempt: int = 0

    @property
    def name(self) -> tuple[str, ...]:
        """Everything that decides which lines the list has, for its page tokens."""
        severity = str(int(self.min_severity)) if self.min_severity else ""
        scene = "" if self.scene_index is None else str(self.scene_index)
        return ("logs", self.job_id, severity, self.stage or "", scene, str(self.attempt))


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where a log stands: the number of its newest line, 0 for none."""

    job_id: str
    last_seq: int


class LogStore(Protocol):
    """The lines of all jobs."""

    async def page(self, query: LogQuery, after_seq: int, limit: int) -> list[StoredEvent]:
        """Lines after the position, oldest first."""
        ...

    async def history(self, job_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """The same without filters."""
        ...


class Logs:
    """The use cases behind `JobLogService`. Another owner's job raises JobNotFound."""

    def __init__(self, store: LogStore, queries: Queries, tokens: PageTokens, source: EventSource) -> None:
        self._store = store
        self._queries = queries
        self._tokens = tokens
        self._source = source

    async def page(self, viewer: Viewer, query: LogQuery, page_token: str, limit: int) -> tuple[list[StoredEvent], str]:
        """A page and the token of the next one. Raises FieldsRefused for a token of another list."""
        await self._queries.visible(viewer, query.job_id)
        after = self._tokens.open_number(page_token, *query.name) if page_token else 0
        lines = await self._store.page(query, after, limit + 1)
        shown = lines[:limit]
        token = self._tokens.seal_number(shown[-1].seq, *query.name) if len(lines) > limit else ""
        return shown, token

    async def watch(
        self, viewer: Viewer, job_id: str, after_seq: int | None
    ) -> AsyncGenerator[LogPosition | LiveEvent]:
        """The position of the newest line, unless one is given, then every later line; ends with the last one.

        Raises PositionBeyondEnd, PositionExpired before anything is sent.
        """
        job = await self._queries.visible(viewer, job_id)
        first, position = None, after_seq
        if position is None:
            first, position = LogPosition(job_id, job.log_seq), job.log_seq
        else:
            await check_position(self._store.history, job_id, position, job.log_seq)
        return stream(self._source, job_id, first, position, job.status.terminal and position >= job.log_seq)
