"""The tables. Postgres is the only authority; see DESIGN §3."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.runtime.db import metadata
from services.runtime.eventlog import event_table

OUTBOX_CHANNEL = "t2m_render_outbox"
"""Notified at the commit of a transition that leaves something to publish."""
EVENTS_CHANNEL = "t2m_render_events"
"""Notified at the commit of a transition that leaves events to relay."""

METADATA = metadata()
_Time = DateTime(timezone=True)

renders = Table(
    "renders",
    METADATA,
    Column("render_id", Text, primary_key=True),
    Column("owner_id", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("progress", Double, nullable=False),
    Column("scenes_left", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("storyboard", JSONB(none_as_null=True)),
    Column("video", JSONB(none_as_null=True)),
    Column("error", JSONB(none_as_null=True)),
    Column("seq", BigInteger, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("started_at", _Time),
    Column("completed_at", _Time),
    Index("ix_renders_job_id", "job_id"),
)

steps = Table(
    "steps",
    METADATA,
    Column("step_id", Text, primary_key=True),
    Column("render_id", ForeignKey(renders.c.render_id, ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("index", Integer, nullable=False),
    Column("queue", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("queued_at", _Time, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("handed_back", Integer, nullable=False),
    Column("lease_until", _Time),
    Column("task_id", Text, nullable=False),
    Column("holder", Text, nullable=False, server_default=""),
    Column("title", Text, nullable=False),
    Column("scene_kind", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("frames_done", Integer, nullable=False),
    Column("frames_total", Integer, nullable=False),
    Column("result", JSONB(none_as_null=True)),
    Column("fallback", Boolean, nullable=False, server_default=text("false")),
    Column("cached", Boolean, nullable=False, server_default=text("false")),
    Column("parked", Integer, nullable=False, server_default=text("0")),
    # The sweeper's two questions; both indexes hold only what is in flight.
    Index("ix_steps_running_lease", "lease_until", postgresql_where=text("state = 'running'")),
    Index("ix_steps_queued", "queue", "queued_at", postgresql_where=text("state = 'queued'")),
)

events = event_table(METADATA, "render_event")

outbox = Table(
    "outbox",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("step_id", Text, nullable=False, index=True),
    Column("queue", Text, nullable=False),
    Column("created_at", _Time, nullable=False, server_default=func.clock_timestamp()),
    Column("available_at", _Time, nullable=False, server_default=func.clock_timestamp()),
)

scene_cache = Table(
    "scene_cache",
    METADATA,
    Column("owner_id", Text, primary_key=True),
    Column("content_hash", Text, primary_key=True),
    Column("result", JSONB, nullable=False),
    # Whose files they are: they go with that job.
    Column("job_id", Text, nullable=False),
    Column("created_at", _Time, nullable=False, server_default=func.clock_timestamp()),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
    # Written at most once an hour.
    Column("used_at", _Time, nullable=False, server_default=func.clock_timestamp()),
    Index("ix_scene_cache_job_id", "job_id"),
    Index("ix_scene_cache_used_at", "owner_id", "used_at"),
)
