"""auth's half of the record, scripted: takes audit entries, lists erasures, hands out account data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from t2m.auth.v1 import (
    account_data_service_pb2,
    account_data_service_pb2_grpc,
    audit_service_pb2,
    audit_service_pb2_grpc,
    erasure_service_pb2,
    erasure_service_pb2_grpc,
)


class Record(
    audit_service_pb2_grpc.AuditServiceServicer,
    erasure_service_pb2_grpc.ErasureServiceServicer,
    account_data_service_pb2_grpc.AccountDataServiceServicer,
):
    """`AuditService`, `ErasureService` and `AccountDataService` as far as other services call them."""

    def __init__(self) -> None:
        self.entries: dict[str, audit_service_pb2.AuditEntry] = {}
        self.batches = 0
        self.refuses: bool = False
        self.after_storing: Callable[[], None] = lambda: None
        self.erasures: dict[str, erasure_service_pb2.Erasure] = {}
        self.acknowledged: set[str] = set()
        self.account: dict[str, list[tuple[str, str]]] = {}
        self.changed = asyncio.Condition()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve all three."""
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(self, server)
        erasure_service_pb2_grpc.add_ErasureServiceServicer_to_server(self, server)
        account_data_service_pb2_grpc.add_AccountDataServiceServicer_to_server(self, server)

    async def until(self, condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
        """Wait for something that a call brings about."""
        async with asyncio.timeout(deadline_s), self.changed:
            await self.changed.wait_for(condition)

    async def RecordAuditEntries(self, request: Any, context: Any) -> audit_service_pb2.RecordAuditEntriesResponse:
        """Idempotent by id."""
        if self.refuses:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        self.batches += 1
        for entry in request.entries:
            self.entries.setdefault(entry.entry_id, entry)
        self.after_storing()
        async with self.changed:
            self.changed.notify_all()
        return audit_service_pb2.RecordAuditEntriesResponse()

    async def ListErasures(self, request: Any, context: Any) -> erasure_service_pb2.ListErasuresResponse:
        """What is not acknowledged."""
        left = [each for key, each in self.erasures.items() if key not in self.acknowledged]
        return erasure_service_pb2.ListErasuresResponse(erasures=left)

    async def AcknowledgeErasure(self, request: Any, context: Any) -> erasure_service_pb2.AcknowledgeErasureResponse:
        """Done."""
        async with self.changed:
            self.acknowledged.add(request.erasure_id)
            self.changed.notify_all()
        return erasure_service_pb2.AcknowledgeErasureResponse()

    async def GetAccountData(self, request: Any, context: Any) -> account_data_service_pb2.GetAccountDataResponse:
        """Two records a page."""
        records = self.account.get(request.user_id)
        if records is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such user")
        assert records is not None
        begin = int(request.page_token or 0)
        return account_data_service_pb2.GetAccountDataResponse(
            records=[
                account_data_service_pb2.AccountRecord(section=section, json=text)
                for section, text in records[begin : begin + 2]
            ],
            next_page_token=str(begin + 2) if len(records) > begin + 2 else "",
        )
