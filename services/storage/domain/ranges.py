"""Which bytes of an object a reader gets."""

from __future__ import annotations

from dataclasses import dataclass

from services.storage.domain.errors import RangeNotSatisfiable


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A run of bytes inside an object."""

    offset: int
    length: int


def clip(offset: int, limit: int | None, size_bytes: int) -> ByteRange:
    """The bytes from `offset` on, at most `limit` (None: all), that an object of `size_bytes` has.

    An offset equal to the size gives an empty range. Raises RangeNotSatisfiable beyond that.
    """
    if not 0 <= offset <= size_bytes:
        raise RangeNotSatisfiable(offset, size_bytes)
    rest = size_bytes - offset
    return ByteRange(offset, rest if limit is None else min(max(limit, 0), rest))
