"""V4: which bytes a range means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.storage.domain.errors import RangeNotSatisfiable
from services.storage.domain.ranges import ByteRange, clip


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [(0, None, (0, 10)), (3, 4, (3, 4)), (3, 400, (3, 7)), (10, None, (10, 0)), (0, 0, (0, 0))],
)
def test_clip(offset: int, limit: int | None, expected: tuple[int, int]) -> None:
    assert clip(offset, limit, 10) == ByteRange(*expected)


@pytest.mark.parametrize("offset", [-1, 11])
def test_outside(offset: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        clip(offset, None, 10)
    assert caught.value.metadata == {"size_bytes": "10"}


@given(st.integers(0, 100), st.none() | st.integers(0, 200), st.integers(0, 100))
def test_it_is_what_slicing_gives(offset: int, limit: int | None, size: int) -> None:
    data = bytes(size)
    if offset > size:
        return
    found = clip(offset, limit, size)
    end = None if limit is None else offset + limit
    assert found.length == len(data[offset:end])
    assert found.offset + found.length <= size
