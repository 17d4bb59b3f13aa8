"""The statements behind the list of jobs (J2).

A page costs the same at any depth: every statement walks an index in the order of the list and stops after a page.
Where several statuses are wanted, each is walked by itself and the walks are merged. A text in the topic is the
exception: it is looked for along the owner's index, so it costs the more the longer the list and the rarer the text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, select, tuple_, union_all

from services.job.adapters.postgres.rows import LISTED
from services.job.adapters.postgres.tables import JOBS
from services.job.application.ports import JobQuery, PageKey


def page_statement(query: JobQuery, after: PageKey | None, skip: int, limit: int) -> Select[Any]:
    """At most `limit` rows after the key and after `skip` more."""
    if len(query.statuses) < 2:
        return _ordered(query, after).offset(skip or None).limit(limit)
    walks = [
        _ordered(replace(query, statuses=frozenset({status})), after).limit(skip + limit).subquery().select()
        for status in sorted(query.statuses)
    ]
    merged = union_all(*walks).subquery()
    moment = merged.c.changed_at if query.by_update else merged.c.created_at
    return select(merged).order_by(moment.desc(), merged.c.job_id.desc()).offset(skip or None).limit(limit)


def count_statement(query: JobQuery) -> Select[Any]:
    """How many rows match."""
    return select(func.count()).select_from(JOBS).where(_matches(query))


def _ordered(query: JobQuery, after: PageKey | None) -> Select[Any]:
    moment = JOBS.c.changed_at if query.by_update else JOBS.c.created_at
    statement = select(*LISTED).where(_matches(query))
    if after is not None:
        last = tuple_(literal(after.moment), literal(after.job_id, JOBS.c.job_id.type))
        statement = statement.where(tuple_(moment, JOBS.c.job_id) < last)
    return statement.order_by(moment.desc(), JOBS.c.job_id.desc())


def _matches(query: JobQuery) -> ColumnElement[bool]:
    jobs = JOBS.c
    conditions: list[ColumnElement[bool]] = [jobs.deleted_at.is_(None)]
    if query.owner_id is not None:
        conditions.append(jobs.owner_id == query.owner_id)
    if len(query.statuses) == 1:
        conditions.append(jobs.status == next(iter(query.statuses)).value)
    elif query.statuses:
        conditions.append(jobs.status.in_(sorted(query.statuses)))
    if query.priority is not None:
        conditions.append(jobs.priority == query.priority.value)
    if query.batch_id:
        conditions.append(jobs.batch_id == query.batch_id)
    if query.created_after is not None:
        conditions.append(jobs.created_at >= query.created_after)
    if query.created_before is not None:
        conditions.append(jobs.created_at < query.created_before)
    if query.topic:
        conditions.append(jobs.topic.icontains(query.topic, autoescape=True))
    return and_(*conditions)
