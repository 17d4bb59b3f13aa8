"""The part of logs."""

from __future__ import annotations

import grpc

from services.job.adapters.live_events import LiveEvents
from services.job.adapters.postgres.log_tables import JOB_LOGS
from services.job.adapters.postgres.logs import PostgresLogs
from services.job.api.log_servicer import LogServicer, is_last, line_payload
from services.job.application.logs import Logs
from services.job.bootstrap.base import Base, Part
from services.runtime.eventlog import EventStore
from services.runtime.eventreader import EventReader
from services.runtime.relay import Relay
from services.runtime.server import BackgroundTask
from t2m.job.v1 import log_service_pb2_grpc

LOG_STREAM_PREFIX = "joblog:"
"""The Redis stream of a job's log is `joblog:{job_id}`."""


def build_logs(base: Base) -> Part:
    """`JobLogService`, and the relay of lines."""
    log = EventStore(base.engine, JOB_LOGS)
    relay = Relay(
        log.fetch_unrelayed, log.mark_relayed, base.redis, prefix=LOG_STREAM_PREFIX, keep=base.settings.event_keep
    )
    reader = EventReader(base.redis, log.load, prefix=LOG_STREAM_PREFIX, queue_limit=base.settings.event_queue)
    store = PostgresLogs(base.engine, line_payload)
    base.writer.effects.append(store.store)
    base.writer.observers.append(lambda job: relay.wake() if job.lines else None)
    logs = Logs(store, base.queries, base.tokens, LiveEvents(reader, is_last))

    def add(server: grpc.aio.Server) -> str:
        log_service_pb2_grpc.add_JobLogServiceServicer_to_server(LogServicer(logs), server)
        return "t2m.job.v1.JobLogService"

    return Part(
        [add],
        [
            BackgroundTask("relay log lines", relay.run, outlives_calls=True),
            BackgroundTask("read log lines", reader.run, outlives_calls=True),
        ],
    )
