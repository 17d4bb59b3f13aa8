"""The streams that watchers are sent from, as far as they can be dropped."""

from __future__ import annotations

from collections.abc import Sequence


class FakeStreams:
    """`LiveStreams`: remembers what was dropped."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def forget(self, stream_ids: Sequence[str]) -> None:
        """Drop them."""
        self.forgotten.extend(stream_ids)
