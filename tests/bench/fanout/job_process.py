"""`python -m services.job`, and in a file when which event was committed.

    python -m tests.bench.fanout.job_process FILE

The hook is the one that figures are counted at: the first moment at which a transaction is known to be committed.
Lines are `job_id seq nanoseconds` (of the wall clock); they are written when the process ends.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from services.job.__main__ import main
from services.job.adapters.postgres.writer import JobWriter
from services.job.domain.job import Job

COMMITS: list[tuple[str, int, int]] = []
_committed = JobWriter.committed


def _note(self: JobWriter, *jobs: Job) -> None:
    now = time.time_ns()
    COMMITS.extend((job.job_id, event.seq, now) for job in jobs for event in job.events)
    _committed(self, *jobs)


if __name__ == "__main__":
    JobWriter.committed = _note  # type: ignore[method-assign]
    try:
        main(args=[])
    finally:
        lines = "".join(f"{job_id} {seq} {moment}\n" for job_id, seq, moment in COMMITS)
        Path(sys.argv[1]).write_text(lines, encoding="ascii")
