"""What a hash of the older system says, as a job; liberal in what it takes, and it tells what it could not use."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.job.domain.events import JobEvent, StatusChanged
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import Failure
from services.job.domain.values import JobStage, JobStatus, Priority, Quality

INTERRUPTED = "IMPORT_INTERRUPTED"
"""Code of jobs that the older system had not brought to an end."""
OLDER_FAILURE = "IMPORTED_FAILURE"
"""Code of jobs that had failed there, when it gave no code."""

_NAMESPACE = uuid.UUID("6d0f4b0e-6f0c-5f0a-9c55-3a1f7c6b2d10")
_OWNER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_STATUSES = {
    **dict.fromkeys(("completed", "complete", "done", "success", "succeeded", "finished"), JobStatus.COMPLETED),
    **dict.fromkeys(("failed", "failure", "error", "timeout"), JobStatus.FAILED),
    **dict.fromkeys(("cancelled", "canceled", "aborted", "revoked"), JobStatus.CANCELLED),
}
_IN_FLIGHT = frozenset(
    (
        *("queued", "pending", "created", "submitted", "planning", "processing", "running", "rendering", "started"),
        *("in_progress", "retry", "retrying"),
    )
)
_QUALITIES = {
    **dict.fromkeys(("low", "480p", "l"), Quality.LOW),
    **dict.fromkeys(("medium", "720p", "m", "standard"), Quality.MEDIUM),
    **dict.fromkeys(("high", "1080p", "h", "k", "4k", "2160p", "1440p"), Quality.HIGH),
}
_PRIORITIES = {"high": Priority.HIGH, "default": Priority.DEFAULT, "normal": Priority.DEFAULT, "low": Priority.LOW}
_MOST = {"topic": 500, "context": 2000, "model": 100, "title": 500, "error": 2000}


class Refused(Exception):
    """The hash does not make a job."""


@dataclass(slots=True)
class Record:
    """A job, and what of its hash was left out."""

    job: Job
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OlderJob:
    """What the older system has of one job: the fields of its hashes, and whose lists it is in."""

    older_id: str
    fields: Mapping[str, str]
    video: Mapping[str, str] = field(default_factory=dict)
    listed_by: str = ""


def job_id_of(older_id: str) -> str:
    """The id here: the same where it is a UUID, else one that is always made of it."""
    try:
        return str(uuid.UUID(older_id))
    except ValueError:
        return str(uuid.uuid5(_NAMESPACE, older_id))


def read(older: OlderJob, now: datetime, owners: Mapping[str, str]) -> Record:
    """The job, ended. `owners` gives users their id here, where it is another one. Raises Refused."""
    fields = _Fields(older.fields)
    owner = fields.text("user_id", "owner_id", "owner", "user") or older.listed_by
    owner = owners.get(owner, owner)
    if not _OWNER.fullmatch(owner):
        raise Refused("it has no owner" if not owner else f"owner {owner!r} is not an id of up to 64 A-Za-z0-9_-")
    status, failure = _end(fields, older.video)
    created = fields.moment("created_at", "created", "submitted_at", "timestamp") or None
    ended = fields.moment("completed_at", "finished_at", "failed_at", "ended_at", "updated_at") or created or now
    created = min(created or ended, ended, now)
    order = Order(
        owner_id=owner,
        topic=fields.short("topic", "topic", "title", "prompt") or "untitled",
        context=fields.short("context", "context", "description", "prompt"),
        quality=fields.choice(_QUALITIES, Quality.MEDIUM, "quality", "resolution"),
        priority=fields.choice(_PRIORITIES, Priority.DEFAULT, "priority"),
        model=fields.short("model", "model", "model_name"),
        thumbnails=False,
        max_retries=0,
        configuration={"imported": _kept(older, fields)},
    )
    job = Job(
        job_id_of(older.older_id),
        order,
        created_at=created,
        updated_at=min(ended, now),
        status=status,
        stage=JobStage.NONE,
        progress=100.0 if status is JobStatus.COMPLETED else fields.percent("progress", "percentage"),
        title=fields.short("title", "title", "video_title"),
        failure=failure,
        started_at=fields.moment("started_at", "processing_started_at"),
        completed_at=min(ended, now),
        # The files stay where the older system has them: here they are as good as expired.
        expired_at=now if status is JobStatus.COMPLETED else None,
        revision=1,
    )
    job.changed_at = job.updated_at
    change = StatusChanged(status, job.stage, job.progress, job.attempt, failure)
    job.events.append(JobEvent(job.job_id, 1, job.updated_at, change))
    return Record(job, fields.remarks)


def _end(fields: _Fields, video: Mapping[str, str]) -> tuple[JobStatus, Failure | None]:
    said = fields.text("status", "state").lower().replace("-", "_").replace(" ", "_")
    if not said and video:
        said = "completed"  # some versions dropped the job's hash to its bones once the video was there
    if said in _IN_FLIGHT:
        text = f"the older system had it as {said} when its jobs were taken over"
        return JobStatus.FAILED, Failure(INTERRUPTED, text)
    status = _STATUSES.get(said)
    if status is None:
        raise Refused(f"status {said!r} is not known" if said else "it has no status")
    if status is not JobStatus.FAILED:
        return status, None
    code = fields.text("error_code").upper()
    text = fields.short("error", "error", "error_message", "message", "failure_reason") or "no reason was recorded"
    return status, Failure(code if _CODE.fullmatch(code) else OLDER_FAILURE, text)


def _kept(older: OlderJob, fields: _Fields) -> dict[str, Any]:
    """What has no place of its own here."""
    kept: dict[str, Any] = {"id": _clean(older.older_id)}
    settings = fields.json("configuration", "config", "options", "settings")
    if settings:
        kept["configuration"] = settings
    if older.video:
        kept["video"] = {_clean(name): _clean(value) for name, value in older.video.items()}
    return kept


class _Fields:
    """The fields of a hash under any of their names, and what was wrong with them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        whole = values.get("data") or values.get("json") or ""
        self.remarks: list[str] = []
        self._values: dict[str, Any] = {**self._object("data", whole), **values}

    def text(self, *names: str) -> str:
        for name in names:
            value = self._values.get(name)
            if value is not None and not isinstance(value, dict | list) and str(value).strip() not in ("", "None"):
                return _clean(str(value).strip())
        return ""

    def short(self, limit: str, *names: str) -> str:
        text, most = self.text(*names), _MOST[limit]
        if len(text) > most:
            self.remarks.append(f"{limit} is cut to {most} characters")
        return text[:most]

    def choice(self, known: Mapping[str, Any], default: Any, *names: str) -> Any:
        text = self.text(*names).lower()
        if text and text not in known:
            self.remarks.append(f"{names[0]} {text[:40]!r} is not known")
        return known.get(text, default)

    def percent(self, *names: str) -> float:
        try:
            value = float(self.text(*names) or 0)
        except ValueError:
            self.remarks.append(f"{names[0]} is no number")
            return 0.0
        return min(max(value, 0.0), 100.0) if math.isfinite(value) else 0.0

    def moment(self, *names: str) -> datetime | None:
        text = self.text(*names)
        if not text:
            return None
        try:
            seconds = float(text)
            return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        except (ValueError, OverflowError, OSError):
            pass
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.remarks.append(f"{names[0]} is no time: {text[:40]!r}")
            return None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

    def json(self, *names: str) -> dict[str, Any]:
        for name in names:
            value = self._values.get(name)
            if value:
                return _cleaned(value) if isinstance(value, dict) else self._object(name, str(value))
        return {}

    def _object(self, name: str, text: str) -> dict[str, Any]:
        if not text:
            return {}
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            self.remarks.append(f"{name} is not JSON")
            return {}
        if not isinstance(value, dict):
            self.remarks.append(f"{name} is no JSON object")
            return {}
        found: dict[str, Any] = _cleaned(value)
        return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _clean(text: str) -> str:
    """Without what Postgres cannot store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return _clean(value)
        case dict():
            return {_clean(str(name)): _cleaned(item) for name, item in value.items()}
        case list():
            return [_cleaned(item) for item in value]
        case float() if not math.isfinite(value):  # such as 1e999
            return None
        case int() if abs(value) > 2**63:
            return str(value)
        case _:
            return value
