"""Processes that do not outlive their parents."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL when the parent ends; end at once when it already has.

    Where the kernel knows no such thing (macOS) only the check is made; call `end_if_orphaned` now and then.
    """
    if _LIBC is not None and _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    end_if_orphaned(parent)


def end_if_orphaned(parent: int) -> None:
    """End this process when its parent is gone."""
    if os.getppid() != parent:
        os._exit(1)
