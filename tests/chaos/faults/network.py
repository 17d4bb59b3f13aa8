"""Links between two processes that delay, cut, half-close or swallow what is sent."""

from __future__ import annotations

from functools import partial

from tests.chaos.arena import Arena
from tests.chaos.faults.base import FaultKind
from tests.chaos.proxy import Weather
from tests.chaos.schedule import Kind

_HOLD_S = (1.0, 6.0)


def kinds(arena: Arena) -> list[FaultKind]:
    """One kind per weather, on every link."""
    links = tuple(arena.links)
    return [
        FaultKind(
            Kind(f"net {weather.value.replace('_', '-')}", links, weight=3, hold_s=_HOLD_S, light=True),
            partial(BadWeather, weather=weather),
        )
        for weather in (Weather.DELAY, Weather.CUT, Weather.HALF_CLOSE, Weather.BLACKHOLE)
    ]


class BadWeather:
    """Bad weather on one link."""

    def __init__(self, arena: Arena, target: str, *, weather: Weather) -> None:
        """`target` names a link, `caller>callee`."""
        self._arena = arena
        self._caller, _, self._callee = target.partition(">")
        self._link = arena.links[target]
        self._weather = weather

    async def inject(self) -> str:
        """It begins."""
        open_now = self._link.connections
        self._link.set(self._weather)
        return f"{open_now} connections"

    async def recover(self) -> None:
        """It ends."""
        self._link.set(Weather.FAIR)

    async def ready(self) -> bool:
        """The caller serves, and so does whom it calls."""
        return await self._arena.serves(self._caller) and await self._arena.serves(self._callee)
