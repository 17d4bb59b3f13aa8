"""Labels in a row: each as near to where it belongs as its neighbours allow, in the same order."""

from __future__ import annotations

from collections.abc import Sequence


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float, gap: float) -> list[float]:
    """Middles for labels of these sizes that belong at `wanted` (ascending), clear of each other, from low to high.

    When there is no room for the gaps they shrink; when there is none for the labels, they are put evenly.
    """
    if not wanted:
        return []
    gap = min(gap, max((high - low - sum(sizes)) / len(sizes), 0.0))
    # Positions less the room that the labels before need: then "clear of each other" means "ascending".
    before = [sum(sizes[:at]) + sizes[at] / 2 + gap * at for at in range(len(sizes))]
    room = max(high - low - sum(sizes) - gap * (len(sizes) - 1), 0.0)
    targets = [value - low - offset for value, offset in zip(wanted, before, strict=True)]
    return [
        low + min(max(value, 0.0), room) + offset for value, offset in zip(_ascending(targets), before, strict=True)
    ]


def _ascending(values: Sequence[float]) -> list[float]:
    """The ascending sequence that is nearest by squares: neighbours in the wrong order share their mean."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while blocks and blocks[-1][0] > mean:
            other, members = blocks.pop()
            mean, count = (mean * count + other * members) / (count + members), count + members
        blocks.append((mean, count))
    return [mean for mean, count in blocks for _ in range(count)]
