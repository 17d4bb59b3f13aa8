"""Processes that are killed, asked to end, or frozen."""

from __future__ import annotations

import contextlib
import signal
from functools import partial

import psutil

from tests.chaos.arena import Arena, renders_of
from tests.chaos.faults.base import FaultKind
from tests.chaos.schedule import Kind

SERVICES = ("auth", "job", "video_render", "storage", "gateway")
_FREEZE_S = (1.0, 6.0)
_BEYOND_THE_LEASE_S = (2.0, 4.0)


def kinds(arena: Arena) -> list[FaultKind]:
    """Kills, ends, freezes."""
    shortest, longest = (arena.lease_s + beyond for beyond in _BEYOND_THE_LEASE_S)
    kill, end = partial(SignalledProcess, number=signal.SIGKILL), partial(SignalledProcess, number=signal.SIGTERM)
    return [
        FaultKind(Kind("kill service", SERVICES, weight=5), kill),
        FaultKind(Kind("kill worker", ("worker",), weight=3), kill),
        FaultKind(Kind("kill redis", ("redis",), weight=2), kill),
        FaultKind(Kind("kill postgres", ("postgres",), weight=2), kill),
        FaultKind(Kind("end process", (*SERVICES, "worker"), weight=2), end),
        FaultKind(Kind("kill pool child", ("worker",), weight=4, light=True), KilledPoolChild),
        FaultKind(Kind("kill render", ("worker",), weight=3, light=True), KilledRender),
        FaultKind(Kind("freeze service", (*SERVICES, "redis"), weight=3, hold_s=_FREEZE_S), FrozenProcess),
        FaultKind(Kind("zombie worker", ("worker",), hold_s=(shortest, longest)), FrozenProcess),
        FaultKind(
            Kind("zombie pool child", ("worker",), weight=2, hold_s=(shortest, longest), light=True), FrozenPoolChild
        ),
    ]


class SignalledProcess:
    """A process of the stack gets a deadly signal; its supervisor starts it again."""

    def __init__(self, arena: Arena, target: str, *, number: signal.Signals) -> None:
        """`number` is SIGKILL, or SIGTERM for an end in good order."""
        self._arena = arena
        self._target = target
        self._number = number
        self._started = 0.0

    async def inject(self) -> str:
        """Send the signal."""
        self._started = self._arena.started_at(self._target)
        with contextlib.suppress(psutil.NoSuchProcess):  # it is down already, by a fault before
            victim = self._arena.process(self._target)
            victim.send_signal(self._number)
            return f"pid {victim.pid}"
        return "was down"

    async def recover(self) -> None:
        """The supervisor's work."""

    async def ready(self) -> bool:
        """Its successor serves."""
        return await self._arena.serves(self._target, started_after=self._started)


class KilledPoolChild:
    """kill -9 of one process of the worker's pool, one that draws if there is any."""

    def __init__(self, arena: Arena, _: str) -> None:
        self._arena = arena
        self._size = 0
        self._victim: psutil.Process | None = None

    async def inject(self) -> str:
        """Kill it; what it draws with must die with it."""
        self._victim = await self._arena.somebody_draws()
        if self._victim is None:
            return "no pool"
        self._size = len(self._arena.pool())
        drew = bool(renders_of(self._victim))
        _signal([self._victim], signal.SIGKILL)
        return f"pid {self._victim.pid}, {'drawing' if drew else 'idle'}"

    async def recover(self) -> None:
        """The pool's work."""

    async def ready(self) -> bool:
        """The pool has as many processes as before, without this one."""
        pool = self._arena.pool()
        return len(pool) >= self._size and self._victim not in pool


class KilledRender:
    """kill -9 of the process that draws a scene."""

    def __init__(self, arena: Arena, _: str) -> None:
        self._arena = arena

    async def inject(self) -> str:
        """Kill it."""
        pool_process = await self._arena.somebody_draws()
        renders = renders_of(pool_process) if pool_process else []
        _signal(renders, signal.SIGKILL)
        return f"{len(renders)} drawing"

    async def recover(self) -> None:
        """The pool child's work."""

    async def ready(self) -> bool:
        """Nothing is out of service."""
        return True


class FrozenProcess:
    """SIGSTOP of a process with all its descendants, SIGCONT at the end.

    A worker that is frozen for longer than its leases wakes up a zombie: it works on at what others have taken over.
    """

    def __init__(self, arena: Arena, target: str) -> None:
        self._arena = arena
        self._target = target
        self._frozen: list[psutil.Process] = []

    async def inject(self) -> str:
        """Freeze it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._frozen = _tree(self._arena.process(self._target))
        _signal(self._frozen, signal.SIGSTOP)
        return f"{len(self._frozen)} processes"

    async def recover(self) -> None:
        """Let it go on."""
        _signal(self._frozen, signal.SIGCONT)

    async def ready(self) -> bool:
        """It answers."""
        return await self._arena.serves(self._target)


class FrozenPoolChild:
    """SIGSTOP of one pool process with what it draws with, for longer than its lease."""

    def __init__(self, arena: Arena, _: str) -> None:
        self._arena = arena
        self._frozen: list[psutil.Process] = []

    async def inject(self) -> str:
        """Freeze one that draws if there is any."""
        found = await self._arena.somebody_draws()
        self._frozen = _tree(found) if found else []
        drawing = bool(found and renders_of(found))
        _signal(self._frozen, signal.SIGSTOP)
        return f"{len(self._frozen)} processes, {'drawing' if drawing else 'idle'}"

    async def recover(self) -> None:
        """Let it go on."""
        _signal(self._frozen, signal.SIGCONT)

    async def ready(self) -> bool:
        """None of them is still stopped."""
        return not any(_status(process) == psutil.STATUS_STOPPED for process in self._frozen)


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _signal(targets: list[psutil.Process], number: signal.Signals) -> None:
    for process in targets:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return "gone"
