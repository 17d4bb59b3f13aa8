"""Logs of jobs in memory; `tests/contract/test_job_logs.py` proves them equal to the real adapter."""

from __future__ import annotations

from collections.abc import Callable

from services.job.application.logs import LogQuery
from services.job.application.ports import StoredEvent
from services.job.domain.log import LogLine
from tests.fakes.job import FakeDatabase


class FakeLogs:
    """`LogStore` in memory."""

    def __init__(self, database: FakeDatabase, encode: Callable[[str, LogLine], bytes]) -> None:
        self._db = database
        self._encode = encode

    async def page(self, query: LogQuery, after_seq: int, limit: int) -> list[StoredEvent]:
        """Lines after the position that pass the filters."""
        found = [
            line
            for line in self._db.logs[query.job_id]
            if line.seq > after_seq
            and (query.min_severity is None or line.severity >= query.min_severity)
            and query.stage in (None, line.stage)
            and (query.scene_index is None or line.scene_index == query.scene_index)
            and query.attempt in (0, line.attempt)
        ]
        return [StoredEvent(line.seq, self._encode(query.job_id, line)) for line in found[:limit]]

    async def history(self, job_id: str, after_seq: int, limit: int) -> list[StoredEvent]:
        """Lines after the position."""
        return await self.page(LogQuery(job_id), after_seq, limit)
