"""What the supervisor runs, as data: processes in stages, each with a readiness probe."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.local.daemon import Probe


def nothing() -> None:
    """The default preparation."""


@dataclass(frozen=True)
class ProcessSpec:
    """One process to keep running."""

    name: str
    """Its name in the log folder, in the state file and for ``restart``."""
    command: Callable[[], Sequence[str]]
    """The command line; asked at every start, after ``prepare``."""
    ready: Probe
    """True when it serves."""
    environment: Mapping[str, str] | None = None
    """The whole environment; None: the supervisor's own."""
    prepare: Callable[[], None] = nothing
    """Done before every start, for example clearing what a crash left; may raise StackError."""
    stop_signal: int = signal.SIGTERM
    """What asks it to end."""
    stop_timeout: float = 25.0
    """Seconds that it may take to end before its tree is killed."""
    start_timeout: float = 120.0
    """Seconds that it may take to become ready; on the first start, longer fails the whole stack."""
    tied: bool = False
    """Whether ``command`` already ends with its parent (see ``daemon.tied``).

    If not, the supervisor adds that.
    """


@dataclass(frozen=True)
class Stage:
    """Processes that start side by side; the next stage waits until all are ready and ``then`` is done."""

    processes: Sequence[ProcessSpec]
    then: Sequence[Callable[[], Awaitable[None]]] = field(default=())
    """Steps to run once after the processes are ready (databases, migrations).

    An exception fails the stack.
    """
