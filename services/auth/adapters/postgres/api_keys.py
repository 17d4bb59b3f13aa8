"""API keys in Postgres."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.tables import API_KEYS, USERS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.api_key import ApiKey


class PostgresApiKeys:
    """`ApiKeyRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        statement = insert(API_KEYS).values(
            api_key_id=key.api_key_id,
            user_id=UUID(key.user_id),
            name=key.name,
            scopes=list(key.scopes),
            digest=key.digest,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )
        await self._connection.execute(statement)

    async def find(self, api_key_id: str) -> ApiKey | None:
        """The key with this id, whoever owns it."""
        statement = select(API_KEYS).where(API_KEYS.c.api_key_id == api_key_id)
        row = (await self._connection.execute(statement)).first()
        return _key(row) if row is not None else None

    async def page(self, user_id: str, limit: int, after: ApiKey | None = None) -> list[ApiKey]:
        """The user's keys, newest first, from the first one after this one on."""
        own = API_KEYS.c.user_id == as_uuid(user_id)
        statement = select(API_KEYS).where(own).order_by(API_KEYS.c.created_at.desc(), API_KEYS.c.api_key_id)
        if after is not None:
            made, key_id = API_KEYS.c.created_at, API_KEYS.c.api_key_id
            same = and_(made == after.created_at, key_id > after.api_key_id)
            statement = statement.where(or_(made < after.created_at, same))
        statement = statement.limit(limit)
        return [_key(row) for row in await self._connection.execute(statement)]

    async def count_live(self, user_id: str, now: datetime) -> int:
        """How many of the user's keys work, under the lock of the account's row."""
        own = as_uuid(user_id)
        await self._connection.execute(
            select(USERS.c.user_id).where(USERS.c.user_id == own).with_for_update(key_share=True)
        )
        statement = select(func.count()).where(
            API_KEYS.c.user_id == own,
            API_KEYS.c.revoked_at.is_(None),
            or_(API_KEYS.c.expires_at.is_(None), API_KEYS.c.expires_at > now),
        )
        count: int = (await self._connection.execute(statement)).scalar_one()
        return count

    async def touch(self, api_key_id: str, now: datetime) -> None:
        """Note that the key was used."""
        statement = update(API_KEYS).where(API_KEYS.c.api_key_id == api_key_id).values(last_used_at=now)
        await self._connection.execute(statement)

    async def revoke(self, api_key_id: str, user_id: str, now: datetime) -> bool:
        """End the key, if it is the user's; a first revocation stays as it was."""
        statement = (
            update(API_KEYS)
            .where(API_KEYS.c.api_key_id == api_key_id, API_KEYS.c.user_id == as_uuid(user_id))
            .values(revoked_at=func.coalesce(API_KEYS.c.revoked_at, now))
            .returning(API_KEYS.c.api_key_id)
        )
        return (await self._connection.execute(statement)).first() is not None


def _key(row: Row[*tuple[Any, ...]]) -> ApiKey:
    return ApiKey(
        api_key_id=row.api_key_id,
        user_id=str(row.user_id),
        name=row.name,
        scopes=tuple(row.scopes),
        digest=row.digest,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
