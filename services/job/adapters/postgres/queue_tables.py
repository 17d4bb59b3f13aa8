"""Tables of the queue: who has had how many turns, and whether it is drained."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, SmallInteger, Table, Text, text

from services.job.adapters.postgres.tables import METADATA

JOB_SHARES = Table(
    "job_shares",
    METADATA,
    Column("owner_id", Text, primary_key=True),
    Column("tag", BigInteger, nullable=False),
)
"""The start tag of each owner's next job, for owners who are ahead of the virtual time."""

JOB_QUEUE = Table(
    "job_queue",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("virtual_time", BigInteger, nullable=False, server_default=text("0")),
    Column("starts", BigInteger, nullable=False, server_default=text("0")),
    Column("drained_at", DateTime(timezone=True)),
    Column("drained_by", Text, nullable=False, server_default=""),
    CheckConstraint("id = 1", name="single"),
)
"""One row: the virtual time (`domain/shares.py`), and who stopped the queue."""
