"""A table of jobs as large as wanted, made by the database itself."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

OWNER = "heavy"
"""Owns every second job; the rest is spread over twenty owners, of which `owner-1` is one."""
USUAL_OWNER = "owner-1"

_SEED = text(
    """
    INSERT INTO jobs (
        job_id, owner_id, topic, context, quality, priority, model, thumbnails, max_retries, configuration, status,
        stage, progress, attempt, scenes, revision, created_at, updated_at, changed_at, started_at, attempt_started_at,
        completed_at, ready_at, due_at, render_cursor, render_accepted, failure, batch_id
    )
    SELECT
        gen_random_uuid(),
        CASE WHEN n % 2 = 0 THEN 'heavy' ELSE 'owner-' || n % 40 END,
        'The topic number ' || n || ' of many, about squares and circles',
        repeat('It says what the video should say. ', 8),
        (ARRAY['low', 'medium', 'high'])[1 + n % 3],
        (ARRAY['default', 'default', 'default', 'default', 'low', 'high'])[1 + (n / 7) % 6],
        'script', true, 3, '{}',
        status, 'none', CASE status WHEN 'completed' THEN 100 ELSE 0 END, 1, '[]', 9,
        at, at + interval '40 seconds', at + interval '40 seconds', at + interval '1 second', at + interval '1 second',
        CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN at + interval '40 seconds' END,
        at, at, 9, true,
        CASE status WHEN 'failed' THEN '{"code": "SCENE_RENDER_FAILED", "message": "m", "stage": "rendering",
            "scene_index": 0, "retryable": true}'::jsonb END,
        CASE WHEN n % 500 < 10 THEN 'batch-' || n / 500 ELSE '' END
    FROM (
        SELECT n, timestamptz '2026-01-01 00:00:00+00' + n * interval '7 seconds' AS at,
            CASE WHEN (n / 3) % 100 < 90 THEN 'completed' WHEN (n / 3) % 100 < 95 THEN 'failed'
                WHEN (n / 3) % 100 < 99 THEN 'cancelled'
                ELSE (ARRAY['queued', 'processing'])[1 + (n / 100) % 2] END AS status
        FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
    ) numbered
    """
)
_CHUNK = 100_000


async def seed(engine: AsyncEngine, rows: int) -> None:
    """Insert that many jobs and let the planner know of them."""
    for first in range(1, rows + 1, _CHUNK):
        async with engine.begin() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(_SEED, {"first": first, "last": min(first + _CHUNK - 1, rows)})
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(text("VACUUM ANALYZE jobs"))
        await connection.execute(text("RESET statement_timeout"))
