"""Everything that was seen during a storm, as flat records in the order in which they were seen.

A record is a JSON object with `record`, its sort, and `at`, Unix seconds of the observer's clock:

| record | who saw what |
| --- | --- |
| `answer` | a client's order: `request_id`, `user`, `status`, `job_ids`, `batch_id` |
| `cancel` | a client's wish: `job_id` or `batch_id`, `status` of the answer |
| `connect` | a watcher: `watcher`, `job_id`, `after` (its Last-Event-ID), `status` |
| `event` | a watcher: `watcher`, `job_id`, `seq`, `name`, `body` |
| `fault` | the storm: `number`, `kind`, `target`, `phase` (inject, heal, ready, unready), `note` |
| `healed` | the storm: from here on nothing is wrong |
| `final` | at the end, the status route: `job_id`, `status`, `error` |
| `stored` | at the end, the history route: `job_id`, `events` |
| `file` | at the end, a download: `job_id`, `what`, expected and found `size`, `sha256`, `frames` |
| `batch` | at the end, the batch route: `batch_id`, `batch`, and its watcher's `events` |
| `job_row`, `step_row`, `object_row`, `credit_row` | at the end, the services' tables |
| `leftover` | at the end, a process that still draws, or a file below the store: `what` |
| `refused_results` | at the end, the workers' log: `count` of results that a fence refused |
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Record = dict[str, Any]


class History:
    """The records. One writer; appended to a JSONL file at once where there is one, so a crash keeps what was seen."""

    def __init__(
        self, records: Iterable[Record] = (), *, path: Path | None = None, now: Callable[[], float] = time.time
    ):
        """`path` is replaced."""
        self._records: list[Record] = list(records)
        self._now = now
        self._file = path.open("w", encoding="utf-8") if path else None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The history that was written to a file."""
        with path.open(encoding="utf-8") as lines:
            return cls(json.loads(line) for line in lines)

    def add(self, record: str, **fields: Any) -> None:
        """Note what was seen just now."""
        made = {"record": record, "at": round(self._now(), 4), **fields}
        self._records.append(made)
        if self._file is not None:
            self._file.write(json.dumps(made, separators=(",", ":")) + "\n")
            self._file.flush()

    def __iter__(self) -> Iterator[Record]:
        """All records, oldest first."""
        return iter(self._records)

    def of(self, record: str, **fields: Any) -> list[Record]:
        """The records of one sort whose fields have these values, oldest first."""
        return [
            one
            for one in self._records
            if one["record"] == record and all(one.get(name) == value for name, value in fields.items())
        ]

    def grouped(self, record: str, by: str) -> dict[Any, list[Record]]:
        """The records of one sort by the value of a field."""
        groups: dict[Any, list[Record]] = {}
        for one in self.of(record):
            groups.setdefault(one[by], []).append(one)
        return groups

    @property
    def job_ids(self) -> list[str]:
        """Every job that a client was told of, each once, in the order of the first answer."""
        return list(dict.fromkeys(job_id for answer in self.of("answer") for job_id in answer["job_ids"]))

    @property
    def batch_ids(self) -> list[str]:
        """Every batch that a client was told of, each once."""
        return list(dict.fromkeys(answer["batch_id"] for answer in self.of("answer") if answer["batch_id"]))

    @property
    def cancels_wanted(self) -> set[str]:
        """The jobs and batches whose cancellation was asked for, answered or not."""
        return {str(one.get("job_id") or one.get("batch_id")) for one in self.of("cancel")}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
