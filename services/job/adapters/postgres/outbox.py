"""Commands for video_render that stored changes asked for, in Postgres."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.tables import JOB_OUTBOX
from services.job.application.ports import Delivery
from services.job.domain.events import CancelRender, StartRender


class PostgresOutbox:
    """The `Outbox` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        # Every method is one statement, atomic by itself.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def claim(self, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """Take due commands, at most the oldest one of each job."""
        earlier = JOB_OUTBOX.alias("earlier")
        due = (
            select(JOB_OUTBOX.c.id)
            .where(
                JOB_OUTBOX.c.available_at <= now,
                ~exists().where(earlier.c.job_id == JOB_OUTBOX.c.job_id, earlier.c.id < JOB_OUTBOX.c.id),
            )
            .order_by(JOB_OUTBOX.c.available_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claim = (
            update(JOB_OUTBOX)
            .where(JOB_OUTBOX.c.id.in_(due))
            .values(available_at=now + lease, attempts=JOB_OUTBOX.c.attempts + 1)
            .returning(*JOB_OUTBOX.c)
        )
        async with self._single.connect() as connection:
            rows = (await connection.execute(claim)).all()
        return [
            Delivery(
                row.id,
                (StartRender if row.kind == "start_render" else CancelRender)(str(row.job_id), row.render_id),
                row.attempts,
            )
            for row in rows
        ]

    async def done(self, delivery: Delivery) -> None:
        """Forget the command."""
        async with self._single.connect() as connection:
            await connection.execute(delete(JOB_OUTBOX).where(JOB_OUTBOX.c.id == delivery.delivery_id))

    async def postpone(self, delivery: Delivery, until: datetime) -> None:
        """Offer the command again then, unless somebody took it over in between."""
        statement = (
            update(JOB_OUTBOX)
            .where(JOB_OUTBOX.c.id == delivery.delivery_id, JOB_OUTBOX.c.attempts == delivery.attempts)
            .values(available_at=until)
        )
        async with self._single.connect() as connection:
            await connection.execute(statement)
