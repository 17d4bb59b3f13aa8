"""The part that removes what has had its time, or was stopped or deleted."""

from __future__ import annotations

from services.job.adapters.postgres.log_tables import JOB_LOGS
from services.job.adapters.postgres.retention import PostgresRetention
from services.job.adapters.postgres.webhook_tables import WEBHOOK_DELIVERIES
from services.job.application.neighbours import Objects, Renders
from services.job.application.retention import FileCommands, Retention
from services.job.application.ticking import Wakeup
from services.job.bootstrap.base import Base, Part
from services.job.domain.events import Lane
from services.runtime.server import BackgroundTask


def build_retention(base: Base, renders: Renders, objects: Objects) -> Part:
    """The sweep, and the courier of the lane `files`."""
    store = PostgresRetention(base.engine, [JOB_LOGS.c.stream_id, WEBHOOK_DELIVERIES.c.subject_id])
    retention = Retention(store, base.store, renders, objects, base.plans, base.clock)
    commands = FileCommands(base.store, renders, objects, base.clock)
    wakeup = Wakeup(base.settings.retention_poll_s)
    return Part(
        background=[
            BackgroundTask("remove what has had its time", lambda: retention.run(wakeup)),
            base.courier(Lane.FILES, commands, base.wake.files),
        ]
    )
