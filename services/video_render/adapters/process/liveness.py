"""Whether a process of this machine is gone for certain, read from /proc (proc_pid_stat(5))."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_ENDED = {"Z", "X", "x"}


class ProcLiveness:
    """The `Liveness` of Linux. A name has the boot, the PID namespace, the process id, and when the process began: a
    number that was given to another process since is told apart, and other machines are never judged.
    """

    def me(self) -> str:
        """The name of this process; empty where there is no /proc."""
        try:
            began = _began(os.getpid())
        except OSError:
            began = None
        return f"{_place()}:{os.getpid()}:{began[1]}" if began and _place() else ""

    def provably_dead(self, holder: str) -> bool:
        """Whether the named process ran here and has ended. A stopped one is alive."""
        place, _, rest = holder.partition(":")
        number, _, start = rest.partition(":")
        if not place or place != _place() or not number.isdigit() or not start.isdigit():
            return False
        try:
            found = _began(int(number))
        except OSError:
            return False
        if found is None:
            return not _exists(int(number))  # /proc may be mounted so that it hides what other users run
        return found[1] != start or found[0] in _ENDED


@cache
def _place() -> str:
    """Boot and PID namespace; empty when they cannot be read, or when /proc is that of another namespace."""
    try:
        if (_PROC / "self").readlink().name != str(os.getpid()):
            return ""
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink().name}".replace(":", "")
    except OSError:
        return ""


def _began(pid: int) -> tuple[str, str] | None:
    """State and start time of a process; None when there is none to be seen. Raises OSError when it cannot be read."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may contain anything
    if len(fields) <= 19 or not fields[19].isdigit():
        raise OSError(f"/proc/{pid}/stat is not as proc_pid_stat(5) says")
    return fields[0], fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is another user's
    return True
