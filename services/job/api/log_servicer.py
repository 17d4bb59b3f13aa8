"""`JobLogService`: decode, use case, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from services.job.api import codec
from services.job.api.servicer import Context, current_viewer
from services.job.application.logs import LogPosition, LogQuery, Logs
from services.job.domain.log import LogLine, Severity
from services.job.domain.values import JobStage
from services.runtime.errors import unavailable
from services.runtime.identity import current_drain
from t2m.job.v1 import log_pb2, log_service_pb2_grpc
from t2m.job.v1 import log_service_pb2 as pb

_DEFAULT_LINES = 100
_STAGE_OF = {number: stage for stage, number in codec.STAGES.items() if stage is not JobStage.NONE}


class LogServicer(log_service_pb2_grpc.JobLogServiceServicer):
    """Logs of jobs."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def ListJobLogs(self, request: pb.ListJobLogsRequest, context: Context) -> pb.ListJobLogsResponse:
        """A page of lines."""
        query = LogQuery(
            codec.canonical_id(request.job_id),
            Severity(request.min_severity) if request.min_severity else None,
            _STAGE_OF.get(request.stage),
            request.scene_index if request.HasField("scene_index") else None,
            request.attempt,
        )
        limit = request.page_size or _DEFAULT_LINES
        lines, token = await self._logs.page(current_viewer(), query, request.page_token, limit)
        entries = [log_pb2.JobLogEvent.FromString(line.payload).entry for line in lines]
        return pb.ListJobLogsResponse(entries=entries, next_page_token=token)

    async def WatchJobLogs(
        self, request: pb.WatchJobLogsRequest, context: Context
    ) -> AsyncIterator[pb.WatchJobLogsResponse]:
        """Follow a log to its end."""
        after = request.after_seq if request.HasField("after_seq") else None
        opened = await self._logs.watch(current_viewer(), codec.canonical_id(request.job_id), after)
        last = False
        async with aclosing(opened) as stream:
            async for item in stream:
                if isinstance(item, LogPosition):
                    yield pb.WatchJobLogsResponse(event=position(item))
                else:
                    last = item.terminal
                    yield pb.WatchJobLogsResponse(event=log_pb2.JobLogEvent.FromString(item.payload))
        if not last and current_drain().is_set():
            raise unavailable("the server is shutting down; follow again from the last seq received")


def position(source: LogPosition) -> log_pb2.JobLogEvent:
    """The first message of a watch without a position."""
    return log_pb2.JobLogEvent(seq=source.last_seq, position=log_pb2.JobLogPosition(last_seq=source.last_seq))


def line_payload(job_id: str, line: LogLine) -> bytes:
    """A line as it is stored and sent."""
    entry = log_pb2.JobLogEntry(
        seq=line.seq,
        job_id=job_id,
        occurred_at=codec.stamp(line.occurred_at),
        severity=int(line.severity),  # type: ignore[arg-type]
        stage=codec.STAGES[line.stage],
        scene_index=line.scene_index,
        attempt=line.attempt,
        step_attempt=line.step_attempt,
        message=line.message,
        last=line.last,
    )
    return log_pb2.JobLogEvent(seq=line.seq, entry=entry).SerializeToString()


def is_last(payload: bytes) -> bool:
    """Whether no line can follow."""
    return log_pb2.JobLogEvent.FromString(payload).entry.last
