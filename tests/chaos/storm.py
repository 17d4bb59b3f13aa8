"""A storm: load and faults side by side, then calm weather, then the evidence."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.arena import Arena, until
from tests.chaos.client import Client
from tests.chaos.evidence import collect, files_of_cancelled, unconfirmed_credits
from tests.chaos.faults import fault, kinds
from tests.chaos.history import History
from tests.chaos.load import Load
from tests.chaos.schedule import HEAVY, LIGHT, PlannedFault, schedule

USERS = ("ada", "bob", "eve")


@dataclass(frozen=True, slots=True)
class Storm:
    """How hard it blows. All times in seconds."""

    seed: int = 1
    faults: int = 200
    jobs: int = 60
    """At least; orders go on until the last fault."""
    at_once: int = 5
    """Orders under way."""
    longest_s: float = 3600.0
    """No fault is injected later than this."""
    recovery_s: float = 120.0
    """After so long without recovery the storm goes on, and the record says `unready`."""
    settle_s: float = 420.0
    """How long every job may take to end once nothing is wrong: three retries with their pauses fit."""
    calm_s: float = 0.0
    """Pause before each fault, beside the schedule's own: long enough, and every fault is met alone."""
    only: Sequence[str] = field(default=())
    """Kinds of faults; all when empty."""


async def blow(storm: Storm, arena: Arena, history: History, say: Callable[[str], None] = lambda _: None) -> None:
    """Run a storm on a running arena and leave everything in the history; raises nothing for what went wrong."""
    keys = await asyncio.gather(*(asyncio.to_thread(arena.stack.api_key, f"{user}@t2m.example") for user in USERS))
    rng = random.Random(storm.seed)
    clients = [Client.of(user, arena.stack.url, key, history, rng) for user, key in zip(USERS, keys, strict=True)]
    load = Load(clients, rng, at_once=storm.at_once, at_least=storm.jobs)
    loading = asyncio.create_task(load.run())
    try:
        await _lanes(storm, arena, history, say)
        say(f"{load.jobs} jobs so far; the storm is over")
        load.enough()
        arena.thaw()
        with contextlib.suppress(TimeoutError):
            await until(arena.everything_serves, storm.recovery_s)
        history.add("healed")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(loading, storm.settle_s)
        say(f"{len(history.job_ids)} jobs; collecting the evidence")
        with contextlib.suppress(TimeoutError):
            await until(lambda: _cleaned(arena), _CLEAN_S)
        await collect(arena, history, clients)
    finally:
        loading.cancel()
        await load.stop()
        await asyncio.gather(loading, return_exceptions=True)
        for client in clients:
            await client.http.aclose()


async def _lanes(storm: Storm, arena: Arena, history: History, say: Callable[[str], None]) -> None:
    """Both lanes of the schedule, each one fault after the other."""
    known = kinds(arena)
    chosen = {name: kind for name, kind in known.items() if not storm.only or name in storm.only}
    planned = schedule(storm.seed, storm.faults, chosen)
    until_when = time.monotonic() + storm.longest_s

    async def lane(faults: Iterable[PlannedFault]) -> None:
        for one in faults:
            await asyncio.sleep(one.gap_s + storm.calm_s)
            if time.monotonic() > until_when:
                return
            await _strike(one, storm, arena, history, say)

    async with asyncio.TaskGroup() as lanes:
        for number in (HEAVY, LIGHT):
            lanes.create_task(lane([one for one in planned if one.lane == number]))


async def _strike(
    planned: PlannedFault, storm: Storm, arena: Arena, history: History, say: Callable[[str], None]
) -> None:
    """Inject one fault, hold it, take it back, wait until its target serves again."""
    one = fault(arena, planned)

    def note(phase: str, text: str = "") -> None:
        history.add("fault", number=planned.number, kind=planned.kind, target=planned.target, phase=phase, note=text)

    try:
        note("inject", await one.inject())
        await asyncio.sleep(planned.hold_s)
    finally:
        await one.recover()
    note("heal")
    began = time.monotonic()
    try:
        await until(one.ready, storm.recovery_s)
    except TimeoutError:
        note("unready")
        say(f"{planned.number:4d} {planned.kind} {planned.target}: did not recover")
        return
    note("ready")
    say(f"{planned.number:4d} {planned.kind} {planned.target}: ready after {time.monotonic() - began:.2f} s")


_CLEAN_S = 60.0
"""How long files of a cancelled job, and credits set aside for a job that was never stored, may stay."""


async def _cleaned(arena: Arena) -> bool:
    """Whether they are gone: they are removed, and given back, in the background."""
    return not await files_of_cancelled(arena) and not await unconfirmed_credits(arena)
