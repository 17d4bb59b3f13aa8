"""The table as the queries see it; `migrations/` creates it."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

objects = sa.Table(
    "objects",
    metadata,
    sa.Column("object_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("owner_id", sa.Text, nullable=False),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("bucket", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("scene_index", sa.Integer),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("filename", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("committed_at", sa.DateTime(timezone=True)),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
)

object_copies = sa.Table(
    "object_copies",
    metadata,
    sa.Column("object_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("verified_at", sa.DateTime(timezone=True), nullable=False),
)
"""Copies in other stores that were read back and found right."""

erased_owners = sa.Table(
    "erased_owners",
    metadata,
    sa.Column("owner_id", sa.Text, primary_key=True),
    sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
)
"""Of whom nothing is kept, for as long as something of theirs may still arrive."""

COMMITTED_REQUEST_INDEX = "objects_committed_request_key"
"""Unique: of all attempts at a request of an owner, one is committed at most."""
