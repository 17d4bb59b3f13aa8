"""How the C library keeps freed memory."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # glibc's <malloc.h>


def share_arenas(most: int = 2) -> None:
    """Let threads that are started from now on share so many heaps, in place of eight for each core.

    For a process whose threads pass large buffers on: one heap's free memory is no use to a thread of another, so every
    heap grows to the whole need. Without effect where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, most)
