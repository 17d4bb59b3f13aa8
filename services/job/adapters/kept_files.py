"""storage over gRPC: everything that it keeps of a user."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from services.job.application.export import KeptFile
from t2m.storage.v1 import object_pb2, object_service_pb2_grpc
from t2m.storage.v1 import object_service_pb2 as pb

_PAGE = 200
_INTERNAL = ("fence", "version", "request_id")


class GrpcKeptFiles:
    """`KeptFiles` over `t2m.storage.v1.ObjectService`. Failures travel on as they are."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float = 10.0) -> None:
        self._stub: Any = object_service_pb2_grpc.ObjectServiceStub(channel)
        self._timeout_s = timeout_s

    async def page(self, owner_id: str, page_token: str) -> tuple[list[KeptFile], str]:
        """A page, oldest first."""
        request = pb.ListObjectsRequest(owner_id=owner_id, page_size=_PAGE, page_token=page_token)
        answer = await self._stub.ListObjects(request, timeout=self._timeout_s)
        return [_file(item) for item in answer.objects], answer.next_page_token

    async def read(self, owner_id: str, object_id: str) -> AsyncGenerator[bytes]:
        """The bytes; the next are fetched when these are taken."""
        call = self._stub.ReadObject(pb.ReadObjectRequest(object_id=object_id, owner_id=owner_id))
        try:
            async for message in call:
                yield message.chunk
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:  # deleted since it was listed: there is nothing to tell
                raise
        finally:
            call.cancel()


def _file(item: object_pb2.Object) -> KeptFile:
    described = MessageToDict(item, preserving_proto_field_name=True)
    kind = object_pb2.ArtifactKind.Name(item.kind).removeprefix("ARTIFACT_KIND_").lower()
    shown = {name: value for name, value in described.items() if name not in _INTERNAL}
    return KeptFile(item.object_id, kind, item.job_id, item.filename or f"{kind}-{item.object_id}", shown)
