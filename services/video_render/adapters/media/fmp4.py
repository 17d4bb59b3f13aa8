"""The layout of a fragmented MP4 file: which bytes are the head, which are each fragment (ISO/IEC 14496-12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fragments:
    """`head_bytes` of `ftyp` and `moov`, then fragments (`moof` and `mdat`) of these sizes, without a gap."""

    head_bytes: int
    sizes: tuple[int, ...]


def layout(path: Path) -> Fragments:
    """Reads the headers of the top boxes; raises ValueError when the file is not fragmented, or cut off."""
    head, sizes, open_fragment = 0, list[int](), 0
    for kind, size in _boxes(path):
        if kind == b"mfra":  # an index at the end that belongs to no fragment
            break
        if kind in (b"ftyp", b"moov"):
            head += size
            continue
        open_fragment += size
        if kind == b"mdat":
            sizes.append(open_fragment)
            open_fragment = 0
    if not head or not sizes or open_fragment:
        raise ValueError(f"{path.name} is not a complete fragmented MP4 file")
    return Fragments(head, tuple(sizes))


def _boxes(path: Path) -> Iterator[tuple[bytes, int]]:
    """(type, size in bytes) of each top box."""
    length = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < length:
            file.seek(at)
            header = file.read(16)
            size, kind = int.from_bytes(header[:4]), header[4:8]
            if size == 1:
                size = int.from_bytes(header[8:16])
            if size < 8 or at + size > length:
                raise ValueError(f"{path.name} is cut off in a {kind!r} box")
            yield kind, size
            at += size
