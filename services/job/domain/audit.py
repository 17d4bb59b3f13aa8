"""What was done to jobs and cannot be undone: who, when, what; never any content of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

SYSTEM = "system"
"""The actor where nobody asked for it: retention."""


@dataclass(frozen=True, slots=True)
class AuditNote:
    """An entry before it is stored with the change that it tells of; `details` are figures."""

    actor: str
    action: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A stored entry; `entry_id` grows over all jobs."""

    entry_id: int
    occurred_at: datetime
    note: AuditNote
    job_id: str = ""
    owner_id: str = ""
