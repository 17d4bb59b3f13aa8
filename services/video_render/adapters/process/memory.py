"""What a render child may take, and whether the kernel has taken it back."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

_MOST_EXPENDABLE = 500
"""Of 1000: before any process that has not asked for it, without being killed for a small shortage elsewhere."""


def limit(data_bytes: int) -> None:
    """Let allocations beyond this fail in the calling process (RLIMIT_DATA), unless 0; macOS does not enforce it."""
    if data_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))


def be_expendable() -> None:
    """Ask the kernel to kill this process first when memory runs out, rather than the worker that can report it."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(str(_MOST_EXPENDABLE))


def oom_kills(proc: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processes of this control group the kernel has killed for memory so far; 0 when it cannot be told."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            places = [mounted / group.strip("/") / "memory.events", mounted / "memory.events"]
        elif "memory" in controllers.split(","):
            v1 = mounted / "memory"
            places = [v1 / group.strip("/") / "memory.oom_control", v1 / "memory.oom_control"]
        else:
            continue
        for place in places:
            if (count := _oom_kill_of(place)) is not None:
                return count
    return 0


def _oom_kill_of(place: Path) -> int | None:
    with contextlib.suppress(OSError):
        for line in place.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None
