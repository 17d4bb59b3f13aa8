"""The queue of mails in Postgres."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.postgres.people_tables import MAILS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.mail import Mail, MailKind

_ERROR_MAX = 500


class PostgresMails:
    """`MailRepository` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, mail: Mail) -> None:
        """Due at once."""
        values = {
            "mail_id": UUID(mail.mail_id),
            "kind": mail.kind.value,
            "recipient": mail.recipient,
            "user_id": as_uuid(mail.user_id or ""),
            "registration_id": as_uuid(mail.registration_id or ""),
            "about": mail.about,
            "state": "due",
            "attempts": mail.attempts,
            "next_at": mail.created_at,
            "created_at": mail.created_at,
            "error": "",
        }
        await self._connection.execute(insert(MAILS).values(**values))

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[Mail]:
        """Several senders take different mails: what one holds, another skips."""
        due = (
            select(MAILS.c.mail_id)
            .where(MAILS.c.state == "due", MAILS.c.next_at <= now)
            .order_by(MAILS.c.next_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")  # evaluated once: a subquery may be run again, and would then take more than `limit`
        )
        statement = (
            update(MAILS)
            .where(MAILS.c.mail_id == due.c.mail_id)
            .values(next_at=until, attempts=MAILS.c.attempts + 1)
            .returning(*MAILS.c)
        )
        rows = (await self._connection.execute(statement)).all()
        return sorted(map(_mail, rows), key=lambda mail: (mail.created_at, mail.mail_id))

    async def sent_since(self, recipient: str, kinds: Collection[MailKind], moment: datetime) -> int:
        """How many left for this address."""
        statement = (
            select(func.count())
            .select_from(MAILS)
            .where(
                MAILS.c.recipient == recipient,
                MAILS.c.created_at > moment,
                MAILS.c.state == "sent",
                MAILS.c.kind.in_([kind.value for kind in kinds]),
            )
        )
        return int((await self._connection.execute(statement)).scalar_one())

    async def finish(self, mail_id: str, state: str, now: datetime, error: str = "") -> None:
        """Its end."""
        values = {"state": state, "ended_at": now, "error": error[:_ERROR_MAX]}
        await self._connection.execute(update(MAILS).where(MAILS.c.mail_id == UUID(mail_id)).values(**values))

    async def put_off(self, mail_id: str, until: datetime, error: str) -> None:
        """Not now."""
        values = {"next_at": until, "error": error[:_ERROR_MAX]}
        await self._connection.execute(update(MAILS).where(MAILS.c.mail_id == UUID(mail_id)).values(**values))

    async def purge(self, before: datetime) -> int:
        """Those that ended before."""
        ended = delete(MAILS).where(MAILS.c.state != "due", MAILS.c.ended_at < before)
        return (await self._connection.execute(ended)).rowcount


def _mail(row: Row[*tuple[Any, ...]]) -> Mail:
    return Mail(
        mail_id=str(row.mail_id),
        kind=MailKind(row.kind),
        recipient=row.recipient,
        created_at=row.created_at,
        user_id=str(row.user_id) if row.user_id is not None else None,
        registration_id=str(row.registration_id) if row.registration_id is not None else None,
        about=row.about,
        attempts=row.attempts,
    )
