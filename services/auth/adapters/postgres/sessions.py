"""Sessions and refresh tokens in Postgres."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.tables import REFRESH_TOKENS, SESSIONS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.session import RefreshToken, Session

_SESSION = (SESSIONS.c.session_id, SESSIONS.c.user_id, SESSIONS.c.created_at, SESSIONS.c.revoked_at)


class PostgresSessions:
    """`SessionRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: Session, token: RefreshToken) -> None:
        """Store a new session with its first token."""
        values = {
            "session_id": UUID(session.session_id),
            "user_id": UUID(session.user_id),
            "created_at": session.created_at,
            "revoked_at": session.revoked_at,
        }
        await self._connection.execute(insert(SESSIONS).values(**values))
        await self.add_token(token)

    async def get(self, session_id: str, user_id: str) -> Session | None:
        """The session, if it is this user's."""
        statement = select(*_SESSION).where(
            SESSIONS.c.session_id == as_uuid(session_id), SESSIONS.c.user_id == as_uuid(user_id)
        )
        row = (await self._connection.execute(statement)).first()
        return _session(row) if row is not None else None

    async def find_by_token(self, digest: bytes) -> tuple[Session, RefreshToken] | None:
        """The refresh token with this digest, and its session."""
        tokens = REFRESH_TOKENS.c
        statement = (
            select(*_SESSION, tokens.digest, tokens.issued_at, tokens.expires_at, tokens.used_at)
            .join(SESSIONS, SESSIONS.c.session_id == tokens.session_id)
            .where(tokens.digest == digest)
        )
        row = (await self._connection.execute(statement)).first()
        if row is None:
            return None
        token = RefreshToken(row.digest, str(row.session_id), row.issued_at, row.expires_at, row.used_at)
        return _session(row), token

    async def use_token(self, digest: bytes, now: datetime) -> Session | None:
        """Mark the token used in one conditional UPDATE: its row lock decides between concurrent calls."""
        tokens = REFRESH_TOKENS.c
        statement = (
            update(REFRESH_TOKENS)
            .where(
                tokens.digest == digest,
                tokens.used_at.is_(None),
                tokens.expires_at > now,
                SESSIONS.c.session_id == tokens.session_id,
                SESSIONS.c.revoked_at.is_(None),
            )
            .values(used_at=now)
            .returning(*_SESSION)
        )
        row = (await self._connection.execute(statement)).first()
        return _session(row) if row is not None else None

    async def add_token(self, token: RefreshToken) -> None:
        """Store the next token of a session."""
        values = {
            "digest": token.digest,
            "session_id": UUID(token.session_id),
            "issued_at": token.issued_at,
            "expires_at": token.expires_at,
            "used_at": token.used_at,
        }
        await self._connection.execute(insert(REFRESH_TOKENS).values(**values))

    async def revoke(self, session_id: str, user_id: str, now: datetime) -> None:
        """Close the session, if it is this user's and still open."""
        statement = (
            update(SESSIONS)
            .where(
                SESSIONS.c.session_id == as_uuid(session_id),
                SESSIONS.c.user_id == as_uuid(user_id),
                SESSIONS.c.revoked_at.is_(None),
            )
            .values(revoked_at=now)
        )
        await self._connection.execute(statement)

    async def purge(self, before: datetime) -> int:
        """Delete the refresh tokens that ended before this moment and sessions left without one."""
        old = delete(REFRESH_TOKENS).where(REFRESH_TOKENS.c.expires_at < before)
        count = (await self._connection.execute(old)).rowcount
        left = exists().where(REFRESH_TOKENS.c.session_id == SESSIONS.c.session_id)
        await self._connection.execute(delete(SESSIONS).where(SESSIONS.c.created_at < before, ~left))
        return count


def _session(row: Row[*tuple[Any, ...]]) -> Session:
    return Session(str(row.session_id), str(row.user_id), row.created_at, row.revoked_at)
