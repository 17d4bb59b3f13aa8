"""The virtual time of the fair queue (J5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_ROUND = 32
"""Starts of a round, at least: with fewer owners than that a newcomer always comes before those who had their turn."""


@dataclass(frozen=True, slots=True)
class VirtualTime:
    """How many turns those have had who had most: the start tag that a newcomer gets."""

    tag: int = 0
    starts: int = 0
    """Jobs started since the tag last rose."""

    def after(self, tags: Iterable[int], owners: int) -> VirtualTime:
        """The time once jobs with these start tags are started, while so many owners waited.

        It rises to the largest tag, and by one after a round: as many starts as owners wait. Without rounds endless
        newcomers, each with the tag of the virtual time, would keep it where it is, and all others waiting for ever.
        """
        tag, starts = self.tag, self.starts
        for served in tags:
            tag, starts = (served, 1) if served > tag else (tag, starts + 1)
        return VirtualTime(tag + 1) if starts >= max(_ROUND, owners) else VirtualTime(tag, starts)
