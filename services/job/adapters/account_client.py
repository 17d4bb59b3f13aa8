"""auth over gRPC: what it keeps of a user."""

from __future__ import annotations

from typing import Any

import grpc

from services.job.application.export import AccountPage
from t2m.auth.v1 import account_data_service_pb2 as pb
from t2m.auth.v1 import account_data_service_pb2_grpc


class GrpcAccountRecords:
    """`AccountRecords` over `t2m.auth.v1.AccountDataService`. Failures travel on as they are."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float = 10.0) -> None:
        self._stub: Any = account_data_service_pb2_grpc.AccountDataServiceStub(channel)
        self._timeout_s = timeout_s

    async def page(self, owner_id: str, page_token: str) -> AccountPage:
        """The page."""
        request = pb.GetAccountDataRequest(user_id=owner_id, page_token=page_token)
        answer = await self._stub.GetAccountData(request, timeout=self._timeout_s)
        return AccountPage([(record.section, record.json) for record in answer.records], answer.next_page_token)
