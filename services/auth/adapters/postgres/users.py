"""Accounts in Postgres."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.people_tables import USER_PREFERENCES
from services.auth.adapters.postgres.tables import USERS
from services.auth.domain.preferences import Preferences
from services.auth.domain.user import Role, User

_COLUMNS = (
    USERS.c.user_id,
    USERS.c.email,
    USERS.c.display_name,
    USERS.c.role,
    USERS.c.password_hash,
    USERS.c.created_at,
    USERS.c.plan,
    USERS.c.verified_at,
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
                verified_at=user.verified_at,
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

    async def page(self, query: str, role: Role | None, before: str | None, limit: int) -> list[User]:
        """Newest first: ids sort by time."""
        statement = select(*_COLUMNS).order_by(USERS.c.user_id.desc()).limit(limit)
        if query:
            sought = query.lower()
            statement = statement.where(
                or_(
                    USERS.c.email.contains(sought, autoescape=True),
                    func.lower(USERS.c.display_name).contains(sought, autoescape=True),
                )
            )
        if role is not None:
            statement = statement.where(USERS.c.role == role.value)
        if before is not None:
            statement = statement.where(USERS.c.user_id < as_uuid(before))
        rows = (await self._connection.execute(statement)).all()
        return [user for row in rows if (user := _user(row)) is not None]

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

    async def set_display_name(self, user_id: str, name: str, now: datetime) -> User | None:
        """Give the name; the changed account."""
        statement = (
            update(USERS)
            .where(USERS.c.user_id == as_uuid(user_id))
            .values(display_name=name, updated_at=now)
            .returning(*_COLUMNS)
        )
        return _user((await self._connection.execute(statement)).first())

    async def set_email(self, user_id: str, email: str, now: datetime) -> bool:
        """Give the address; the index decides between two accounts that want it at once."""
        statement = (
            update(USERS)
            .where(USERS.c.user_id == as_uuid(user_id))
            .values(email=email, verified_at=now, updated_at=now)
            .returning(USERS.c.user_id)
        )
        try:
            async with self._connection.begin_nested():  # a refusal leaves the rest of the transaction as it was
                return (await self._connection.execute(statement)).first() is not None
        except IntegrityError:
            return False

    async def set_password(self, user_id: str, new: str, now: datetime) -> bool:
        """Replace the hash, whatever it was."""
        statement = (
            update(USERS)
            .where(USERS.c.user_id == as_uuid(user_id))
            .values(password_hash=new, updated_at=now)
            .returning(USERS.c.user_id)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def set_password_hash(self, user_id: str, old: str, new: str, now: datetime) -> bool:
        """Replace the hash, unless it is no longer `old`."""
        statement = (
            update(USERS)
            .where(USERS.c.user_id == as_uuid(user_id), USERS.c.password_hash == old)
            .values(password_hash=new, updated_at=now)
            .returning(USERS.c.user_id)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def holds_password(self, user_id: str, stored: str) -> bool:
        """Compare under a lock that whoever changes the hash has to wait for; logins share it."""
        statement = (
            select(USERS.c.user_id)
            .where(USERS.c.user_id == as_uuid(user_id), USERS.c.password_hash == stored)
            .with_for_update(read=True)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def preferences(self, user_id: str) -> Preferences:
        """What is stored; fields that came since have their defaults, those that went are left out."""
        statement = select(USER_PREFERENCES.c.data).where(USER_PREFERENCES.c.user_id == as_uuid(user_id))
        data = (await self._connection.execute(statement)).scalar()
        known = {each.name for each in fields(Preferences)}
        return Preferences(**{name: value for name, value in (data or {}).items() if name in known})

    async def set_preferences(self, user_id: str, preferences: Preferences, now: datetime) -> None:
        """Replace them."""
        values = {"data": asdict(preferences), "updated_at": now}
        statement = (
            insert(USER_PREFERENCES)
            .values(user_id=as_uuid(user_id), **values)
            .on_conflict_do_update(index_elements=[USER_PREFERENCES.c.user_id], set_=values)
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
        verified_at=row.verified_at,
    )
