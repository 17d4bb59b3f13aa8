"""Logs of jobs on the fake and on Postgres (J4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import pytest

from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.logs import PostgresLogs
from services.job.adapters.postgres.writer import JobWriter
from services.job.api.codec import event_payload
from services.job.api.log_servicer import line_payload
from services.job.application.logs import LogQuery, LogStore
from services.job.application.ports import JobStore
from services.job.domain.job import Job
from services.job.domain.log import Severity
from services.job.domain.order import Order
from services.job.domain.render import LogFact
from services.job.domain.retry import RetryPolicy
from services.job.domain.values import JobStage
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from t2m.job.v1 import log_pb2
from tests import stack
from tests.fakes.job import START, CountingSignal, FakeDatabase, FakeJobs
from tests.fakes.job_logs import FakeLogs

LINES = (
    LogFact(1, Severity.INFO, "attempt 1 at scene 0 began", JobStage.RENDERING, 0, 1),
    LogFact(2, Severity.ERROR, "Traceback", JobStage.RENDERING, 0, 1),
    LogFact(3, Severity.WARNING, "trying again", JobStage.RENDERING, 0, 1),
    LogFact(4, Severity.INFO, "scene 1 is done", JobStage.RENDERING, 1, 1),
    LogFact(5, Severity.INFO, "stored", JobStage.ASSEMBLING, None, 1),
)


@dataclass
class Ports:
    """The store under test, and the jobs whose changes fill it."""

    logs: LogStore
    jobs: JobStore

    async def logged(self) -> str:
        """A job that has logged the lines, and ended."""
        job = Job.accept(new_id(), Order("ada", "T", "C"), START)
        await self.jobs.create(job, None)
        changes: tuple[Callable[[Job], object], ...] = (
            lambda job: job.start_attempt(START),
            lambda job: job.apply(job.render_id, LINES, START, RetryPolicy(), 0.5),
            lambda job: job.cancel(START),
        )
        for change in changes:
            async with self.jobs.change(job.job_id) as locked:
                assert locked is not None
                change(locked)
        return job.job_id


@pytest.fixture(params=["fake", "postgres"])
async def ports(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncGenerator[Ports]:
    if request.param == "fake":
        db = FakeDatabase(event_payload)
        yield Ports(FakeLogs(db, line_payload), FakeJobs(db))
        return
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url)
    writer, logs = JobWriter(event_payload, CountingSignal()), PostgresLogs(engine, line_payload)
    writer.effects.append(logs.store)
    yield Ports(logs, PostgresJobs(engine, writer))
    await engine.dispose()


def entries(payloads: list[bytes]) -> list[log_pb2.JobLogEntry]:
    return [log_pb2.JobLogEvent.FromString(payload).entry for payload in payloads]


async def test_J4_lines_are_kept_in_order_with_where_they_came_from(ports: Ports) -> None:
    """J4: the job's own and its render's, numbered without gaps, stored once, the last one marked."""
    job_id = await ports.logged()
    stored = await ports.logs.history(job_id, 0, 100)
    lines = entries([line.payload for line in stored])
    assert [line.seq for line in stored] == [line.seq for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert [line.message for line in lines] == [
        "attempt 1 began, medium quality",
        *(fact.message for fact in LINES),
        "the job is cancelled",
    ]
    assert [line.last for line in lines] == [False] * 6 + [True]
    assert {line.attempt for line in lines} == {1}
    assert [line.scene_index for line in lines if line.HasField("scene_index")] == [0, 0, 0, 1]
    assert [line.seq for line in await ports.logs.history(job_id, 5, 1)] == [6]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"min_severity": Severity.WARNING}, [3, 4]),
        ({"min_severity": Severity.ERROR}, [3]),
        ({"stage": JobStage.ASSEMBLING}, [6]),
        ({"scene_index": 0}, [2, 3, 4]),
        ({"scene_index": 1, "min_severity": Severity.WARNING}, []),
        ({"attempt": 1}, [1, 2, 3, 4, 5, 6, 7]),
        ({"attempt": 2}, []),
    ],
    ids=str,
)
async def test_J4_lines_are_filtered(ports: Ports, filters: dict[str, object], expected: list[int]) -> None:
    """J4: by severity, stage, scene and attempt, and in pages."""
    job_id = await ports.logged()
    query = LogQuery(job_id, **filters)  # type: ignore[arg-type]
    assert [line.seq for line in await ports.logs.page(query, 0, 100)] == expected
    assert [line.seq for line in await ports.logs.page(query, 0, 1)] == expected[:1]
    if expected:
        assert [line.seq for line in await ports.logs.page(query, expected[0], 100)] == expected[1:]
