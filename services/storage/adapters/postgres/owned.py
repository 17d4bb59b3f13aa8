"""`OwnedObjects` on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.storage.adapters.postgres.repository import is_in_state, to_object
from services.storage.adapters.postgres.tables import erased_owners, objects
from services.storage.domain.objects import ObjectState, StoredObject


class PostgresOwnedObjects:
    """See `OwnedObjects`. Every method is one statement, served by the index on owner and id."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def condemn(self, owner_id: str, now: datetime, limit: int) -> int:
        """See `OwnedObjects.condemn`."""
        some = (
            sa.select(objects.c.object_id)
            .where(objects.c.owner_id == owner_id, sa.not_(is_in_state(ObjectState.DELETED)))
            .limit(limit)
            .cte("some")
            .prefix_with("MATERIALIZED")
        )
        statement = (
            sa.update(objects)
            .where(objects.c.object_id.in_(sa.select(some.c.object_id)))
            .values(state=ObjectState.DELETED.value, deleted_at=now)
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(statement)).rowcount

    async def note_erased(self, owner_id: str, now: datetime) -> None:
        """See `OwnedObjects.note_erased`."""
        statement = insert(erased_owners).values(owner_id=owner_id, erased_at=now).on_conflict_do_nothing()
        async with self._engine.begin() as connection:
            await connection.execute(statement)

    async def erased(self, since: datetime) -> list[str]:
        """See `OwnedObjects.erased`."""
        async with self._engine.begin() as connection:
            await connection.execute(sa.delete(erased_owners).where(erased_owners.c.erased_at < since))
            return list((await connection.execute(sa.select(erased_owners.c.owner_id))).scalars())

    async def condemned(self, owner_id: str, after: str | None, limit: int) -> Sequence[StoredObject]:
        """See `OwnedObjects.condemned`."""
        statement = sa.select(objects).where(objects.c.owner_id == owner_id, is_in_state(ObjectState.DELETED))
        if after is not None:
            statement = statement.where(objects.c.object_id > after)
        async with self._engine.connect() as connection:
            rows = await connection.execute(statement.order_by(objects.c.object_id).limit(limit))
            return [to_object(row) for row in rows]
