"""How Postgres reads the lists: by an index in the order of the list, without a sort, whatever the filter (J2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.job_lists import page_statement
from services.job.application.ports import JobQuery, PageKey
from services.job.domain.values import JobStatus, Priority
from services.runtime.db import create_engine
from tests import stack
from tests.bench.lists.seed import OWNER, USUAL_OWNER, seed

ROWS = 100_000
PAGE = 21
MIDDLE = PageKey(datetime(2026, 1, 5, tzinfo=UTC), "7fffffff-0000-4000-8000-000000000000")
"""Half way into the rows that `seed` makes, seven seconds apart."""


@pytest.fixture(scope="module")
def seeded() -> str:
    """A database with many jobs."""
    url = stack.postgres_url("list_plans")

    async def make() -> None:
        await stack.migrate("job", url)
        engine = create_engine(url)
        await seed(engine, ROWS)
        await engine.dispose()

    asyncio.run(make())
    return url


@pytest_asyncio.fixture
async def engine(seeded: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_engine(seeded)
    yield engine
    await engine.dispose()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plan_of(engine: AsyncEngine, query: JobQuery, after: PageKey | None) -> list[dict[str, Any]]:
    """The nodes of the plan with which a page is really read."""
    statement = page_statement(query, after, 0, PAGE)
    compiled = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]
    async with engine.connect() as connection:
        answer = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}")
        raw = answer.scalar_one()
    [root] = json.loads(raw) if isinstance(raw, str) else raw
    return list(nodes(root["Plan"]))


QUERIES = {
    "owner": (JobQuery(USUAL_OWNER), "ix_jobs_owner_created"),
    "owner by change": (JobQuery(USUAL_OWNER, by_update=True), "ix_jobs_owner_changed"),
    "status": (JobQuery(USUAL_OWNER, frozenset({JobStatus.FAILED})), "ix_jobs_owner_status_created"),
    "priority": (JobQuery(USUAL_OWNER, priority=Priority.HIGH), "ix_jobs_owner_priority_created"),
    "created before": (JobQuery(USUAL_OWNER, created_before=MIDDLE.moment), "ix_jobs_owner_created"),
    "created after": (JobQuery(USUAL_OWNER, created_after=MIDDLE.moment), "ix_jobs_owner_created"),
    "everybody": (JobQuery(None), "ix_jobs_created"),
    "everybody by change": (JobQuery(None, by_update=True), "ix_jobs_changed"),
    "everybody's status": (JobQuery(None, frozenset({JobStatus.FAILED})), "ix_jobs_status_created"),
}


@pytest.mark.parametrize("after", [None, MIDDLE], ids=["first page", "middle page"])
@pytest.mark.parametrize("name", QUERIES)
async def test_J2_a_page_walks_the_index_of_its_filter(engine: AsyncEngine, name: str, after: PageKey | None) -> None:
    """J2: one index, no sort, and no more rows touched than a page has."""
    query, index = QUERIES[name]
    plan = await plan_of(engine, query, after)
    assert [node["Index Name"] for node in plan if "Index Name" in node] == [index]
    assert not [node["Node Type"] for node in plan if node["Node Type"] in {"Sort", "Seq Scan", "Bitmap Heap Scan"}]
    assert sum(node.get("Rows Removed by Filter", 0) for node in plan) == 0


@pytest.mark.parametrize("after", [None, MIDDLE], ids=["first page", "middle page"])
async def test_J2_an_owner_of_half_the_table_costs_no_more(engine: AsyncEngine, after: PageKey | None) -> None:
    """J2: whichever index is taken, a page of an owner with ten thousand jobs touches a few pages of rows."""
    plan = await plan_of(engine, JobQuery(OWNER), after)
    assert {node["Node Type"] for node in plan} <= {"Limit", "Index Scan"}
    assert sum(node.get("Rows Removed by Filter", 0) for node in plan) <= 2 * PAGE


async def test_J2_a_rare_status_is_not_searched_for(engine: AsyncEngine) -> None:
    """J2: the few jobs that wait are found by an index of their status, never among the others."""
    plan = await plan_of(engine, JobQuery(USUAL_OWNER, frozenset({JobStatus.QUEUED})), None)
    assert {node["Index Name"] for node in plan if "Index Name" in node} < {
        "ix_jobs_owner_status_created",
        "ix_jobs_queue_owner",
    }
    assert sum(node.get("Rows Removed by Filter", 0) for node in plan) == 0


async def test_J2_several_statuses_are_walked_one_by_one(engine: AsyncEngine) -> None:
    """J2: each status by the index and no further than a page; only their pages are sorted."""
    query = JobQuery(USUAL_OWNER, frozenset({JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUEUED}))
    plan = await plan_of(engine, query, MIDDLE)
    walks = [node for node in plan if "Index Name" in node]
    assert {node["Index Name"] for node in walks} == {"ix_jobs_owner_status_created"}
    assert len(walks) == 3
    assert all(node["Actual Rows"] <= PAGE for node in plan if node["Node Type"] != "Append")
    assert "Seq Scan" not in {node["Node Type"] for node in plan}


async def test_J2_a_batch_is_found_by_its_index(engine: AsyncEngine) -> None:
    """J2: the few jobs of a batch are found, then sorted."""
    plan = await plan_of(engine, JobQuery(USUAL_OWNER, batch_id="batch-7"), None)
    assert "ix_jobs_batch" in {node.get("Index Name") for node in plan}
    assert "Seq Scan" not in {node["Node Type"] for node in plan}


async def test_J2_a_text_is_looked_for_along_the_owners_index(engine: AsyncEngine) -> None:
    """J2: a text in the topic stops at a page of hits, and never leaves the owner's jobs."""
    plan = await plan_of(engine, JobQuery(USUAL_OWNER, topic="SQUARES and"), None)
    [walk] = [node for node in plan if "Index Name" in node]
    assert walk["Index Name"] == "ix_jobs_owner_created"
    assert walk["Actual Rows"] == PAGE
