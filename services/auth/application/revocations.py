"""What was revoked, told to every verifier: this process looks into the table, and all streams share what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.auth.application.ports import Clock, UnitsOfWork
from services.auth.domain.errors import FollowerTooSlow
from services.auth.domain.revocation import Revocation

HEARTBEAT_S = 1.0
_CHUNK = 1000
_UNREAD_MAX = 50_000
_SKIPPED_MAX = 1000
_SKIPPED_FOR = timedelta(minutes=2)
"""Longer than a transaction may stay open (`services.runtime.db.create_engine`)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A message of a stream."""

    revocations: Sequence[Revocation] = ()
    snapshot: bool = False
    complete: bool = True
    jwks_json: str = ""
    """The public keys, when the stream has not told them yet."""


class Revocations:
    """Follows the table and lets any number of streams follow."""

    def __init__(
        self,
        units: UnitsOfWork,
        clock: Clock,
        jwks_json: Callable[[], str],
        learn: Callable[[Sequence[Revocation]], None] = lambda _: None,
    ) -> None:
        """`jwks_json` gives the public keys of the moment; `learn` is told of each revocation once."""
        self._units = units
        self._clock = clock
        self._jwks_json = jwks_json
        self._learn = learn
        self._known: dict[int, Revocation] = {}
        self._head = 0
        self._skipped: dict[int, datetime] = {}
        """Numbers not seen below the head, since when: their transactions may be open, or have been undone."""
        self._looks = 0
        self._looked = asyncio.Event()
        self._followers: set[_Follower] = set()

    async def look(self) -> None:
        """Learn what was committed since the last look."""
        now = self._clock.now()
        async with self._units() as unit:
            found = await unit.revocations.since(self._head, self._skipped, now)
        fresh = [each for each in found if each.sequence not in self._known]
        for each in fresh:
            self._known[each.sequence] = each
            self._mark_skipped(each.sequence, now)
        self._skipped = {
            number: since
            for number, since in self._skipped.items()
            if number not in self._known and now - since < _SKIPPED_FOR
        }
        self._looks += 1
        self._looked.set()
        if fresh:
            self._learn(fresh)
            for follower in self._followers:
                follower.offer(fresh)

    async def prune(self) -> int:
        """Forget what no living token needs any more, here and in the table; how many rows."""
        now = self._clock.now()
        self._known = {number: each for number, each in self._known.items() if each.until > now}
        async with self._units() as unit:
            count = await unit.revocations.prune(now)
            await unit.commit()
        return count

    async def follow(self) -> AsyncIterator[Batch]:
        """Everything that is of use, then each as it is learnt; nothing about once a second.

        Waits for the first look, and is silent while the table cannot be read. Raises FollowerTooSlow.
        """
        await self._looked.wait()
        follower = _Follower()
        self._followers.add(follower)
        try:
            told = self._jwks_json()
            for batch in self._snapshot(told):
                yield batch
            looks = self._looks
            while True:
                await follower.wait(HEARTBEAT_S)
                fresh, keys = follower.take(), self._jwks_json()
                if fresh or keys != told or looks != self._looks:
                    yield Batch(fresh, jwks_json=keys if keys != told else "")
                    told, looks = keys, self._looks
        finally:
            self._followers.discard(follower)

    def _snapshot(self, jwks_json: str) -> list[Batch]:
        now = self._clock.now()
        needed = [each for each in self._known.values() if each.until > now]
        chunks = [needed[start : start + _CHUNK] for start in range(0, len(needed), _CHUNK)] or [[]]
        last = len(chunks) - 1
        return [Batch(chunk, True, index == last, "" if index else jwks_json) for index, chunk in enumerate(chunks)]

    def _mark_skipped(self, number: int, now: datetime) -> None:
        if number > self._head:
            for missing in range(max(self._head + 1, number - _SKIPPED_MAX), number):
                self._skipped[missing] = now
            self._head = number


class _Follower:
    """What one stream has not sent yet."""

    def __init__(self) -> None:
        self._unread: list[Revocation] = []
        self._too_slow = False
        self._news = asyncio.Event()

    def offer(self, fresh: Sequence[Revocation]) -> None:
        """Queue them; a stream that leaves too much unread is cut off."""
        self._too_slow = self._too_slow or len(self._unread) + len(fresh) > _UNREAD_MAX
        if not self._too_slow:
            self._unread.extend(fresh)
        self._news.set()

    async def wait(self, timeout_s: float) -> None:
        """Until there is something, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return

    def take(self) -> Sequence[Revocation]:
        """What there is. Raises FollowerTooSlow."""
        if self._too_slow:
            raise FollowerTooSlow
        self._news.clear()
        fresh, self._unread = self._unread, []
        return fresh
