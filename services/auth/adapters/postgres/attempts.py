"""Failed logins and known clients in Postgres: they survive restarts, and all replicas count together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.people_tables import KNOWN_CLIENTS, LOGIN_ATTEMPTS
from services.auth.domain.attempts import Attempts

_KEY = LOGIN_ATTEMPTS.c.key


class PostgresAttempts:
    """`AttemptRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def is_known(self, client: bytes, since: datetime) -> bool:
        """Whether it was seen since then."""
        seen = exists().where(KNOWN_CLIENTS.c.key == client, KNOWN_CLIENTS.c.seen_at > since)
        return bool((await self._connection.execute(select(seen))).scalar_one())

    async def remember(self, client: bytes, now: datetime) -> None:
        """Seen now."""
        statement = insert(KNOWN_CLIENTS).values(key=client, seen_at=now)
        seen = {"seen_at": statement.excluded.seen_at}
        await self._connection.execute(statement.on_conflict_do_update(index_elements=[KNOWN_CLIENTS.c.key], set_=seen))

    async def lock(self, keys: Collection[bytes], now: datetime) -> Mapping[bytes, Attempts]:
        """In the order of the keys, so that two calls never wait for each other."""
        ordered = sorted(set(keys))
        new = [{"key": key, "failures": 0, "blocked_until": None, "updated_at": now} for key in ordered]
        await self._connection.execute(insert(LOGIN_ATTEMPTS).values(new).on_conflict_do_nothing())
        statement = select(LOGIN_ATTEMPTS).where(_KEY.in_(ordered)).order_by(_KEY).with_for_update()
        rows = (await self._connection.execute(statement)).all()
        found = {row.key: Attempts(row.failures, row.blocked_until, row.updated_at) for row in rows}
        # One that was purged between the two statements is as good as new.
        return {key: found.get(key) or Attempts(0, None, now) for key in ordered}

    async def store(self, found: Mapping[bytes, Attempts]) -> None:
        """All in one statement."""
        values = [
            {
                "key": key,
                "failures": each.failures,
                "blocked_until": each.blocked_until,
                "updated_at": each.updated_at,
            }
            for key, each in sorted(found.items())
        ]
        statement = insert(LOGIN_ATTEMPTS).values(values)
        columns = ("failures", "blocked_until", "updated_at")
        stored = {name: statement.excluded[name] for name in columns}
        await self._connection.execute(statement.on_conflict_do_update(index_elements=[_KEY], set_=stored))

    async def purge(self, failed_before: datetime, seen_before: datetime) -> int:
        """Of both kinds."""
        failures = delete(LOGIN_ATTEMPTS).where(LOGIN_ATTEMPTS.c.updated_at < failed_before)
        clients = delete(KNOWN_CLIENTS).where(KNOWN_CLIENTS.c.seen_at < seen_before)
        count = (await self._connection.execute(failures)).rowcount
        return count + (await self._connection.execute(clients)).rowcount
