"""The statements of the queue: who is next, and who is before a job."""

from __future__ import annotations

from sqlalchemy import text

# Owners with waiting jobs, by a loose index scan: the cost of what follows grows with the owners that wait, not with
# their jobs.
_WAITING = """
    WITH RECURSIVE waiting(owner_id) AS (
        (SELECT owner_id FROM jobs WHERE status = 'queued' ORDER BY owner_id LIMIT 1)
        UNION ALL
        SELECT (SELECT j.owner_id FROM jobs j WHERE j.status = 'queued' AND j.owner_id > w.owner_id
                ORDER BY j.owner_id LIMIT 1)
        FROM waiting w WHERE w.owner_id IS NOT NULL
    ), queue AS (
        SELECT virtual_time FROM job_queue
    ), owners AS (
        SELECT w.owner_id, greatest(COALESCE(s.tag, 0), q.virtual_time) AS tag
        FROM waiting w CROSS JOIN queue q LEFT JOIN job_shares s ON s.owner_id = w.owner_id
        WHERE w.owner_id IS NOT NULL
    )
"""

NEXT = text(
    # Each owner's first few jobs by their place, as many as the plan lets run besides those that do.
    _WAITING  # noqa: S608 – two literals
    + """
    , flying AS (
        SELECT owner_id, count(*) AS jobs FROM jobs WHERE status = 'processing' GROUP BY owner_id
    ), limits AS (
        SELECT * FROM unnest(CAST(:plans AS text[]), CAST(:plan_limits AS integer[])) AS l(plan, in_flight)
    )
    SELECT first.job_id, first.tag, (SELECT count(*) FROM owners) AS owners
    FROM owners o
    LEFT JOIN flying f ON f.owner_id = o.owner_id
    CROSS JOIN LATERAL (
        -- Of the newest order: who has just got another plan has it for what waits, too.
        SELECT plan FROM jobs j WHERE j.owner_id = o.owner_id AND j.status = 'queued' AND j.deleted_at IS NULL
        ORDER BY j.created_at DESC, j.job_id DESC LIMIT 1
    ) current
    LEFT JOIN limits l ON l.plan = current.plan
    CROSS JOIN LATERAL (
        SELECT j.job_id, j.due_at, o.tag + row_number() OVER (ORDER BY j.due_at, j.job_id) - 1 AS tag
        FROM jobs j
        WHERE j.owner_id = o.owner_id AND j.status = 'queued' AND j.ready_at <= :now
        ORDER BY j.due_at, j.job_id
        LIMIT greatest(COALESCE(l.in_flight, :default_limit) - COALESCE(f.jobs, 0), 0)
    ) first
    ORDER BY first.tag, first.due_at, first.job_id
    LIMIT :room
    """
)

SERVED = text(
    # Their owners' next tags, and the virtual time; tags at or below it say nothing and go.
    """
    WITH served AS (
        SELECT * FROM unnest(CAST(:owners AS text[]), CAST(:tags AS bigint[])) AS s(owner_id, tag)
    ), moved AS (
        UPDATE job_queue SET virtual_time = :virtual_time, starts = :starts
    ), raised AS (
        INSERT INTO job_shares (owner_id, tag) SELECT owner_id, max(tag) + 1 FROM served GROUP BY owner_id
        ON CONFLICT (owner_id) DO UPDATE SET tag = excluded.tag
    )
    DELETE FROM job_shares
    WHERE tag <= :virtual_time AND owner_id NOT IN (SELECT owner_id FROM served)
    """
)

POSITION = text(
    # Of each owner no more jobs are looked at than can have a tag as small as the job's own.
    _WAITING  # noqa: S608 – two literals
    + """
    , mine AS (
        SELECT greatest(COALESCE((SELECT tag FROM job_shares WHERE owner_id = :owner_id), 0), q.virtual_time) + (
            SELECT count(*) FROM jobs j
            WHERE j.owner_id = :owner_id AND j.status = 'queued'
                AND (j.due_at, j.job_id) < (:due_at, CAST(:job_id AS uuid))
        ) AS tag
        FROM queue q
    )
    SELECT count(*)
    FROM mine m CROSS JOIN owners o
    CROSS JOIN LATERAL (
        SELECT j.job_id, j.due_at, o.tag + row_number() OVER (ORDER BY j.due_at, j.job_id) - 1 AS tag
        FROM jobs j
        WHERE j.owner_id = o.owner_id AND j.status = 'queued'
        ORDER BY j.due_at, j.job_id
        LIMIT greatest(m.tag - o.tag + 1, 0)
    ) other
    WHERE (other.tag, other.due_at, other.job_id) < (m.tag, :due_at, CAST(:job_id AS uuid))
    """
)

PACE = text(
    # The last twenty of the quality that were measured.
    """
    SELECT
        percentile_cont(0.5) WITHIN GROUP (ORDER BY (stage_seconds ->> 'planning')::double precision) AS planning,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY (stage_seconds ->> 'rendering')::double precision) AS rendering,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY (stage_seconds ->> 'assembling')::double precision) AS assembling,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY (stage_seconds ->> 'publishing')::double precision) AS publishing,
        percentile_cont(0.5) WITHIN GROUP (
            ORDER BY (stage_seconds ->> 'rendering')::double precision / nullif((video ->> 'frame_count')::bigint, 0)
        ) AS per_frame,
        count(*) AS jobs
    FROM (
        SELECT stage_seconds, video FROM jobs
        WHERE status = 'completed' AND quality = :quality AND stage_seconds <> '{}'
        ORDER BY completed_at DESC LIMIT :recent
    ) latest
    """
)

STATE = text(
    """
    SELECT priority, count(*) FILTER (WHERE ready_at <= :now) AS ready,
        count(*) FILTER (WHERE ready_at > :now) AS delayed, min(created_at) AS oldest
    FROM jobs WHERE status = 'queued' GROUP BY priority
    """
)

ROOM = text(
    """
    SELECT (SELECT drained_at IS NULL FROM job_queue)
        AND (SELECT count(*) FROM jobs WHERE status = 'processing') < :in_flight
        AND EXISTS (SELECT FROM jobs WHERE status = 'queued' AND ready_at <= :now)
    """
)
