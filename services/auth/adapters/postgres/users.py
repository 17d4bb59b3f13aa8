"""Accounts in Postgres."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.tables import USERS
from services.auth.domain.user import Role, User

_COLUMNS = (
    USERS.c.user_id,
    USERS.c.email,
    USERS.c.display_name,
    USERS.c.role,
    USERS.c.password_hash,
    USERS.c.created_at,
    USERS.c.plan,
)


def as_uuid(text: str) -> UUID | None:
    """The id as Postgres keeps it; None for text that names nothing here (a service's id, for example)."""
    try:
        return UUID(text)
    except ValueError:
        return None


class PostgresUsers:
    """`UserRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, user: User) -> bool:
        """Store a new account; False when the address is taken."""
        statement = (
            insert(USERS)
            .values(
                user_id=UUID(user.user_id),
                email=user.email,
                display_name=user.display_name,
                role=user.role.value,
                password_hash=user.password_hash,
                plan=user.plan,
                created_at=user.created_at,
                updated_at=user.created_at,
            )
            .on_conflict_do_nothing(index_elements=[USERS.c.email])
            .returning(USERS.c.user_id)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def get(self, user_id: str) -> User | None:
        """The account with this id."""
        statement = select(*_COLUMNS).where(USERS.c.user_id == as_uuid(user_id))
        return _user((await self._connection.execute(statement)).first())

    async def find_by_email(self, email: str) -> User | None:
        """The account with this (normalised) address."""
        statement = select(*_COLUMNS).where(USERS.c.email == email)
        return _user((await self._connection.execute(statement)).first())

    async def lock_admins(self) -> frozenset[str]:
        """The ids of all admins, locked in one order, so that two demotions take turns.

        NO KEY UPDATE: admins can log in meanwhile (their sessions' foreign keys need the row too).
        """
        statement = (
            select(USERS.c.user_id)
            .where(USERS.c.role == Role.ADMIN.value)
            .order_by(USERS.c.user_id)
            .with_for_update(key_share=True)
        )
        return frozenset(str(user_id) for user_id in (await self._connection.execute(statement)).scalars())

    async def set_role(self, user_id: str, role: Role, now: datetime) -> User | None:
        """Give the role; the changed account."""
        statement = (
            update(USERS)
            .where(USERS.c.user_id == as_uuid(user_id))
            .values(role=role.value, updated_at=now)
            .returning(*_COLUMNS)
        )
        return _user((await self._connection.execute(statement)).first())

    async def set_plan(self, user_id: str, plan: str, now: datetime) -> User | None:
        """Give the plan; the changed account."""
        statement = (
            update(USERS)
            .where(USERS.c.user_id == as_uuid(user_id))
            .values(plan=plan, updated_at=now)
            .returning(*_COLUMNS)
        )
        return _user((await self._connection.execute(statement)).first())

    async def set_password_hash(self, user_id: str, old: str, new: str, now: datetime) -> None:
        """Replace the hash, unless it is no longer `old`."""
        statement = (
            update(USERS)
            .where(USERS.c.user_id == as_uuid(user_id), USERS.c.password_hash == old)
            .values(password_hash=new, updated_at=now)
        )
        await self._connection.execute(statement)


def _user(row: Row[*tuple[Any, ...]] | None) -> User | None:
    if row is None:
        return None
    return User(
        user_id=str(row.user_id),
        email=row.email,
        display_name=row.display_name,
        role=Role(row.role),
        password_hash=row.password_hash,
        created_at=row.created_at,
        plan=row.plan,
    )
