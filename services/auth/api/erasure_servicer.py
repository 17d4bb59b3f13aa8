"""`ErasureService` and `AccountDataService`: decode, use case, encode."""

from __future__ import annotations

from services.auth.api.context import Context
from services.auth.api.record_codec import encode_erasure
from services.auth.application.erasure import AccountData, Erasures
from services.runtime.identity import current_principal
from t2m.auth.v1 import account_data_service_pb2, account_data_service_pb2_grpc, erasure_service_pb2_grpc
from t2m.auth.v1 import erasure_service_pb2 as pb


class ErasureServicer(erasure_service_pb2_grpc.ErasureServiceServicer):
    """`t2m.auth.v1.ErasureService`."""

    def __init__(self, erasures: Erasures) -> None:
        self._erasures = erasures

    async def EraseAccount(self, request: pb.EraseAccountRequest, context: Context) -> pb.EraseAccountResponse:
        """Begin to erase the caller's account."""
        caller = current_principal()
        begun = await self._erasures.erase(caller.subject, caller.authenticated_at, by_api_key=bool(caller.api_key_id))
        return pb.EraseAccountResponse(erasure=encode_erasure(begun))

    async def GetErasure(self, request: pb.GetErasureRequest, context: Context) -> pb.GetErasureResponse:
        """How far it is."""
        return pb.GetErasureResponse(erasure=encode_erasure(await self._erasures.get(request.erasure_id)))

    async def ListErasures(self, request: pb.ListErasuresRequest, context: Context) -> pb.ListErasuresResponse:
        """What the calling service has to purge."""
        service = current_principal().subject
        found = await self._erasures.waiting(service, request.page_size)
        return pb.ListErasuresResponse(erasures=[encode_erasure(each, service) for each in found])

    async def AcknowledgeErasure(
        self, request: pb.AcknowledgeErasureRequest, context: Context
    ) -> pb.AcknowledgeErasureResponse:
        """The calling service has nothing of the user any more."""
        await self._erasures.acknowledge(request.erasure_id, current_principal().subject)
        return pb.AcknowledgeErasureResponse()


class AccountDataServicer(account_data_service_pb2_grpc.AccountDataServiceServicer):
    """`t2m.auth.v1.AccountDataService`."""

    def __init__(self, data: AccountData) -> None:
        self._data = data

    async def GetAccountData(
        self, request: account_data_service_pb2.GetAccountDataRequest, context: Context
    ) -> account_data_service_pb2.GetAccountDataResponse:
        """A page of what is kept of a user."""
        records, token = await self._data.page(request.user_id, request.page_token)
        return account_data_service_pb2.GetAccountDataResponse(
            records=[account_data_service_pb2.AccountRecord(section=each.section, json=each.json) for each in records],
            next_page_token=token,
        )
