"""Commands for other services that stored changes asked for, in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Row, any_, bindparam, delete, exists, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.postgres.tables import JOB_OUTBOX
from services.job.application.ports import Delivery
from services.job.domain.events import (
    CancelRender,
    Command,
    ConfirmCredits,
    Lane,
    ReleaseCredits,
    RemoveFiles,
    SettleCredits,
    StartRender,
)
from services.job.domain.job import Job
from services.runtime.grouping import Grouped

_RENDER_KINDS: dict[str, type[StartRender | CancelRender]] = {
    "start_render": StartRender,
    "cancel_render": CancelRender,
}
_JOB_KINDS: dict[str, type[ConfirmCredits | SettleCredits | ReleaseCredits | RemoveFiles]] = {
    "confirm_credits": ConfirmCredits,
    "settle_credits": SettleCredits,
    "release_credits": ReleaseCredits,
    "remove_files": RemoveFiles,
}
_KIND_OF = {kind: name for kinds in (_RENDER_KINDS, _JOB_KINDS) for name, kind in kinds.items()}


def command_values(job: Job, command: Command) -> dict[str, Any]:
    """The row of a command."""
    return {
        "job_id": job.job_id,
        "lane": command.lane.value,
        "kind": _KIND_OF[type(command)],
        "render_id": command.render_id if isinstance(command, StartRender | CancelRender) else "",
        "available_at": job.updated_at,
    }


def _command_of(row: Row[Any]) -> Command:
    if kind := _RENDER_KINDS.get(row.kind):
        return kind(str(row.job_id), row.render_id)
    return _JOB_KINDS[row.kind](str(row.job_id))


def _claim() -> Any:
    earlier = JOB_OUTBOX.alias("earlier")
    due = (
        select(JOB_OUTBOX.c.id)
        .where(
            JOB_OUTBOX.c.lane == bindparam("of_lane"),
            JOB_OUTBOX.c.available_at <= bindparam("now"),
            ~exists().where(
                earlier.c.job_id == JOB_OUTBOX.c.job_id,
                earlier.c.lane == JOB_OUTBOX.c.lane,
                earlier.c.id < JOB_OUTBOX.c.id,
            ),
        )
        .order_by(JOB_OUTBOX.c.available_at)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )
    return (
        update(JOB_OUTBOX)
        .where(JOB_OUTBOX.c.id.in_(due))
        .values(available_at=bindparam("until"), attempts=JOB_OUTBOX.c.attempts + 1)
        .returning(*JOB_OUTBOX.c)
    )


_CLAIM = _claim()
_FORGET = delete(JOB_OUTBOX).where(JOB_OUTBOX.c.id == any_(bindparam("ids", type_=ARRAY(BigInteger))))


class PostgresOutbox:
    """The `Outbox` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        # Every method is one statement, atomic by itself.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._forgetting: Grouped[int, None] = Grouped(self._forget)

    async def claim(self, lane: Lane, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """Take due commands of a lane, at most the oldest one of each job."""
        values = {"of_lane": lane.value, "now": now, "until": now + lease, "most": limit}
        async with self._single.connect() as connection:
            rows = (await connection.execute(_CLAIM, values)).all()
        return [Delivery(row.id, _command_of(row), row.attempts, row.faults) for row in rows]

    async def done(self, delivery: Delivery) -> None:
        """Forget the command; those that are done at the same time, in one statement."""
        await self._forgetting.do(delivery.delivery_id)

    async def _forget(self, ids: Sequence[int]) -> list[Exception | None]:
        async with self._single.connect() as connection:
            await connection.execute(_FORGET, {"ids": sorted(ids)})
        return [None] * len(ids)

    async def postpone(self, delivery: Delivery, until: datetime, *, faulty: bool = False) -> None:
        """Offer the command again then, unless somebody took it over in between."""
        statement = (
            update(JOB_OUTBOX)
            .where(JOB_OUTBOX.c.id == delivery.delivery_id, JOB_OUTBOX.c.attempts == delivery.attempts)
            .values(available_at=until, faults=JOB_OUTBOX.c.faults + int(faulty))
        )
        async with self._single.connect() as connection:
            await connection.execute(statement)
