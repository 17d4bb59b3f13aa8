"""Python's search for cyclic garbage, kept away from what stays to the end of a process.

What modules leave behind is hardly ever garbage: searching while they are imported is a sixth of the time that a
process takes to start. And what is there when it has started would be searched again and again, or, in a forked
process, be copied page by page, because the search writes into every object that it looks at.
"""

from __future__ import annotations

import gc


def pause() -> None:
    """Search for nothing until `settle`; before the imports of a process."""
    gc.disable()


def settle() -> None:
    """Leave out what is there now, and search as usual among all that follows. Before a process forks or serves."""
    gc.collect()
    gc.freeze()
    gc.enable()
