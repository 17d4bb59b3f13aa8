"""Ordered storyboards in memory; proven equal to Postgres by `tests/contract/test_job_storyboards.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from services.job.application.storyboards import Storyboard
from tests.fakes.job import FakeDatabase


@dataclass
class FakeStoryboardStore:
    """The `StoryboardStore`."""

    db: FakeDatabase
    kept: dict[tuple[str, str], tuple[Storyboard, datetime]] = field(default_factory=dict)

    async def keep(self, owner_id: str, storyboard: Storyboard, now: datetime) -> str:
        """Store it, or note that it was ordered again."""
        name = sha256(storyboard.data).hexdigest()
        self.kept[owner_id, name] = (self.kept.get((owner_id, name), (storyboard, now))[0], now)
        return name

    async def load(self, owner_id: str, name: str) -> Storyboard | None:
        """The storyboard of this name."""
        found = self.kept.get((owner_id, name))
        return found[0] if found else None

    async def purge(self, before: datetime) -> int:
        """Forget what no job refers to."""
        used = {(job.order.owner_id, job.order.storyboard) for job in self.db.jobs.values()}
        gone = [key for key, (_, ordered_at) in self.kept.items() if ordered_at < before and key not in used]
        for key in gone:
            del self.kept[key]
        return len(gone)
