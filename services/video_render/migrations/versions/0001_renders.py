"""Renders, their steps, events and deliveries, and the owner's rendered scenes.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

_STATES = "'pending', 'running', 'succeeded', 'failed', 'cancelled'"
_STEP_STATES = "'waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled'"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _time(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), **options)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def upgrade() -> None:
    """Create the tables."""
    _create_renders()
    _create_steps()
    _create_events()
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        _text("step_id"),
        _text("queue"),
        _time("created_at", nullable=False, server_default=sa.func.clock_timestamp()),
    )
    op.create_index("ix_outbox_step_id", "outbox", ["step_id"])
    op.create_table(
        "scene_cache",
        sa.Column("owner_id", sa.Text, primary_key=True),
        sa.Column("content_hash", sa.Text, primary_key=True),
        sa.Column("result", JSONB, nullable=False),
        _time("created_at", nullable=False, server_default=sa.func.clock_timestamp()),
    )


def _create_renders() -> None:
    op.create_table(
        "renders",
        sa.Column("render_id", sa.Text, primary_key=True),
        _text("owner_id"),
        _text("job_id"),
        sa.Column("request", JSONB, nullable=False),
        _text("fingerprint"),
        _text("state"),
        _text("stage"),
        sa.Column("progress", sa.Double, nullable=False),
        _integer("scenes_left"),
        _text("title"),
        sa.Column("storyboard", JSONB),
        sa.Column("video", JSONB),
        sa.Column("error", JSONB),
        sa.Column("seq", sa.BigInteger, nullable=False),
        _time("created_at", nullable=False),
        _time("started_at"),
        _time("completed_at"),
        sa.CheckConstraint(f"state IN ({_STATES})", name="ck_renders_state"),
        sa.CheckConstraint("scenes_left >= 0", name="ck_renders_fan_in"),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name="ck_renders_progress"),
        sa.CheckConstraint("(state = 'succeeded') = (video IS NOT NULL)", name="ck_renders_video"),
        sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="ck_renders_error"),
    )


def _create_steps() -> None:
    op.create_table(
        "steps",
        sa.Column("step_id", sa.Text, primary_key=True),
        sa.Column("render_id", sa.Text, sa.ForeignKey("renders.render_id", ondelete="CASCADE"), nullable=False),
        _text("kind"),
        _integer("index"),
        _text("queue"),
        _text("state"),
        _time("queued_at", nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        _integer("attempts"),
        _integer("handed_back"),
        _time("lease_until"),
        _text("task_id"),
        _text("title"),
        _text("scene_kind"),
        _text("content_hash"),
        _integer("frames_done"),
        _integer("frames_total"),
        sa.Column("result", JSONB),
        sa.CheckConstraint(f"state IN ({_STEP_STATES})", name="ck_steps_state"),
        sa.CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="ck_steps_lease"),
    )
    op.create_index("ix_steps_render_id", "steps", ["render_id"])
    op.create_index("ix_steps_running_lease", "steps", ["lease_until"], postgresql_where=sa.text("state = 'running'"))
    op.create_index("ix_steps_queued", "steps", ["queue", "queued_at"], postgresql_where=sa.text("state = 'queued'"))


def _create_events() -> None:
    op.create_table(
        "render_event",
        sa.Column("stream_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        _time("created_at", nullable=False, server_default=sa.func.now()),
        sa.Column("relayed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
    )
    op.create_index("ix_render_event_unrelayed", "render_event", ["id"], postgresql_where=sa.text("NOT relayed"))
