"""What an entry of the audit trail holds, and how it is read off a call: ids, never any other value.

Every call that may change something or asks for more than the right to read leaves an entry, and so does every call
of an admin; calls of services leave none. `is_audited` and `leaves_entry` are that rule, read from the descriptors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.runtime.identity import CallContext, Principal, Role, current_call
from services.runtime.ids import new_id
from t2m.common.v1 import options_pb2

UNREADABLE = "?"
"""In place of a value that does not have the form of an id: it may be anything, also a secret in the wrong field."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16}", re.IGNORECASE)
_NO_RESOURCE = frozenset({"request_id"})
"""Ends in `_id` and names the request; clients choose it freely."""


class CallerKind(StrEnum):
    """What kind of caller an entry tells of."""

    ANONYMOUS = "anonymous"
    USER = "user"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry. `entry_id` is a UUID of version 7, so entries sort by it in time."""

    entry_id: str
    occurred_at: datetime
    service: str
    action: str
    outcome: str
    caller_kind: CallerKind
    caller_id: str = ""
    caller_role: str = ""
    session_id: str = ""
    api_key_id: str = ""
    client_address: str = ""
    request_id: str = ""
    resources: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For a JSON column; `from_json` reads it back."""
        # Not `asdict`, which copies every value deeply: this is done for every call that leaves an entry.
        values: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        values["occurred_at"] = self.occurred_at.isoformat()
        return values

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> AuditEntry:
        """What `as_json` made. Raises KeyError, TypeError or ValueError for anything else."""
        known = {
            **value,
            "occurred_at": datetime.fromisoformat(value["occurred_at"]),
            "caller_kind": CallerKind(value["caller_kind"]),
        }
        return cls(**known)


_NAMES = tuple(each.name for each in fields(AuditEntry))


def mention(**resources: str) -> None:
    """Name what the call being served is about, where its request does not: `mention(user_id=…)` at a login.

    Names end in `_id`, values are ids. Without a call nothing happens.
    """
    call = current_call()
    if call is not None:
        call.mentioned.update(resources)


def is_audited(method: MethodDescriptor) -> bool:
    """Whether every call of the method leaves an entry, whoever makes it."""
    options = method.GetOptions()
    access = options.Extensions[options_pb2.permission].access
    if access == options_pb2.ACCESS_SERVICE:
        return False
    more_than_read = access not in (options_pb2.ACCESS_PUBLIC, options_pb2.ACCESS_READ)
    return more_than_read or options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS


def leaves_entry(audited: bool, principal: Principal | None) -> bool:
    """Whether this caller's call does; `audited` is what `is_audited` says of the method."""
    if principal is None:
        return audited
    return principal.role is not Role.SERVICE and (audited or principal.role is Role.ADMIN)


Extract = Callable[[Any], Iterator[tuple[str, str]]]
"""(field, id) of every resource that a message names."""


def id_fields(message: Descriptor, *, nested: bool) -> Extract:
    """Compiled once per method: the top-level fields that end in `_id` and, with `nested`, those of the messages in its
    fields (the header of an upload, the new resource in an answer).
    """
    own = _names(message)
    inner = [(name, names) for name, part in _parts(message) if nested and (names := _names(part))]

    def extract(found: Any) -> Iterator[tuple[str, str]]:
        for name in own:
            if value := getattr(found, name):
                yield name, _readable(value)
        for name, names in inner:
            if found.HasField(name):
                part = getattr(found, name)
                for each in names:
                    if value := getattr(part, each):
                        yield each, _readable(value)

    return extract


def _names(message: Descriptor) -> tuple[str, ...]:
    return tuple(
        each.name
        for each in message.fields
        if each.name.endswith("_id")
        and each.name not in _NO_RESOURCE
        and each.type == FieldDescriptor.TYPE_STRING
        and not each.is_repeated
    )


def _parts(message: Descriptor) -> Iterator[tuple[str, Descriptor]]:
    for each in message.fields:
        if each.message_type is not None and not each.is_repeated:
            yield each.name, each.message_type


def _readable(value: str) -> str:
    return value.lower() if _ID.fullmatch(value) else UNREADABLE


def entry_of(call: CallContext, service: str, outcome: str, resources: dict[str, str]) -> AuditEntry:
    """The entry of a call that ends now."""
    principal = call.principal
    entry_id, now = new_id(), datetime.now(UTC)
    shared: dict[str, Any] = {
        "entry_id": entry_id,
        "occurred_at": now,
        "service": service,
        "action": call.method,
        "outcome": outcome,
        "client_address": call.client_address,
        "request_id": call.request_id,
        "resources": {**resources, **{name: _readable(value) for name, value in call.mentioned.items()}},
    }
    if principal is None:
        return AuditEntry(**shared, caller_kind=CallerKind.ANONYMOUS)
    return AuditEntry(
        **shared,
        caller_kind=CallerKind.SERVICE if principal.role is Role.SERVICE else CallerKind.USER,
        caller_id=principal.subject,
        caller_role=principal.role.value,
        session_id=principal.session_id,
        api_key_id=principal.api_key_id,
    )
