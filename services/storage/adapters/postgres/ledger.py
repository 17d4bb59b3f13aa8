"""`ObjectLedger` on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.storage.adapters.postgres.repository import is_in_state, to_object
from services.storage.adapters.postgres.tables import objects
from services.storage.application.inventory import Totals
from services.storage.domain.objects import Bucket, ObjectState, StoredObject

_COMMITTED = is_in_state(ObjectState.COMMITTED)


class PostgresObjectLedger:
    """See `ObjectLedger`. Every method is one statement in a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def states(self, bucket: Bucket, keys: Sequence[str]) -> Mapping[str, ObjectState]:
        """See `ObjectLedger.states`; served by the unique index on bucket and key."""
        wanted = sa.any_(sa.bindparam("keys", list(keys), sa.ARRAY(sa.Text)))
        statement = sa.select(objects.c.key, objects.c.state).where(
            objects.c.bucket == bucket.value, objects.c.key == wanted
        )
        async with self._engine.connect() as connection:
            return {row.key: ObjectState(row.state) for row in await connection.execute(statement)}

    async def committed(
        self, after: str | None, limit: int, *, committed_before: datetime | None = None
    ) -> Sequence[StoredObject]:
        """See `ObjectLedger.committed`; along the primary key."""
        statement = sa.select(objects).where(_COMMITTED)
        if after is not None:
            statement = statement.where(objects.c.object_id > after)
        if committed_before is not None:
            statement = statement.where(objects.c.committed_at <= committed_before)
        async with self._engine.connect() as connection:
            rows = await connection.execute(statement.order_by(objects.c.object_id).limit(limit))
            return [to_object(row) for row in rows]

    async def totals(self) -> Totals:
        """See `ObjectLedger.totals`; reads every row once."""
        size = sa.func.coalesce(sa.func.sum(objects.c.size_bytes), 0)
        async with self._engine.connect() as connection:
            row = (await connection.execute(sa.select(sa.func.count(), size).where(_COMMITTED))).one()
        return Totals(int(row[0]), int(row[1]))

    async def expire(self, bucket: Bucket, created_before: datetime, now: datetime, limit: int) -> int:
        """See `ObjectLedger.expire`; served by an index on the temp bucket's rows."""
        in_bucket = objects.c.bucket == sa.literal(bucket.value, sa.Text, literal_execute=True)
        due = (
            sa.select(objects.c.object_id)
            .where(in_bucket, _COMMITTED, objects.c.created_at < created_before)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
            .prefix_with("MATERIALIZED")
        )
        statement = (
            sa.update(objects)
            .where(objects.c.object_id.in_(sa.select(due.c.object_id)), _COMMITTED)
            .values(state=ObjectState.DELETED.value, deleted_at=now)
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(statement)).rowcount
