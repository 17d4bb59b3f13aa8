"""People of other issuers in Postgres."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    Table,
    Text,
    Uuid,
    delete,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.tables import META, USERS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.identity import Identity

_TIME = DateTime(timezone=True)

USER_IDENTITIES = Table(
    "user_identities",
    META,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Uuid(as_uuid=True), ForeignKey(USERS.c.user_id, ondelete="CASCADE"), nullable=False),
    Column("changed_at", _TIME, nullable=False),
    Column("linked", Boolean, nullable=False),
    Column("created_at", _TIME, nullable=False),
)
FORGOTTEN_IDENTITIES = Table(
    "forgotten_identities",
    META,
    Column("digest", LargeBinary, primary_key=True),
    Column("forgotten_at", _TIME, nullable=False),
)
_T = USER_IDENTITIES.c


class PostgresIdentities:
    """`IdentityRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, issuer: str, subject: str) -> Identity | None:
        """The person, if known."""
        statement = select(USER_IDENTITIES).where(_T.issuer == issuer, _T.subject == subject)
        row = (await self._connection.execute(statement)).first()
        if row is None:
            return None
        return Identity(row.issuer, row.subject, str(row.user_id), row.changed_at, row.linked)

    async def is_known_elsewhere(self, user_id: str) -> bool:
        """Whether there is any."""
        theirs = exists().where(_T.user_id == as_uuid(user_id))
        return bool((await self._connection.execute(select(theirs))).scalar_one())

    async def add(self, identity: Identity, now: datetime) -> bool:
        """Remember who they are; the primary key decides between two who do at once."""
        statement = (
            pg_insert(USER_IDENTITIES)
            .values(
                issuer=identity.issuer,
                subject=identity.subject,
                user_id=UUID(identity.user_id),
                changed_at=identity.changed_at,
                linked=identity.linked,
                created_at=now,
            )
            .on_conflict_do_nothing()
            .returning(_T.user_id)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def advance(self, issuer: str, subject: str, issued_at: datetime) -> bool:
        """Move the mark in one conditional UPDATE, whose row lock makes others wait."""
        statement = (
            update(USER_IDENTITIES)
            .where(_T.issuer == issuer, _T.subject == subject, _T.changed_at < issued_at)
            .values(changed_at=issued_at)
            .returning(_T.user_id)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def forget(self, user_id: str, now: datetime) -> None:
        """Remove the user's identities and keep their digests."""
        theirs = _T.user_id == as_uuid(user_id)
        digest = func.sha256(func.convert_to(_T.issuer + "\n" + _T.subject, "UTF8"))
        remembered = pg_insert(FORGOTTEN_IDENTITIES).from_select(
            ["digest", "forgotten_at"], select(digest, literal(now, _TIME)).where(theirs)
        )
        again = remembered.on_conflict_do_update(index_elements=["digest"], set_={"forgotten_at": now})
        await self._connection.execute(again)
        await self._connection.execute(delete(USER_IDENTITIES).where(theirs))

    async def forgotten_at(self, issuer: str, subject: str) -> datetime | None:
        """When the person was forgotten."""
        digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).digest()
        statement = select(FORGOTTEN_IDENTITIES.c.forgotten_at).where(FORGOTTEN_IDENTITIES.c.digest == digest)
        moment: datetime | None = (await self._connection.execute(statement)).scalar()
        return moment

    async def prune(self, before: datetime) -> int:
        """Drop old digests."""
        statement = delete(FORGOTTEN_IDENTITIES).where(FORGOTTEN_IDENTITIES.c.forgotten_at < before)
        return (await self._connection.execute(statement)).rowcount
