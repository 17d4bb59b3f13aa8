"""All rows of one owner: read for an export, deleted by an erasure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import orjson
from sqlalchemy import TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.batch_tables import BATCHES
from services.job.adapters.postgres.personal_data import PERSONAL, Fate, PersonalTable
from services.job.adapters.postgres.tables import JOBS
from services.job.application.erasing import LeftJob
from services.job.domain.values import JobStatus

_PAGE = 200

Show = Callable[[bytes], Mapping[str, Any]]
"""A serialised message as JSON."""


class PostgresOwnedRecords:
    """`OwnedRecords` and `ErasedOwners` over Postgres."""

    def __init__(self, engine: AsyncEngine, shows: Mapping[str, Show] | None = None) -> None:
        """`shows`: by table, how its message is shown."""
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._shows = shows or {}

    def members(self) -> list[str]:
        """Paths of what an export has from here."""
        return [each.member for each in PERSONAL if each.member]

    async def lines(self, member: str, owner_id: str) -> AsyncGenerator[bytes]:
        """The rows of a member as JSON, one a line; a page of rows is in memory at a time."""
        part = next(each for each in PERSONAL if each.member == member)
        skip = 0
        while True:
            async with self._single.connect() as connection:
                found = await connection.execute(_rows(part), {"owner_id": owner_id, "most": _PAGE, "skip": skip})
                rows = found.all()
            for row in rows:
                shown = dict(row[0])
                if part.message:
                    shown[part.message] = self._shows[part.table](bytes(row[1]))
                yield orjson.dumps(shown) + b"\n"
            if len(rows) < _PAGE:
                return
            skip += _PAGE

    async def forget_receivers(self, owner_id: str) -> None:
        """Webhooks and what was, or is to be, sent to them."""
        await self._delete(owner_id, Fate.AT_ONCE)

    async def jobs(self, owner_id: str, after: str, limit: int) -> list[LeftJob]:
        """Deleted or not, along the primary key."""
        statement = select(JOBS.c.job_id, JOBS.c.status, JOBS.c.deleted_at, JOBS.c.completed_at).where(
            JOBS.c.owner_id == owner_id
        )
        if after:
            statement = statement.where(JOBS.c.job_id > after)
        async with self._single.connect() as connection:
            rows = await connection.execute(statement.order_by(JOBS.c.job_id).limit(limit))
            return [
                LeftJob(str(row.job_id), JobStatus(row.status), row.deleted_at is not None, row.completed_at)
                for row in rows
            ]

    async def batches(self, owner_id: str) -> list[str]:
        """Ids of all batches."""
        async with self._single.connect() as connection:
            rows = await connection.execute(select(BATCHES.c.batch_id).where(BATCHES.c.owner_id == owner_id))
            return [str(batch_id) for batch_id in rows.scalars()]

    async def forget(self, owner_id: str) -> bool:
        """Everything that no job refers to any more. False, and nothing done, when there is a job again."""
        async with self._engine.begin() as connection:
            left = select(JOBS.c.job_id).where(JOBS.c.owner_id == owner_id).limit(1)
            if (await connection.execute(left)).first() is not None:
                return False
            for each in PERSONAL:
                if each.fate is Fate.AT_THE_END:
                    await connection.execute(_deletion(each), {"owner_id": owner_id})
        return True

    async def _delete(self, owner_id: str, fate: Fate) -> None:
        async with self._engine.begin() as connection:
            for each in PERSONAL:
                if each.fate is fate:
                    await connection.execute(_deletion(each), {"owner_id": owner_id})


def _rows(part: PersonalTable) -> TextClause:
    """Every piece comes from `PERSONAL`, none from a caller."""
    hidden = "".join(f" - '{column}'" for column in (*part.hidden, part.message) if column)
    message = f", t.{part.message}" if part.message else ""
    return text(
        f"SELECT to_jsonb(t){hidden}{message} FROM {part.table} t "  # noqa: S608
        f"WHERE {part.rows} ORDER BY {part.order}, t.ctid LIMIT :most OFFSET :skip"
    )


def _deletion(part: PersonalTable) -> TextClause:
    return text(f"DELETE FROM {part.table} t WHERE {part.rows}")  # noqa: S608
