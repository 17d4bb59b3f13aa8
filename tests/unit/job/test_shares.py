"""The virtual time of the fair queue (J5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.job.domain.shares import VirtualTime


def test_J5_it_is_the_largest_tag_started() -> None:
    """J5: as in start-time fair queueing."""
    assert VirtualTime(3, 5).after([3, 4, 4], 2) == VirtualTime(4, 2)
    assert VirtualTime(3, 5).after([3], 2) == VirtualTime(3, 6)
    assert VirtualTime(3, 5).after([], 2) == VirtualTime(3, 5)


def test_J5_a_round_has_as_many_starts_as_owners_wait() -> None:
    """J5: at least 32."""
    assert VirtualTime(3, 30).after([3], 2) == VirtualTime(3, 31)
    assert VirtualTime(3, 31).after([3], 2) == VirtualTime(4)
    assert VirtualTime(3, 31).after([3], 50) == VirtualTime(3, 32)
    assert VirtualTime(3, 49).after([3], 50) == VirtualTime(4)


@given(batches=st.lists(st.tuples(st.lists(st.integers(0, 3), max_size=8), st.integers(0, 40)), max_size=60))
def test_J5_it_never_falls_and_a_round_never_lasts(batches: list[tuple[list[int], int]]) -> None:
    """J5: k turns are over after k rounds at most, of 40 starts here, whatever is started."""
    time, started = VirtualTime(), 0
    for offsets, owners in batches:
        later = time.after([time.tag + offset for offset in offsets], owners)
        assert later.tag >= time.tag
        assert later.tag <= time.tag + max(offsets, default=0) + 1
        time, started = later, started + len(offsets)
        assert time.starts < 40
    assert time.tag >= started // (40 + 8)
