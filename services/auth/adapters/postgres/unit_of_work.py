"""The unit of work: one connection, one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.auth.adapters.postgres.api_keys import PostgresApiKeys
from services.auth.adapters.postgres.attempts import PostgresAttempts
from services.auth.adapters.postgres.audit import PostgresAuditTrail
from services.auth.adapters.postgres.erasures import PostgresErasures
from services.auth.adapters.postgres.identities import PostgresIdentities
from services.auth.adapters.postgres.mails import PostgresMails
from services.auth.adapters.postgres.registrations import PostgresEmailTokens, PostgresRegistrations
from services.auth.adapters.postgres.revocations import PostgresRevocations
from services.auth.adapters.postgres.sessions import PostgresSessions
from services.auth.adapters.postgres.users import PostgresUsers


class PostgresUnit:
    """`UnitOfWork` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.users = PostgresUsers(connection)
        self.sessions = PostgresSessions(connection)
        self.registrations = PostgresRegistrations(connection)
        self.email_tokens = PostgresEmailTokens(connection)
        self.mails = PostgresMails(connection)
        self.attempts = PostgresAttempts(connection)
        self.api_keys = PostgresApiKeys(connection)
        self.identities = PostgresIdentities(connection)
        self.revocations = PostgresRevocations(connection)
        self.audit = PostgresAuditTrail(connection)
        self.erasures = PostgresErasures(connection)

    async def commit(self) -> None:
        """Make everything so far permanent."""
        await self._connection.commit()


def postgres_units(engine: AsyncEngine) -> Callable[[], AbstractAsyncContextManager[PostgresUnit]]:
    """Opens units of work on the engine's pool."""

    @asynccontextmanager
    async def unit() -> AsyncIterator[PostgresUnit]:
        # Closing a connection rolls back what was not committed.
        async with engine.connect() as connection:
            yield PostgresUnit(connection)

    return unit
