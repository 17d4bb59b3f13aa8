"""`ObjectRepository` on Postgres. Every method is one statement in a transaction of its own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.storage.adapters.postgres.tables import COMMITTED_REQUEST_INDEX, objects
from services.storage.application.ports import ObjectFilter
from services.storage.domain.errors import WriteSuperseded
from services.storage.domain.objects import (
    ArtifactKind,
    Bucket,
    ObjectState,
    Placement,
    StoredObject,
)


def is_in_state(state: ObjectState) -> sa.ColumnElement[bool]:
    """Inlined, not a parameter: only so does a prepared statement match the partial indexes."""
    return objects.c.state == sa.literal(state.value, sa.Text, literal_execute=True)


def is_kind(kind: ArtifactKind) -> sa.ColumnElement[bool]:
    """Inlined for the same reason."""
    return objects.c.kind == sa.literal(kind.value, sa.Text, literal_execute=True)


_PENDING = is_in_state(ObjectState.PENDING)
_COMMITTED = is_in_state(ObjectState.COMMITTED)
_DELETED = is_in_state(ObjectState.DELETED)


class PostgresObjectRepository:
    """See `ObjectRepository`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, pending: StoredObject) -> None:
        """See `ObjectRepository.add`."""
        async with self._engine.begin() as connection:
            await connection.execute(sa.insert(objects).values(values_of(pending)))

    async def commit(self, committed: StoredObject) -> bool:
        """See `ObjectRepository.commit`."""
        statement = (
            sa.update(objects)
            .where(_named(committed.object_id, committed.placement.owner_id), _PENDING)
            .values(
                state=committed.state.value,
                content_type=committed.content_type,
                size_bytes=committed.size_bytes,
                sha256=committed.sha256,
                version=committed.version,
                committed_at=committed.committed_at,
            )
        )
        try:
            async with self._engine.begin() as connection:
                result = await connection.execute(statement)
        except IntegrityError as exc:
            if COMMITTED_REQUEST_INDEX in str(exc.orig):
                return False
            raise
        if result.rowcount != 1:
            raise WriteSuperseded("the write took so long that it was given up as abandoned")
        return True

    async def find_written(self, owner_id: str, request_id: str) -> StoredObject | None:
        """See `ObjectRepository.find_written`."""
        return await self._one(
            sa.select(objects).where(objects.c.owner_id == owner_id, objects.c.request_id == request_id, _COMMITTED)
        )

    async def find(self, object_id: str, owner_id: str | None) -> StoredObject | None:
        """See `ObjectRepository.find`."""
        if not _is_uuid(object_id):
            return None
        return await self._one(sa.select(objects).where(_named(object_id, owner_id), _COMMITTED))

    async def find_pending(self, object_id: str, owner_id: str) -> StoredObject | None:
        """See `ObjectRepository.find_pending`."""
        if not _is_uuid(object_id):
            return None
        return await self._one(sa.select(objects).where(_named(object_id, owner_id), _PENDING))

    async def page(self, wanted: ObjectFilter, after: str | None, limit: int) -> Sequence[StoredObject]:
        """See `ObjectRepository.page`; served by an index on owner (and job) and object id."""
        statement = sa.select(objects).where(objects.c.owner_id == wanted.owner_id, _COMMITTED)
        if wanted.job_id is not None:
            statement = statement.where(objects.c.job_id == wanted.job_id)
        if wanted.kind is not None:
            statement = statement.where(is_kind(wanted.kind))
        return await self._keyset(statement, after, limit)

    async def mark_deleted(self, object_id: str, owner_id: str | None, now: datetime) -> StoredObject | None:
        """See `ObjectRepository.mark_deleted`."""
        if not _is_uuid(object_id):
            return None
        statement = _delete_where(_named(object_id, owner_id), _COMMITTED, now=now)
        return await self._one(statement.returning(objects))

    async def mark_job_deleted(
        self, owner_id: str, job_id: str, kinds: frozenset[ArtifactKind], now: datetime
    ) -> Sequence[StoredObject]:
        """See `ObjectRepository.mark_job_deleted`."""
        mine = [objects.c.owner_id == owner_id, objects.c.job_id == job_id, sa.or_(_PENDING, _COMMITTED)]
        if kinds:
            mine.append(objects.c.kind.in_(sorted(kind.value for kind in kinds)))
        before = sa.select(objects).where(*mine).with_for_update().cte("before").prefix_with("MATERIALIZED")
        gone = _delete_where(objects.c.object_id.in_(sa.select(before.c.object_id)), now=now).cte("gone")
        async with self._engine.begin() as connection:
            rows = await connection.execute(sa.select(before).add_cte(gone).order_by(before.c.object_id))
            return [to_object(row) for row in rows]

    async def abandon(self, object_id: str, owner_id: str, now: datetime) -> bool:
        """See `ObjectRepository.abandon`."""
        async with self._engine.begin() as connection:
            result = await connection.execute(_delete_where(_named(object_id, owner_id), _PENDING, now=now))
        return result.rowcount == 1

    async def abandon_stale(self, created_before: datetime, now: datetime, limit: int) -> int:
        """See `ObjectRepository.abandon_stale`. Rows that another sweep holds are left to it."""
        stale = (
            sa.select(objects.c.object_id)
            .where(_PENDING, objects.c.created_at < created_before, sa.not_(is_kind(ArtifactKind.FILE_UPLOAD)))
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("stale")
            # A plain sub-query may be run once per row by the planner, and then limits nothing.
            .prefix_with("MATERIALIZED")
        )
        statement = _delete_where(objects.c.object_id.in_(sa.select(stale.c.object_id)), _PENDING, now=now)
        async with self._engine.begin() as connection:
            result = await connection.execute(statement)
        return result.rowcount

    async def deleted(self, after: str | None, limit: int) -> Sequence[StoredObject]:
        """See `ObjectRepository.deleted`."""
        return await self._keyset(sa.select(objects).where(_DELETED), after, limit)

    async def purge(self, object_id: str, owner_id: str) -> None:
        """See `ObjectRepository.purge`."""
        async with self._engine.begin() as connection:
            await connection.execute(sa.delete(objects).where(_named(object_id, owner_id), _DELETED))

    async def _keyset(self, statement: sa.Select[Any], after: str | None, limit: int) -> Sequence[StoredObject]:
        if after is not None:
            statement = statement.where(objects.c.object_id > after)
        async with self._engine.connect() as connection:
            rows = await connection.execute(statement.order_by(objects.c.object_id).limit(limit))
            return [to_object(row) for row in rows]

    async def _one(self, statement: sa.Select[Any] | Any) -> StoredObject | None:
        async with self._engine.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else to_object(row)


