"""The orphan sweep: bytes that no row knows, and rows whose bytes are gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.storage.application.inventory import BlobInventory, FoundBlob, ObjectLedger
from services.storage.application.ports import BlobStore, Clock, ObjectRepository
from services.storage.domain.errors import StorageFull, StorageUnavailable
from services.storage.domain.keys import is_own_key
from services.storage.domain.objects import BlobAddress, Bucket, ObjectState, StoredObject

_PAGE = 500
_CHECKS_AT_ONCE = 16


class FindingKind(StrEnum):
    """What does not fit together."""

    ORPHAN = "orphan"
    """Bytes under a key of ours that no row has."""
    UNFINISHED = "unfinished"
    """An upload that nobody completed."""
    FOREIGN = "foreign"
    """A key that this service cannot have made. Never touched."""
    LOST = "lost"
    """A committed row without bytes."""
    DAMAGED = "damaged"
    """A committed row whose bytes have another length. Never touched."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit, and whether this run put it right."""

    kind: FindingKind
    bucket: Bucket
    key: str
    object_id: str = ""
    """Of a row; empty for bytes that have none."""
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class OrphanPolicy:
    """How far one run may go."""

    grace: timedelta
    """What is younger is not looked at."""
    limit: int
    """How many things each way may be put right, or would be in a dry run."""
    dry_run: bool = False
    mark_lost: bool = False
    """Delete rows that lost their bytes, so that no row points to nothing."""


@dataclass(slots=True)
class OrphanReport:
    """What one run saw."""

    blobs: int = 0
    rows: int = 0
    found: Counter[FindingKind] = field(default_factory=Counter)
    repaired: int = 0
    failed: int = 0
    """Repairs that the store refused; the next run tries again."""
    limited: bool = False
    """Whether the limit ended it early."""


class OrphanSweep:
    """Compares a store with the rows, both ways. May be repeated and run in several processes at once.

    A row is there before its bytes and goes after them. So bytes that were listed first and have no row afterwards
    belong to nobody, and a committed row that is still committed after its bytes were not found has lost them: neither
    is a race, whatever the grace. Rows that are pending or deleted are the other sweep's.
    """

    def __init__(
        self, objects: ObjectRepository, ledger: ObjectLedger, blobs: BlobStore, inventory: BlobInventory, clock: Clock
    ) -> None:
        self._objects = objects
        self._ledger = ledger
        self._blobs = blobs
        self._inventory = inventory
        self._clock = clock

    async def __call__(self, policy: OrphanPolicy, note: Callable[[Finding], None]) -> OrphanReport:
        """One run over everything; `note` is told of each finding. Raises StorageUnavailable."""
        run = _Run(policy, note, self._clock.now() - policy.grace)
        for bucket in Bucket:
            await self._whole(run, bucket)
            await self._unfinished(run, bucket)
        await self._rows(run)
        return run.report

    async def _whole(self, run: _Run, bucket: Bucket) -> None:
        after: str | None = ""
        while after is not None and run.may_reclaim():
            page = await self._inventory.page(bucket, after, _PAGE)
            run.report.blobs += len(page.found)
            if page.found:
                run.alive.add(bucket)
            for blob, state in await self._with_states(run, bucket, page.found):
                if state is None:
                    await self._reclaim(run, FindingKind.ORPHAN, BlobAddress(bucket, blob.key))
            after = page.next_after

    async def _unfinished(self, run: _Run, bucket: Bucket) -> None:
        if not run.may_reclaim():
            return
        for blob, state in await self._with_states(run, bucket, await self._inventory.unfinished(bucket, _PAGE)):
            if state in (None, ObjectState.COMMITTED):
                await self._reclaim(run, FindingKind.UNFINISHED, BlobAddress(bucket, blob.key))

    async def _with_states(
        self, run: _Run, bucket: Bucket, found: Sequence[FoundBlob]
    ) -> list[tuple[FoundBlob, ObjectState | None]]:
        """Those that may be touched, each with its row's state; foreign ones are noted."""
        due = []
        for blob in found:
            if not is_own_key(bucket, blob.key):
                run.tell(Finding(FindingKind.FOREIGN, bucket, blob.key))
            elif blob.modified_at <= run.before:
                due.append(blob)
        states = await self._ledger.states(bucket, [blob.key for blob in due]) if due else {}
        return [(blob, states.get(blob.key)) for blob in due]

    async def _reclaim(self, run: _Run, kind: FindingKind, address: BlobAddress) -> None:
        if not run.may_reclaim():
            return
        repaired = False
        if not run.policy.dry_run:
            remove = self._blobs.delete if kind is FindingKind.ORPHAN else self._inventory.discard_unfinished
            try:
                await remove(address)
                repaired = True
            except (StorageUnavailable, StorageFull):
                run.report.failed += 1
        run.reclaimed += 1
        run.tell(Finding(kind, address.bucket, address.key, repaired=repaired))

    async def _rows(self, run: _Run) -> None:
        after: str | None = None
        while rows := await self._ledger.committed(after, _PAGE, committed_before=run.before):
            run.report.rows += len(rows)
            after = rows[-1].object_id
            for row, size in zip(rows, await self._lengths(rows), strict=True):
                if size is None:
                    await self._lost(run, row)
                elif size != row.size_bytes:
                    run.tell(Finding(FindingKind.DAMAGED, row.placement.bucket, row.key, row.object_id))
                if run.marked >= run.policy.limit:
                    run.report.limited = True
                    return

    async def _lengths(self, rows: Sequence[StoredObject]) -> list[int | None]:
        slots = asyncio.Semaphore(_CHECKS_AT_ONCE)

        async def length(row: StoredObject) -> int | None:
            async with slots:
                return await self._blobs.head(row.address)

        return await asyncio.gather(*(length(row) for row in rows))

    async def _lost(self, run: _Run, row: StoredObject) -> None:
        owner, bucket = row.placement.owner_id, row.placement.bucket
        if await self._objects.find(row.object_id, owner) is None:
            return  # deleted meanwhile
        marked = False
        # A bucket in which nothing at all is left looks like a disk that is not mounted: no reason to forget rows.
        if run.policy.mark_lost and not run.policy.dry_run and bucket in run.alive:
            marked = await self._objects.mark_deleted(row.object_id, owner, self._clock.now()) is not None
        run.marked += 1
        run.tell(Finding(FindingKind.LOST, bucket, row.key, row.object_id, repaired=marked))


@dataclass(slots=True)
class _Run:
    """One run of the sweep."""

    policy: OrphanPolicy
    note: Callable[[Finding], None]
    before: datetime
    report: OrphanReport = field(default_factory=OrphanReport)
    alive: set[Bucket] = field(default_factory=set)
    """Buckets in which something lies."""
    reclaimed: int = 0
    marked: int = 0

    def may_reclaim(self) -> bool:
        if self.reclaimed < self.policy.limit:
            return True
        self.report.limited = True
        return False

    def tell(self, finding: Finding) -> None:
        self.report.found[finding.kind] += 1
        self.report.repaired += finding.repaired
        self.note(finding)
