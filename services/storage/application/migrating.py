"""Moving a deployment's objects from one store to another, while it runs on the first."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from services.storage.application.inventory import ObjectLedger
from services.storage.application.ports import BlobStore, Clock, ObjectRepository
from services.storage.domain.errors import BytesLost, StorageError
from services.storage.domain.objects import StoredObject

_PAGE = 200


class CopyJournal(Protocol):
    """Which copies were read back and found right, so that no later run reads them again."""

    async def verified(self, target: str, object_ids: Sequence[str]) -> frozenset[str]:
        """Those of the objects whose copy in the target is known to be right."""
        ...

    async def note(self, target: str, stored: StoredObject) -> bool:
        """Note that the copy is right. False when the object is not committed any more."""
        ...


class Outcome(StrEnum):
    """What became of one object."""

    COPIED = "copied"
    PRESENT = "present"
    """Was there already, with the right bytes."""
    TO_COPY = "to copy"
    """Would be copied, if this were no dry run."""
    DELETED = "deleted"
    """By its owner, meanwhile."""
    MISSING = "missing"
    """The source has no bytes of it; when verifying: the target has none."""
    DAMAGED = "damaged"
    """The source, or when verifying the target, has other bytes than the row says."""
    FAILED = "failed"
    """A store was away; another run may succeed."""


BAD = frozenset({Outcome.MISSING, Outcome.DAMAGED, Outcome.FAILED})


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """How to go about it."""

    target: str
    """Names the target in the journal."""
    parallel: int = 4
    dry_run: bool = False
    verify_only: bool = False
    """Copy nothing; read every copy and compare its SHA-256."""


@dataclass(slots=True)
class MigrationReport:
    """What a run did."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    copied_bytes: int = 0

    @property
    def complete(self) -> bool:
        """Whether the target has every object, right."""
        return not any(self.outcomes[each] for each in (*BAD, Outcome.TO_COPY))


Tell = Callable[[StoredObject, Outcome, str], None]
"""Told of every object, what became of it and why."""


class MigrateFiles:
    """Copies every committed object under the same bucket and key. May be interrupted anywhere and run again.

    `target` verifies what it stores by reading it back. What has been verified is in the journal: it is neither copied
    nor read again. Something that lies in the target unjournaled (a run that was killed, a service that writes there
    already) is read once: right, it stays; otherwise it is copied over.
    """

    def __init__(
        self,
        objects: ObjectRepository,
        ledger: ObjectLedger,
        journal: CopyJournal,
        source: BlobStore,
        target: BlobStore,
        clock: Clock,
    ) -> None:
        self._objects = objects
        self._ledger = ledger
        self._journal = journal
        self._source = source
        self._target = target
        self._clock = clock

    async def __call__(self, plan: MigrationPlan, tell: Tell) -> MigrationReport:
        """Every object that is committed when its turn comes; later ones are the next run's."""
        report = MigrationReport()
        slots = asyncio.Semaphore(plan.parallel)
        end = self._clock.now()
        after: str | None = None
        while rows := await self._ledger.committed(after, _PAGE, committed_before=end):
            after = rows[-1].object_id
            known = await self._journal.verified(plan.target, [row.object_id for row in rows])

            async def one(row: StoredObject, known: frozenset[str] = known) -> None:
                async with slots:
                    outcome, why = await self._settled(plan, row, row.object_id in known)
                report.outcomes[outcome] += 1
                report.copied_bytes += row.size_bytes if outcome is Outcome.COPIED else 0
                tell(row, outcome, why)

            await asyncio.gather(*(one(row) for row in rows))
        return report

    async def _settled(self, plan: MigrationPlan, row: StoredObject, known: bool) -> tuple[Outcome, str]:
        try:
            outcome = await (self._verify(row) if plan.verify_only else self._move(plan, row, known))
        except BytesLost as error:
            outcome, why = Outcome.MISSING, str(error)
        except StorageError as error:
            return Outcome.FAILED, str(error)
        else:
            why = "its SHA-256 is not the one of its row" if outcome is Outcome.DAMAGED else ""
        if outcome in BAD and await self._is_gone(row):
            return Outcome.DELETED, ""
        return outcome, why

    async def _verify(self, row: StoredObject) -> Outcome:
        return Outcome.PRESENT if await self._is_right(self._target, row) else Outcome.DAMAGED

    async def _move(self, plan: MigrationPlan, row: StoredObject, known: bool) -> Outcome:
        size = await self._target.head(row.address)
        if size == row.size_bytes and (known or await self._is_right(self._target, row)):
            if not plan.dry_run and not known:
                await self._journal.note(plan.target, row)
            return Outcome.PRESENT
        if plan.dry_run:
            return Outcome.TO_COPY if await self._is_right(self._source, row) else Outcome.DAMAGED
        return await self._copy(plan, row)

    async def _copy(self, plan: MigrationPlan, row: StoredObject) -> Outcome:
        if await self._source.head(row.address) is None:
            raise BytesLost("the bytes of the object are missing")  # whatever the target has stays
        async with aclosing(self._source.read(row.address, 0, row.size_bytes)) as chunks:
            receipt = await self._target.put(row.address, chunks, content_type=row.content_type)
        if (receipt.size_bytes, receipt.sha256) != (row.size_bytes, row.sha256):
            await self._target.delete(row.address)
            return Outcome.DAMAGED
        if not await self._journal.note(plan.target, row):
            await self._target.delete(row.address)  # deleted by its owner while it was copied
            return Outcome.DELETED
        return Outcome.COPIED

    async def _is_right(self, store: BlobStore, row: StoredObject) -> bool:
        """Whether a store has the bytes that the row says. Raises BytesLost when it has none."""
        size = await store.head(row.address)
        if size is None:
            raise BytesLost("the bytes of the object are missing")
        if size != row.size_bytes:
            return False
        digest = hashlib.sha256()
        async with aclosing(store.read(row.address, 0, size)) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
        return digest.hexdigest() == row.sha256

    async def _is_gone(self, row: StoredObject) -> bool:
        return await self._objects.find(row.object_id, row.placement.owner_id) is None
