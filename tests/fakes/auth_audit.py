"""The audit trail in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Note:
    """What was noted."""

    event: str
    user_id: str
    resources: Mapping[str, str] = field(default_factory=dict)


class FakeAuditTrail:
    """`AuditTrail` over the notes of a unit of work."""

    def __init__(self, notes: dict[int, Note]) -> None:
        self._notes = notes

    async def note(self, event: str, user_id: str, resources: Mapping[str, str] | None = None) -> None:
        """The next one."""
        self._notes[len(self._notes)] = Note(event, user_id, dict(resources or {}))
