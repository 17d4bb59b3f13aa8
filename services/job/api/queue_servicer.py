"""`JobQueueService`: decode, use case, encode."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from services.job.api import codec
from services.job.api.servicer import Context, current_viewer
from services.job.application.queue_status import Outlook, QueueReports
from t2m.job.v1 import queue_service_pb2 as pb
from t2m.job.v1 import queue_service_pb2_grpc


class QueueServicer(queue_service_pb2_grpc.JobQueueServiceServicer):
    """What users may know of the queue."""

    def __init__(self, reports: QueueReports) -> None:
        self._reports = reports

    async def GetQueueStatus(self, request: pb.GetQueueStatusRequest, context: Context) -> pb.GetQueueStatusResponse:
        """The queue now."""
        status = await self._reports.status(current_viewer())
        return pb.GetQueueStatusResponse(
            queue_status=pb.QueueStatus(
                paused=status.paused,
                processing_count=status.processing,
                slot_count=status.slots,
                depths=[_depth(outlook) for outlook in status.outlooks],
            )
        )


def _depth(outlook: Outlook) -> pb.QueueStatusDepth:
    depth = pb.QueueStatusDepth(
        priority=codec.PRIORITIES[outlook.priority], waiting_count=outlook.waiting, position=outlook.position
    )
    if outlook.wait is not None:
        wait = Duration()
        wait.FromTimedelta(outlook.wait)
        depth.estimated_wait.CopyFrom(wait)
    return depth
