"""The audit trail (A8): who did what to which resources, and how it ended; never any content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum


class CallerKind(StrEnum):
    """What kind of caller an entry tells of."""

    ANONYMOUS = "anonymous"
    """Nobody known: a public method, or a credential that was refused."""
    USER = "user"
    SERVICE = "service"
    SYSTEM = "system"
    """Nobody called: auth noticed it."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry. Its id is a UUID of version 7, so ids sort by time."""

    entry_id: str
    occurred_at: datetime
    service: str
    action: str
    """The method, as `/t2m.job.v1.JobService/CreateJob`; or the name of an event."""
    outcome: str
    """Name of the gRPC status code."""
    caller_kind: CallerKind
    caller_id: str = ""
    caller_role: str = ""
    session_id: str = ""
    api_key_id: str = ""
    client_address: str = ""
    request_id: str = ""
    resources: Mapping[str, str] = field(default_factory=dict)
    """Name of the field that named a resource → its id."""

    @property
    def person(self) -> str:
        """Whose address and request id it has: the caller's or, when that is not known, of whom it tells."""
        if self.caller_kind in (CallerKind.ANONYMOUS, CallerKind.SYSTEM):
            return self.resources.get("user_id", "")
        return self.caller_id

    def as_seen_by(self, user_id: str) -> AuditEntry:
        """The entry for a user whom it concerns: who else the caller is stays between them and the operator."""
        if self.caller_id == user_id or self.caller_kind in (CallerKind.SYSTEM, CallerKind.ANONYMOUS):
            return self
        return replace(self, caller_id="", session_id="", api_key_id="", client_address="", request_id="")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; what is empty does not apply."""

    caller_id: str = ""
    action: str = ""
    resource_id: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
    """Not included."""
