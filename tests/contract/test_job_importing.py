"""What every `ImportStore` must do (S7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from services.job.adapters.postgres.imports import PostgresImports
from services.job.api.codec import event_payload
from services.job.application.importing.records import OlderJob, read
from services.job.application.importing.use_case import ImportStore
from services.job.domain.job import Job
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.fakes.job_importing import MemoryImports

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(params=["postgres", "memory"])
async def store(request: pytest.FixtureRequest, postgres: Callable[[], str]) -> AsyncIterator[ImportStore]:
    if request.param == "memory":
        yield MemoryImports()
        return
    url = postgres()
    await stack.migrate("job", url)
    engine = create_engine(url, pool_size=2)
    yield PostgresImports(engine, event_payload)
    await engine.dispose()


def job(older_id: str, owner: str = "ada") -> Job:
    fields = {"user_id": owner, "status": "failed", "topic": "映画", "config": '{"a": [1, null, 2.5]}'}
    return read(OlderJob(older_id, fields), NOW, {}).job


async def test_S7_jobs_are_stored_once(store: ImportStore) -> None:
    first, second, third = job(new_id()), job(new_id()), job(new_id())
    assert await store.add([]) == {}
    assert await store.add([first, second]) == {first.job_id: None, second.job_id: None}
    assert await store.add([second, third]) == {second.job_id: "ada", third.job_id: None}
    asked = [first.job_id, third.job_id, new_id()]
    assert await store.owners(asked) == {first.job_id: "ada", third.job_id: "ada"}


async def test_S7_an_id_that_is_taken_names_its_owner(store: ImportStore) -> None:
    taken = new_id()
    await store.add([job(taken, "eve")])
    assert await store.add([job(taken)]) == {taken: "eve"}
    assert await store.owners([taken]) == {taken: "eve"}


async def test_S7_pages_of_any_size(store: ImportStore) -> None:
    jobs = [job(new_id()) for _ in range(900)]  # more values than Postgres takes in one statement
    assert set((await store.add(jobs)).values()) == {None}
    assert len(await store.owners([each.job_id for each in jobs])) == 900
