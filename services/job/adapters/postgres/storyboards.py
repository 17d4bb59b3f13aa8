"""Ordered storyboards in Postgres, kept under the hash of their bytes."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.tables import JOBS, STORYBOARDS
from services.job.application.storyboards import Storyboard


class PostgresStoryboards:
    """The `StoryboardStore` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def keep(self, owner_id: str, storyboard: Storyboard, now: datetime) -> str:
        """Store it, or note that it was ordered again."""
        name = sha256(storyboard.data).hexdigest()
        row = {"owner_id": owner_id, "name": name, "title": storyboard.title, "data": storyboard.data}
        statement = insert(STORYBOARDS).values(**row, ordered_at=now)
        again = statement.on_conflict_do_update(index_elements=["owner_id", "name"], set_={"ordered_at": now})
        async with self._single.connect() as connection:
            await connection.execute(again)
        return name

    async def load(self, owner_id: str, name: str) -> Storyboard | None:
        """The storyboard of this name."""
        query = select(STORYBOARDS.c.data, STORYBOARDS.c.title).where(
            STORYBOARDS.c.owner_id == owner_id, STORYBOARDS.c.name == name
        )
        async with self._single.connect() as connection:
            row = (await connection.execute(query)).first()
        return Storyboard(bytes(row.data), row.title) if row else None

    async def purge(self, before: datetime) -> int:
        """Forget what no job refers to."""
        used = exists().where(JOBS.c.owner_id == STORYBOARDS.c.owner_id, JOBS.c.storyboard == STORYBOARDS.c.name)
        async with self._single.connect() as connection:
            done = await connection.execute(delete(STORYBOARDS).where(STORYBOARDS.c.ordered_at < before, ~used))
        return done.rowcount
