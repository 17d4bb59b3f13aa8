"""`CopyJournal` on Postgres."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from services.storage.adapters.postgres.repository import is_in_state
from services.storage.adapters.postgres.tables import object_copies, objects
from services.storage.domain.objects import ObjectState, StoredObject


class PostgresCopyJournal:
    """See `CopyJournal`. A note goes with its object's row."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def verified(self, target: str, object_ids: Sequence[str]) -> frozenset[str]:
        """See `CopyJournal.verified`."""
        statement = sa.select(object_copies.c.object_id).where(
            object_copies.c.target == target, object_copies.c.object_id.in_(object_ids)
        )
        async with self._engine.connect() as connection:
            return frozenset(await connection.scalars(statement))

    async def note(self, target: str, stored: StoredObject) -> bool:
        """See `CopyJournal.note`."""
        committed = sa.select(objects.c.object_id, sa.literal(target), sa.func.now()).where(
            objects.c.object_id == stored.object_id, is_in_state(ObjectState.COMMITTED)
        )
        statement = (
            postgresql.insert(object_copies)
            .from_select(["object_id", "target", "verified_at"], committed)
            .on_conflict_do_update(
                index_elements=[object_copies.c.object_id, object_copies.c.target],
                set_={"verified_at": sa.func.now()},
            )
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(statement)).rowcount == 1
