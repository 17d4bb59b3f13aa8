"""What a user sees first: counts, durations and the jobs that changed last (J11)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from services.job.application.ports import Clock, JobQuery, Viewer
from services.job.application.queries import JobView, PageWish, Queries

DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True)
class DayCounts:
    """The jobs accepted on one day (UTC), and what became of them by now."""

    day: datetime
    created: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the jobs that a user handed in since a moment; `queued` and `processing` are of this moment."""

    queued: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0
    processing_time_median: timedelta | None = None
    video_duration_total_s: float = 0.0
    video_bytes_total: int = 0
    credits_spent: int = 0
    days: tuple[DayCounts, ...] = ()
    """Days on which something was handed in, oldest first."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures of a span, one entry for each of its days."""

    since: datetime
    figures: Figures
    days: list[DayCounts]

    @property
    def completion_rate(self) -> float | None:
        """Completed ÷ (completed + failed); None while nothing has ended."""
        ended = self.figures.completed + self.figures.failed
        return self.figures.completed / ended if ended else None


class DashboardStore(Protocol):
    """Counts jobs."""

    async def figures(self, owner_id: str, since: datetime) -> Figures:
        """Figures of the owner's jobs that are in the lists, in one look."""
        ...


class Dashboard:
    """The use cases behind `DashboardService`: only ever the caller's own jobs, an admin's too."""

    def __init__(self, store: DashboardStore, queries: Queries, clock: Clock) -> None:
        self._store = store
        self._queries = queries
        self._clock = clock

    async def stats(self, viewer: Viewer, days: int) -> Stats:
        """Figures of the last so many days, today included."""
        span = days or DEFAULT_DAYS
        midnight = self._clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        since = midnight - timedelta(days=span - 1)
        figures = await self._store.figures(viewer.subject, since)
        known = {counts.day: counts for counts in figures.days}
        dates = [since + timedelta(days=number) for number in range(span)]
        return Stats(since, figures, [known.get(day) or DayCounts(day) for day in dates])

    async def recent(self, viewer: Viewer, limit: int) -> list[JobView]:
        """The jobs that changed last."""
        page = await self._queries.page(JobQuery(viewer.subject, by_update=True), PageWish(limit))
        return page.views
