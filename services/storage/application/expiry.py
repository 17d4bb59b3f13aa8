"""Temp objects end by themselves."""

from __future__ import annotations

from datetime import timedelta

from services.storage.application.file_ports import FileLedger
from services.storage.application.inventory import ObjectLedger
from services.storage.application.ports import Clock
from services.storage.domain.objects import Bucket

TEMP_LIFETIME = timedelta(days=7)
"""No longer than S3's own rule for the bucket, which counts whole days and so always comes later: a row never outlives
its bytes."""
_BATCH = 200


class ExpireTemp:
    """Deletes the rows of temp objects that are over; the sweep then removes their bytes, every version."""

    def __init__(self, ledger: ObjectLedger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def __call__(self) -> int:
        """How many were over."""
        now = self._clock.now()
        total = 0
        while count := await self._ledger.expire(Bucket.TEMP, now - TEMP_LIFETIME, now, _BATCH):
            total += count
        return total


class ExpireUploads:
    """Ends uploads of users' files that were not completed in time, with their parts."""

    def __init__(self, ledger: FileLedger, clock: Clock, lifetime: timedelta) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lifetime = lifetime

    async def __call__(self) -> int:
        """How many rows ended; a part is no older than its upload, so none goes too early."""
        now = self._clock.now()
        total = 0
        while count := await self._ledger.expire(now - self._lifetime, now, _BATCH):
            total += count
        return total
