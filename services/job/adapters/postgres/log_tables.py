"""The table of job logs: an event log with the columns that its filters need."""

from __future__ import annotations

from sqlalchemy import Column, Integer, SmallInteger, Text, text

from services.job.adapters.postgres.tables import METADATA
from services.runtime.eventlog import event_table

JOB_LOGS = event_table(METADATA, "job_logs")
"""`stream_id` is the job's id, `payload` a serialised `t2m.job.v1.JobLogEvent`."""
JOB_LOGS.append_column(Column("severity", SmallInteger, nullable=False))
JOB_LOGS.append_column(Column("stage", Text, nullable=False, server_default=text("''")))
JOB_LOGS.append_column(Column("scene_index", Integer))
JOB_LOGS.append_column(Column("attempt", SmallInteger, nullable=False))
