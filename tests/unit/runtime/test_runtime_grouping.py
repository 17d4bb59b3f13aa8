"""Calls that share one operation: nobody fails, waits or is forgotten because of another (P2)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import grpc
import pytest

from services.runtime.errors import ServiceError
from services.runtime.grouping import Grouped

WHO: ContextVar[str] = ContextVar("who", default="nobody")


class Poison(Exception):
    """One item of the group is bad."""


class Away(Exception):
    """The database is not there."""


@dataclass
class Till:
    """An operation that waits until it is let go, and keeps what it was asked."""

    groups: list[list[int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    poisoned: frozenset[int] = frozenset()
    refused: frozenset[int] = frozenset()
    away: bool = False

    async def serve(self, items: Sequence[int]) -> list[int | Exception]:
        """Ten times each item."""
        self.groups.append(list(items))
        self.names.append(WHO.get())
        self.begun.set()
        await self.open.wait()
        if self.away:
            raise Away
        if self.poisoned & set(items):
            raise Poison
        return [Poison() if item in self.refused else item * 10 for item in items]


def grouped(till: Till, *, most: int = 64, waiting: int = 64, linger_s: float = 0.0) -> Grouped[int, int]:
    return Grouped(
        till.serve, apart=lambda error: isinstance(error, Poison), most=most, waiting=waiting, linger_s=linger_s
    )


def together(calls: Grouped[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    """All of them call at once."""
    return [asyncio.create_task(calls.do(item)) for item in items]


async def test_P2_who_comes_meanwhile_makes_up_the_next_group() -> None:
    """P2: in the order of arrival, at most so many at once; each hears of its own."""
    till = Till()
    calls = grouped(till, most=3)
    first = together(calls, [1])
    await till.begun.wait()
    others = together(calls, range(2, 7))
    await asyncio.sleep(0)
    till.open.set()
    assert await asyncio.gather(*first, *others) == [10, 20, 30, 40, 50, 60]
    assert till.groups == [[1], [2, 3, 4], [5, 6]]
    await asyncio.wait_for(calls.close(), 10)


async def test_P2_one_poisoned_order_fails_alone() -> None:
    """P2: the others of its group are served, each alone, in their order."""
    till = Till(poisoned=frozenset({3}))
    till.open.set()
    results = await asyncio.gather(*together(grouped(till), range(5)), return_exceptions=True)
    assert [type(result) if isinstance(result, Exception) else result for result in results] == [0, 10, 20, Poison, 40]
    assert till.groups == [[0, 1, 2, 3, 4], [0], [1], [2], [3], [4]]


async def test_P2_an_outcome_may_be_an_error_of_one() -> None:
    """P2: given by the operation itself, it is raised to whom it belongs."""
    till = Till(refused=frozenset({1}))
    till.open.set()
    results = await asyncio.gather(*together(grouped(till), range(3)), return_exceptions=True)
    assert [isinstance(result, Poison) for result in results] == [False, True, False]
    assert till.groups == [[0, 1, 2]]


async def test_P2_what_may_have_been_done_is_not_done_again() -> None:
    """P2: a failure that says nothing of what was stored is everybody's, and the next group is served."""
    till = Till(away=True)
    till.open.set()
    calls = grouped(till)
    results = await asyncio.gather(*together(calls, range(3)), return_exceptions=True)
    assert {type(result) for result in results} == {Away}
    assert till.groups == [[0, 1, 2]]
    till.away = False
    assert await calls.do(7) == 70


async def test_P2_who_goes_away_is_not_served_and_holds_nobody_up() -> None:
    """P2: cancelled while waiting, an item is left out; cancelled while it is served, nobody else notices."""
    till = Till()
    calls = grouped(till)
    serving = together(calls, [1, 2])
    await till.begun.wait()
    waiting = together(calls, [3, 4])
    await asyncio.sleep(0)
    serving[0].cancel()
    waiting[0].cancel()
    await asyncio.sleep(0)
    till.open.set()
    results = await asyncio.gather(*serving, *waiting, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) or result for result in results] == [True, 20, True, 40]
    assert till.groups == [[1, 2], [4]]


async def test_P2_the_queue_is_bounded() -> None:
    """P2: one too many is refused as UNAVAILABLE; room comes back."""
    till = Till()
    calls = grouped(till, waiting=2)
    serving = together(calls, [1])
    await till.begun.wait()
    waiting = together(calls, [2, 3])
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as refused:
        await calls.do(4)
    assert refused.value.code is grpc.StatusCode.UNAVAILABLE
    till.open.set()
    assert await asyncio.gather(*serving, *waiting) == [10, 20, 30]
    assert await calls.do(4) == 40


async def test_P2_a_group_acts_in_nobodys_name() -> None:
    """O3: what one asks for alone is done in its own call's context; a group's is nobody's."""
    till = Till()
    till.open.set()
    calls = grouped(till)
    WHO.set("ada")
    await calls.do(1)
    await asyncio.gather(*together(calls, [2, 3]))
    assert till.names == ["ada", "nobody"]


async def test_P2_a_crowd_lingers_a_single_call_does_not() -> None:
    """P2: after a crowd the next group waits for more, at most once each; who comes alone later is served at once."""
    till = Till()
    till.open.set()
    calls = grouped(till, linger_s=3600.0)
    assert await asyncio.wait_for(calls.do(1), 10) == 10
    crowd = together(calls, [2, 3, 4])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert till.groups == [[1]]
    for each in crowd:
        each.cancel()