def _named(object_id: str, owner_id: str | None) -> sa.ColumnElement[bool]:
    condition = objects.c.object_id == object_id
    return condition if owner_id is None else sa.and_(condition, objects.c.owner_id == owner_id)


def _delete_where(*conditions: sa.ColumnElement[bool], now: datetime) -> sa.Update:
    return sa.update(objects).where(*conditions).values(state=ObjectState.DELETED.value, deleted_at=now)


def _is_uuid(text: str) -> bool:
    """Other ids cannot exist; asking Postgres for one would be an error rather than no row."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def values_of(stored: StoredObject) -> dict[str, Any]:
    """The columns of an object's row."""
    placement = stored.placement
    return {
        "object_id": stored.object_id,
        "request_id": stored.request_id,
        "owner_id": placement.owner_id,
        "job_id": placement.job_id,
        "bucket": placement.bucket.value,
        "key": stored.key,
        "kind": placement.kind.value,
        "scene_index": placement.scene_index,
        "fence": placement.fence,
        "content_type": stored.content_type,
        "filename": stored.filename,
        "state": stored.state.value,
        "size_bytes": stored.size_bytes,
        "sha256": stored.sha256,
        "version": stored.version,
        "created_at": stored.created_at,
        "committed_at": stored.committed_at,
    }


def to_object(row: sa.Row[Any]) -> StoredObject:
    """The object of a row of the table."""
    return StoredObject(
        object_id=row.object_id,
        request_id=row.request_id,
        placement=Placement(
            owner_id=row.owner_id,
            job_id=row.job_id,
            bucket=Bucket(row.bucket),
            kind=ArtifactKind(row.kind),
            scene_index=row.scene_index,
            fence=row.fence,
        ),
        key=row.key,
        content_type=row.content_type,
        filename=row.filename,
        created_at=row.created_at,
        state=ObjectState(row.state),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        version=row.version,
        committed_at=row.committed_at,
    )
