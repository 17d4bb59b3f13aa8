"""The part that shows users the queue."""

from __future__ import annotations

import grpc

from services.job.api.queue_servicer import QueueServicer
from services.job.application.queue_status import QueueReports
from services.job.bootstrap.base import Base, Part
from services.runtime.ids import new_id
from t2m.job.v1 import queue_service_pb2_grpc


def build_queue(base: Base) -> Part:
    """`JobQueueService`."""
    servicer = QueueServicer(QueueReports(base.queue, base.estimates, base.clock, new_id, base.limits.in_flight))

    def add(server: grpc.aio.Server) -> str:
        queue_service_pb2_grpc.add_JobQueueServiceServicer_to_server(servicer, server)
        return "t2m.job.v1.JobQueueService"

    return Part([add])
