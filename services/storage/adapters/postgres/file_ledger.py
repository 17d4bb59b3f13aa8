"""`FileLedger` on Postgres."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.storage.adapters.postgres.repository import is_in_state, is_kind, to_object, values_of
from services.storage.adapters.postgres.tables import objects
from services.storage.domain.files import FilePlan, FileUsage, check_room
from services.storage.domain.objects import ArtifactKind, Bucket, ObjectState, StoredObject

_PENDING = is_in_state(ObjectState.PENDING)
_COMMITTED = is_in_state(ObjectState.COMMITTED)
_COUNTS = sa.and_(sa.or_(is_kind(ArtifactKind.FILE), is_kind(ArtifactKind.FILE_UPLOAD)), sa.or_(_PENDING, _COMMITTED))
"""The condition of a partial index."""


class PostgresFileLedger:
    """See `FileLedger`. Reservations of one owner wait for each other, on an advisory lock that ends with them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def reserve(self, pending: StoredObject, plan: FilePlan) -> None:
        """See `FileLedger.reserve`."""
        owner_id = pending.placement.owner_id
        lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"t2m files of {owner_id}", 0))
        async with self._engine.begin() as connection:
            await connection.execute(sa.select(lock))
            check_room(await _usage(connection, owner_id), pending.size_bytes, plan)
            await connection.execute(sa.insert(objects).values(values_of(pending)))

    async def usage(self, owner_id: str) -> FileUsage:
        """See `FileLedger.usage`."""
        async with self._engine.connect() as connection:
            return await _usage(connection, owner_id)

    async def release(self, reservation: StoredObject) -> None:
        """See `FileLedger.release`."""
        mine = objects.c.owner_id == reservation.placement.owner_id
        named = objects.c.object_id == reservation.object_id
        async with self._engine.begin() as connection:
            await connection.execute(sa.delete(objects).where(named, mine, is_kind(ArtifactKind.FILE_UPLOAD), _PENDING))

    async def arriving(self, owner_id: str, upload_id: str) -> StoredObject | None:
        """See `FileLedger.arriving`. Parts that pass through the service announce no checksum."""
        statement = (
            sa.select(objects)
            .where(objects.c.owner_id == owner_id, objects.c.job_id == upload_id, objects.c.sha256 != "")
            .where(is_kind(ArtifactKind.FILE_PART), _PENDING)
            .order_by(objects.c.object_id.desc())
            .limit(1)
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else to_object(row)

    async def expire(self, created_before: datetime, now: datetime, limit: int) -> int:
        """See `FileLedger.expire`; parts by the index of the temp bucket's rows, reservations by that of pending."""
        old = objects.c.created_at < created_before
        in_temp = objects.c.bucket == sa.literal(Bucket.TEMP.value, sa.Text, literal_execute=True)
        parts = sa.and_(is_kind(ArtifactKind.FILE_PART), in_temp, _COMMITTED)
        reservations = sa.and_(is_kind(ArtifactKind.FILE_UPLOAD), _PENDING)
        async with self._engine.begin() as connection:
            return sum([await _end(connection, sa.and_(each, old), now, limit) for each in (parts, reservations)])


async def _usage(connection: AsyncConnection, owner_id: str) -> FileUsage:
    files = (
        sa.select(sa.func.max(objects.c.size_bytes).label("size_bytes"))
        .where(objects.c.owner_id == owner_id, _COUNTS)
        .group_by(objects.c.request_id)
        .subquery()
    )
    total = sa.func.coalesce(sa.func.sum(files.c.size_bytes), 0)
    row = (await connection.execute(sa.select(sa.func.count(), total).select_from(files))).one()
    return FileUsage(int(row[0]), int(row[1]))


async def _end(connection: AsyncConnection, due: sa.ColumnElement[bool], now: datetime, limit: int) -> int:
    """Mark rows deleted; those that another sweep holds are left to it."""
    chosen = (
        sa.select(objects.c.object_id)
        .where(due)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
        .prefix_with("MATERIALIZED")
    )
    statement = (
        sa.update(objects)
        .where(objects.c.object_id.in_(sa.select(chosen.c.object_id)), due)
        .values(state=ObjectState.DELETED.value, deleted_at=now)
    )
    return (await connection.execute(statement)).rowcount
