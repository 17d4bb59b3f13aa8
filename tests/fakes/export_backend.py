"""An export that is made while it is sent, scripted by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.api import httpbody_pb2

from t2m.job.v1 import export_service_pb2 as pb
from t2m.job.v1 import export_service_pb2_grpc

CHUNK = 65_536


class Exports(export_service_pb2_grpc.ExportServiceServicer):
    """Sends the script's content; counts what was taken from it."""

    def __init__(self, script: Any) -> None:
        self._script = script

    async def ExportUserData(self, request: Any, context: Any) -> AsyncIterator[pb.ExportUserDataResponse]:
        script = self._script
        if script.refusal is not None:
            code, reason, details = script.refusal
            from tests.fakes.grpc_backends import refuse  # it imports this module

            await refuse(context, code, reason, "refused", *details)
        context.add_done_callback(lambda _: script.cancelled.set())
        for offset in range(0, len(script.content), CHUNK):
            if script.break_read_at is not None and offset >= script.break_read_at:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "a neighbour went away")
            first = not offset
            data = script.content[offset : offset + CHUNK]
            body = httpbody_pb2.HttpBody(content_type="application/zip" if first else "", data=data)
            yield pb.ExportUserDataResponse(body=body, filename="t2m-export.zip" if first else "")
            script.bytes_read += len(data)
