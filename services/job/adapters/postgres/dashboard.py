"""Figures of a user's jobs in Postgres (J11)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.application.dashboard import DayCounts, Figures

_FIGURES = text(
    # Two looks at the owner's index: the jobs of the span, and those that are open now whenever they came.
    """
    WITH handed_in AS (
        SELECT * FROM jobs WHERE owner_id = :owner_id AND created_at >= :since AND deleted_at IS NULL
    )
    SELECT
        count(*) AS total,
        count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY completed_at - started_at)
            FILTER (WHERE status = 'completed') AS processing_time,
        coalesce(sum((video ->> 'duration_s')::double precision), 0) AS seconds,
        coalesce(sum((video ->> 'size_bytes')::bigint) FILTER (WHERE expired_at IS NULL), 0)::bigint AS bytes,
        coalesce(sum(credit_cost) FILTER (WHERE status = 'completed'), 0)::bigint AS credits,
        (SELECT count(*) FROM jobs WHERE owner_id = :owner_id AND status = 'queued' AND deleted_at IS NULL) AS queued,
        (SELECT count(*) FROM jobs WHERE owner_id = :owner_id AND status = 'processing' AND deleted_at IS NULL)
            AS processing
    FROM handed_in
    """
)
_DAYS = text(
    """
    SELECT
        date_trunc('day', created_at, 'UTC') AS day,
        count(*) AS created,
        count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'failed') AS failed
    FROM jobs
    WHERE owner_id = :owner_id AND created_at >= :since AND deleted_at IS NULL
    GROUP BY day
    ORDER BY day
    """
)


class PostgresDashboard:
    """The `DashboardStore` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        # One snapshot for both statements, so that the days add up to the total.
        self._snapshot = engine.execution_options(isolation_level="REPEATABLE READ")

    async def figures(self, owner_id: str, since: datetime) -> Figures:
        """Figures of the owner's jobs that are in the lists."""
        parameters = {"owner_id": owner_id, "since": since}
        async with self._snapshot.begin() as connection:
            row = (await connection.execute(_FIGURES, parameters)).one()
            days = (await connection.execute(_DAYS, parameters)).all()
        return Figures(
            queued=row.queued,
            processing=row.processing,
            completed=row.completed,
            failed=row.failed,
            cancelled=row.cancelled,
            total=row.total,
            processing_time_median=row.processing_time,
            video_duration_total_s=row.seconds,
            video_bytes_total=row.bytes,
            credits_spent=row.credits,
            days=tuple(DayCounts(day.day, day.created, day.completed, day.failed) for day in days),
        )
