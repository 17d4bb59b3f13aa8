"""Registrations and the tokens in mails, in Postgres."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.people_tables import EMAIL_TOKENS, REGISTRATIONS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.mail import EmailToken, Registration, TokenPurpose

_REGISTRATION = REGISTRATIONS.c
_TOKEN = EMAIL_TOKENS.c


class PostgresRegistrations:
    """`RegistrationRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, registration: Registration) -> None:
        """Beside others of the same address."""
        values = {
            "registration_id": UUID(registration.registration_id),
            "email": registration.email,
            "display_name": registration.display_name,
            "password_hash": registration.password_hash,
            "created_at": registration.created_at,
            "expires_at": registration.expires_at,
            "user_id": as_uuid(registration.user_id or ""),
        }
        await self._connection.execute(insert(REGISTRATIONS).values(**values))

    async def get(self, registration_id: str) -> Registration | None:
        """By id, locked."""
        statement = select(REGISTRATIONS).where(_REGISTRATION.registration_id == as_uuid(registration_id))
        return _registration((await self._connection.execute(statement.with_for_update())).first())

    async def newest(self, email: str, now: datetime) -> Registration | None:
        """The newest open one."""
        statement = (
            select(REGISTRATIONS)
            .where(_REGISTRATION.email == email, _REGISTRATION.expires_at > now, _REGISTRATION.user_id.is_(None))
            .order_by(_REGISTRATION.created_at.desc(), _REGISTRATION.registration_id.desc())
            .limit(1)
        )
        return _registration((await self._connection.execute(statement)).first())

    async def complete(self, registration: Registration, user_id: str) -> None:
        """Keep the row, so that a repeated call finds what it made, without the hash."""
        own = _REGISTRATION.registration_id == UUID(registration.registration_id)
        done = update(REGISTRATIONS).where(own).values(user_id=UUID(user_id), password_hash="")
        await self._connection.execute(done)
        others = delete(REGISTRATIONS).where(_REGISTRATION.email == registration.email, ~own)
        await self._connection.execute(others.where(_REGISTRATION.user_id.is_(None)))

    async def purge(self, now: datetime) -> int:
        """With their tokens."""
        ended = delete(REGISTRATIONS).where(_REGISTRATION.expires_at <= now)
        return (await self._connection.execute(ended)).rowcount


class PostgresEmailTokens:
    """`EmailTokenRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, token: EmailToken) -> None:
        """A new one."""
        values = {
            "digest": token.digest,
            "purpose": token.purpose.value,
            "email": token.email,
            "registration_id": as_uuid(token.registration_id or ""),
            "user_id": as_uuid(token.user_id or ""),
            "expires_at": token.expires_at,
            "used_at": token.used_at,
        }
        await self._connection.execute(insert(EMAIL_TOKENS).values(**values))

    async def lock(self, digest: bytes) -> EmailToken | None:
        """By digest, locked."""
        statement = select(EMAIL_TOKENS).where(_TOKEN.digest == digest).with_for_update()
        row = (await self._connection.execute(statement)).first()
        if row is None:
            return None
        return EmailToken(
            row.digest,
            TokenPurpose(row.purpose),
            row.email,
            row.expires_at,
            _text(row.registration_id),
            _text(row.user_id),
            row.used_at,
        )

    async def use(self, digest: bytes, now: datetime) -> None:
        """Mark it used."""
        await self._connection.execute(update(EMAIL_TOKENS).where(_TOKEN.digest == digest).values(used_at=now))

    async def revoke_all(self, user_id: str, purposes: Collection[TokenPurpose]) -> None:
        """The unused ones."""
        names = [purpose.value for purpose in purposes]
        statement = delete(EMAIL_TOKENS).where(_TOKEN.user_id == as_uuid(user_id), _TOKEN.purpose.in_(names))
        await self._connection.execute(statement.where(_TOKEN.used_at.is_(None)))

    async def purge(self, now: datetime) -> int:
        """Those that have ended."""
        return (await self._connection.execute(delete(EMAIL_TOKENS).where(_TOKEN.expires_at <= now))).rowcount


def _registration(row: Row[*tuple[Any, ...]] | None) -> Registration | None:
    if row is None:
        return None
    return Registration(
        str(row.registration_id),
        row.email,
        row.display_name,
        row.password_hash,
        row.created_at,
        row.expires_at,
        _text(row.user_id),
    )


def _text(value: UUID | None) -> str | None:
    return str(value) if value is not None else None
