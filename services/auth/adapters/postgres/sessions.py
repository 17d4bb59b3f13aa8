"""Sessions and refresh tokens in Postgres."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.tables import REFRESH_TOKENS, SESSIONS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.session import Client, RefreshToken, Session

_SESSION = tuple(SESSIONS.c)
_STATE = ("revoked_at", "last_used_at", "generation", "rotated_at", "siblings")
_LAST_USE = func.coalesce(SESSIONS.c.last_used_at, SESSIONS.c.created_at)


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
            **_state(session),
        }
        await self._connection.execute(insert(SESSIONS).values(**values))
        await self._add_token(token)

    async def get(self, session_id: str, user_id: str) -> Session | None:
        """The session, if it is this user's."""
        statement = select(*_SESSION).where(
            SESSIONS.c.session_id == as_uuid(session_id), SESSIONS.c.user_id == as_uuid(user_id)
        )
        row = (await self._connection.execute(statement)).first()
        return _session(row) if row is not None else None

    async def list_open(self, user_id: str, since: datetime, limit: int) -> list[Session]:
        """Those that were used last first."""
        statement = (
            select(*_SESSION)
            .where(SESSIONS.c.user_id == as_uuid(user_id), SESSIONS.c.revoked_at.is_(None), since < _LAST_USE)
            .order_by(_LAST_USE.desc(), SESSIONS.c.session_id)
            .limit(limit)
        )
        return [_session(row) for row in (await self._connection.execute(statement)).all()]

    async def lock_by_token(self, digest: bytes) -> tuple[Session, RefreshToken] | None:
        """The lock on the session's row decides between concurrent calls, with whichever of its tokens they come."""
        tokens = REFRESH_TOKENS.c
        owner = select(tokens.session_id).where(tokens.digest == digest).scalar_subquery()
        # In two steps: what was read together with the wait for the lock would be of before the wait.
        locked = select(*_SESSION).where(SESSIONS.c.session_id == owner).with_for_update()
        row = (await self._connection.execute(locked)).first()
        if row is None:
            return None
        found = (await self._connection.execute(select(REFRESH_TOKENS).where(tokens.digest == digest))).one()
        token = RefreshToken(
            found.digest, str(found.session_id), found.issued_at, found.expires_at, found.used_at, found.generation
        )
        return _session(row), token

    async def trade(self, session: Session, used: RefreshToken, issued: RefreshToken) -> None:
        """Three statements under the session's lock."""
        stored = update(SESSIONS).where(SESSIONS.c.session_id == UUID(session.session_id)).values(**_state(session))
        await self._connection.execute(stored)
        tokens = REFRESH_TOKENS.c
        first_use = update(REFRESH_TOKENS).where(tokens.digest == used.digest, tokens.used_at.is_(None))
        await self._connection.execute(first_use.values(used_at=issued.issued_at))
        await self._add_token(issued)

    async def _add_token(self, token: RefreshToken) -> None:
        values = {
            "digest": token.digest,
            "session_id": UUID(token.session_id),
            "issued_at": token.issued_at,
            "expires_at": token.expires_at,
            "used_at": token.used_at,
            "generation": token.generation,
        }
        await self._connection.execute(insert(REFRESH_TOKENS).values(**values))

    async def revoke(self, session_id: str, user_id: str, now: datetime) -> bool:
        """Close the session, if it is this user's and still open."""
        statement = (
            update(SESSIONS)
            .where(
                SESSIONS.c.session_id == as_uuid(session_id),
                SESSIONS.c.user_id == as_uuid(user_id),
                SESSIONS.c.revoked_at.is_(None),
            )
            .values(revoked_at=now)
            .returning(SESSIONS.c.session_id)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def revoke_all(self, user_id: str, now: datetime, keep: str = "") -> list[str]:
        """Close all open ones but `keep`."""
        statement = (
            update(SESSIONS)
            .where(SESSIONS.c.user_id == as_uuid(user_id), SESSIONS.c.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(SESSIONS.c.session_id)
        )
        if (kept := as_uuid(keep)) is not None:
            statement = statement.where(SESSIONS.c.session_id != kept)
        return [str(session_id) for session_id in (await self._connection.execute(statement)).scalars()]

    async def purge(self, before: datetime) -> int:
        """Delete the refresh tokens that ended before this moment and sessions left without one."""
        old = delete(REFRESH_TOKENS).where(REFRESH_TOKENS.c.expires_at < before)
        count = (await self._connection.execute(old)).rowcount
        left = exists().where(REFRESH_TOKENS.c.session_id == SESSIONS.c.session_id)
        await self._connection.execute(delete(SESSIONS).where(SESSIONS.c.created_at < before, ~left))
        return count


def _state(session: Session) -> dict[str, Any]:
    """What changes in the life of a session."""
    state = {name: getattr(session, name) for name in _STATE}
    return {**state, "client_address": session.client.address, "client_agent": session.client.agent}


def _session(row: Row[*tuple[Any, ...]]) -> Session:
    return Session(
        session_id=str(row.session_id),
        user_id=str(row.user_id),
        created_at=row.created_at,
        client=Client(row.client_address, row.client_agent),
        **{name: getattr(row, name) for name in _STATE},
    )
