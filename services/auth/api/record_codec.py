"""Between the messages of the record and the domain: audit entries, erasures, their page tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf import timestamp_pb2

from services.auth.api.codec import encode_time
from services.auth.domain.audit import AuditEntry, AuditFilter, CallerKind
from services.auth.domain.erasure import Erasure
from services.auth.domain.errors import InvalidValue
from t2m.auth.v1 import audit_service_pb2, erasure_service_pb2

_TAG_BYTES = 8


def encode_entry(entry: AuditEntry) -> audit_service_pb2.AuditEntry:
    """The entry."""
    return audit_service_pb2.AuditEntry(
        entry_id=entry.entry_id,
        occurred_at=encode_time(entry.occurred_at),
        service=entry.service,
        action=entry.action,
        outcome=entry.outcome,
        caller_kind=entry.caller_kind.value,
        caller_id=entry.caller_id,
        caller_role=entry.caller_role,
        session_id=entry.session_id,
        api_key_id=entry.api_key_id,
        client_address=entry.client_address,
        request_id=entry.request_id,
        resources=entry.resources,
    )


def decode_entries(messages: Iterable[audit_service_pb2.AuditEntry], service: str) -> list[AuditEntry]:
    """Entries that `service` relays: none speaks for another."""
    return [
        AuditEntry(
            entry_id=str(UUID(message.entry_id)),
            occurred_at=message.occurred_at.ToDatetime(UTC),
            service=service,
            action=message.action,
            outcome=message.outcome,
            caller_kind=CallerKind(message.caller_kind),
            caller_id=message.caller_id,
            caller_role=message.caller_role,
            session_id=message.session_id,
            api_key_id=message.api_key_id,
            client_address=message.client_address,
            request_id=message.request_id,
            resources=dict(message.resources),
        )
        for message in messages
    ]


def decode_filter(request: audit_service_pb2.ListAuditEntriesRequest) -> AuditFilter:
    """Which entries an admin wants."""
    return AuditFilter(
        caller_id=request.caller_id.lower(),
        action=request.method,
        resource_id=request.resource_id.lower(),
        outcome=request.outcome,
        since=_moment(request.start_time) if request.HasField("start_time") else None,
        until=_moment(request.end_time) if request.HasField("end_time") else None,
    )


def _moment(stamp: timestamp_pb2.Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


def seal_position(last: str | None, *name: str) -> str:
    """The token of the page after this entry, of the list with this name and filters; empty on the last."""
    if last is None:
        return ""
    return base64.urlsafe_b64encode(_tag(name) + UUID(last).bytes).decode()


def open_position(token: str, *name: str) -> str | None:
    """The entry after which the page begins. Raises InvalidValue for a token of another list."""
    if not token:
        return None
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _TAG_BYTES + 16 or raw[:_TAG_BYTES] != _tag(name):
        raise InvalidValue([("page_token", "must come from the last answer to the same list")])
    return str(UUID(bytes=raw[_TAG_BYTES:]))


def _tag(name: Iterable[str]) -> bytes:
    return hashlib.sha256("\0".join(name).encode()).digest()[:_TAG_BYTES]


def encode_erasure(erasure: Erasure, service: str = "") -> erasure_service_pb2.Erasure:
    """The erasure, perhaps for a service."""
    return erasure_service_pb2.Erasure(
        erasure_id=erasure.erasure_id,
        user_id=erasure.user_id,
        requested_at=encode_time(erasure.requested_at),
        completed_at=encode_time(erasure.completed_at) if erasure.completed_at else None,
        waiting_for=erasure.waiting_for,
        may_acknowledge=erasure.is_turn_of(service),
    )
