"""The engine, with a limit that leases need."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.db import create_engine

IDLE_IN_TRANSACTION_S = 4
"""A process that freezes in the middle of a transition holds its render's lock; Postgres ends it after this long, well
before the lease of 15 s, or nobody could take the step over. No transition waits for anything but Postgres."""


def create_render_engine(url: str, *, application_name: str, pool_size: int = 10) -> AsyncEngine:
    """An engine whose transactions cannot be left open."""
    engine = create_engine(url, application_name=application_name, pool_size=pool_size)
    event.listen(engine.sync_engine, "connect", _limit)
    return engine


def _limit(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'")
    cursor.close()
    connection.commit()
