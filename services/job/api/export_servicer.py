"""`ExportService`, and how serialised messages look in an export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.api import httpbody_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from services.job.application.export import Export
from services.runtime.identity import current_principal
from t2m.job.v1 import batch_pb2, export_service_pb2_grpc, job_pb2, log_pb2
from t2m.job.v1 import export_service_pb2 as pb
from t2m.video_render.v1 import storyboard_pb2

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
_TYPE, _NAME = "application/zip", "t2m-export.zip"

_MESSAGES: Mapping[str, type[Message]] = {
    "job_events": job_pb2.JobEvent,
    "job_logs": log_pb2.JobLogEvent,
    "batch_events": batch_pb2.BatchEvent,
    "storyboards": storyboard_pb2.Storyboard,
}


def _show(kind: type[Message], data: bytes) -> dict[str, Any]:
    shown: dict[str, Any] = MessageToDict(kind.FromString(data), preserving_proto_field_name=True)
    return shown


SHOWS = {table: (lambda data, kind=kind: _show(kind, data)) for table, kind in _MESSAGES.items()}
"""By table, how its serialised message is shown."""


class ExportServicer(export_service_pb2_grpc.ExportServiceServicer):
    """`t2m.job.v1.ExportService`."""

    def __init__(self, export: Export) -> None:
        self._export = export

    async def ExportUserData(
        self, request: pb.ExportUserDataRequest, context: Context
    ) -> AsyncIterator[pb.ExportUserDataResponse]:
        """The archive as it is made."""
        first = True
        async with aclosing(self._export(current_principal().subject)) as chunks:
            async for chunk in chunks:
                body = httpbody_pb2.HttpBody(content_type=_TYPE if first else "", data=chunk)
                yield pb.ExportUserDataResponse(body=body, filename=_NAME if first else "")
                first = False
