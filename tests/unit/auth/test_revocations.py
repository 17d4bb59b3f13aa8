"""How what was revoked reaches the streams that verifiers follow (A2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import cast

import pytest

from services.auth.application import revocations
from services.auth.application.revocations import Batch, Revocations
from services.auth.bootstrap.credentials import repeat
from services.auth.domain.errors import FollowerTooSlow
from services.auth.domain.revocation import Revocation, RevocationKind
from tests.fakes.auth import START, FakeClock, FakeUnits


class World:
    """The use case on fakes, and what it was told to learn."""

    def __init__(self) -> None:
        self.clock, self.units = FakeClock(), FakeUnits()
        self.keys = "keys 1"
        self.learnt: list[str] = []
        self.cases = Revocations(self.units, self.clock, lambda: self.keys, self._learn)

    def _learn(self, fresh: Sequence[Revocation]) -> None:
        self.learnt.extend(each.subject_id for each in fresh)

    async def revoke(self, *names: str) -> None:
        """Commit a revocation for each name."""
        async with self.units() as unit:
            for name in names:
                await unit.revocations.add(RevocationKind.SESSION, name, self.clock.now())
            await unit.commit()

    def follow(self) -> aclosing[AsyncGenerator[Batch]]:
        """A stream."""
        return aclosing(cast("AsyncGenerator[Batch]", self.cases.follow()))


def names(batch: Batch) -> list[str]:
    """Of what a message revokes."""
    return [each.subject_id for each in batch.revocations]


async def test_a_stream_begins_with_what_is_of_use_and_goes_on_with_what_comes() -> None:
    world = World()
    await world.revoke("one", "two")
    await world.cases.look()
    async with world.follow() as stream:
        first = await anext(stream)
        assert (names(first), first.snapshot, first.complete, first.jwks_json) == (["one", "two"], True, True, "keys 1")
        await world.revoke("three")
        await world.cases.look()
        second = await anext(stream)
        assert (names(second), second.snapshot, second.jwks_json) == (["three"], False, "")
    assert world.learnt == ["one", "two", "three"]


async def test_a_long_beginning_comes_in_parts_of_which_the_last_says_so() -> None:
    world = World()
    await world.revoke(*(str(number) for number in range(2500)))
    await world.cases.look()
    async with world.follow() as stream:
        parts = [await anext(stream) for _ in range(3)]
    assert [len(part.revocations) for part in parts] == [1000, 1000, 500]
    assert [part.complete for part in parts] == [False, False, True]
    assert [part.jwks_json for part in parts] == ["keys 1", "", ""]


async def test_a_commit_that_comes_late_is_not_missed() -> None:
    """Numbers are given before the commit: here 1 is seen after 2."""
    world = World()
    await world.revoke("first")
    row = world.units.tables.revocations.pop(1)
    await world.revoke("second")
    await world.cases.look()
    world.units.tables.revocations[1] = row
    await world.cases.look()
    await world.cases.look()
    assert world.learnt == ["second", "first"]


async def test_a_number_that_never_comes_is_not_asked_for_for_ever() -> None:
    world = World()
    async with world.units() as unit:
        await unit.revocations.add(RevocationKind.SESSION, "undone", START)
    await world.revoke("done")
    await world.cases.look()
    assert list(world.cases._skipped) == [1]
    world.clock.advance(timedelta(minutes=3))
    await world.cases.look()
    assert not world.cases._skipped


async def test_silence_means_that_the_table_could_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "HEARTBEAT_S", 0.001)
    world = World()
    await world.cases.look()
    async with world.follow() as stream:
        await anext(stream)
        beat = asyncio.ensure_future(anext(stream))
        done, _ = await asyncio.wait({beat}, timeout=0.02)
        assert not done  # many heartbeats' time, and no look
        await world.cases.look()
        assert await beat == Batch([])


async def test_keys_that_change_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "HEARTBEAT_S", 0.001)
    world = World()
    await world.cases.look()
    async with world.follow() as stream:
        await anext(stream)
        world.keys = "keys 2"
        assert (await anext(stream)).jwks_json == "keys 2"


async def test_a_stream_that_is_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "_UNREAD_MAX", 2)
    world = World()
    await world.cases.look()
    async with world.follow() as stream:
        await anext(stream)
        await world.revoke("one", "two", "three")
        await world.cases.look()
        with pytest.raises(FollowerTooSlow):
            await anext(stream)


async def test_what_nobody_needs_any_more_is_forgotten() -> None:
    world = World()
    await world.revoke("old")
    await world.cases.look()
    world.clock.advance(timedelta(minutes=30))
    assert await world.cases.prune() == 1
    assert not world.units.tables.revocations
    async with world.follow() as stream:
        assert names(await anext(stream)) == []


async def test_looking_goes_on_in_step_while_the_database_is_away() -> None:
    """A supervisor would wait longer and longer, and revocations would be late after an outage."""
    looks = 0
    enough = asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks > 30:
            enough.set()
        elif looks % 3:
            raise ConnectionRefusedError

    task = asyncio.create_task(repeat(look, 0.0))
    async with asyncio.timeout(5):
        await enough.wait()
    task.cancel()
