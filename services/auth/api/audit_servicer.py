"""`AuditService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api import record_codec as codec
from services.auth.api.context import Context
from services.auth.application.audit import Audit
from services.runtime.identity import current_principal
from t2m.auth.v1 import audit_service_pb2 as pb
from t2m.auth.v1 import audit_service_pb2_grpc

_PAGE = 50


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """`t2m.auth.v1.AuditService`."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        """A page for an admin."""
        wanted = codec.decode_filter(request)
        name = ("all", repr(wanted))
        before = codec.open_position(request.page_token, *name)
        entries, last = await self._audit.page(wanted, before, request.page_size or _PAGE)
        return pb.ListAuditEntriesResponse(
            entries=[codec.encode_entry(entry) for entry in entries],
            next_page_token=codec.seal_position(last, *name),
        )

    async def ListOwnAuditEntries(
        self, request: pb.ListOwnAuditEntriesRequest, context: Context
    ) -> pb.ListOwnAuditEntriesResponse:
        """A page for the user whom it concerns."""
        user_id = current_principal().subject
        name = ("own", user_id)
        before = codec.open_position(request.page_token, *name)
        entries, last = await self._audit.own(user_id, before, request.page_size or _PAGE)
        return pb.ListOwnAuditEntriesResponse(
            entries=[codec.encode_entry(entry) for entry in entries],
            next_page_token=codec.seal_position(last, *name),
        )

    async def RecordAuditEntries(
        self, request: pb.RecordAuditEntriesRequest, context: Context
    ) -> pb.RecordAuditEntriesResponse:
        """What a service has written down."""
        await self._audit.record(codec.decode_entries(request.entries, current_principal().subject))
        return pb.RecordAuditEntriesResponse()
