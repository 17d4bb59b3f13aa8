"""Names of buckets and keys. Keys are made of checked ASCII parts only: a file's name is never in a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from services.storage.domain.errors import InvalidInput
from services.storage.domain.objects import Bucket, Placement

MAX_SCENE_INDEX = 9999
MAX_FENCE = 2**63 - 1

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")

_ID = r"[A-Za-z0-9_-]{1,64}"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TAIL = rf"[a-z_]{{1,32}}/(?:scene_[0-9]{{3,4}}/)?[0-9]{{6,19}}-{_UUID}\.[a-z0-9]{{2,5}}"
_OWN_KEY = re.compile(rf"users/{_ID}/(?:jobs/{_ID}|files)/{_TAIL}")
_OWN_TEMP_KEY = re.compile(rf"temp/{_ID}(?:\.{_ID})?/[0-9]{{8}}T[0-9]{{6}}Z/{_TAIL}")

_EXTENSIONS = {
    "application/json": ".json",
    "application/x-subrip": ".srt",
    "application/vnd.apple.mpegurl": ".m3u8",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/webp": ".webp",
    "text/plain": ".txt",
    "text/vtt": ".vtt",
    "text/x-python": ".py",
    "video/iso.segment": ".m4s",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
}


@dataclass(frozen=True, slots=True)
class BucketNames:
    """Physical names `{env}-t2m-{bucket}-{region}-{account}`, valid for S3 and as folders."""

    environment: str
    region: str
    account: str

    def __post_init__(self) -> None:
        """Raises ValueError when a name would not be a legal S3 bucket name (3 to 63 of a-z, 0-9, -)."""
        for bucket in Bucket:
            if not _BUCKET_NAME.fullmatch(self.of(bucket)):
                raise ValueError(f"not a bucket name: {self.of(bucket)!r}")

    def of(self, bucket: Bucket) -> str:
        """The physical name of a bucket."""
        return f"{self.environment}-t2m-{bucket}-{self.region}-{self.account}"


def make_key(placement: Placement, object_id: str, content_type: str, now: datetime) -> str:
    """The key of a new object: `users/{user}/jobs/{job}/{kind}/scene_{nnn}/{fence}-{object id}{extension}`.

    The last part carries the writer's fence and the object's own id, so two attempts at the same thing, even
    two concurrent ones of the same writer, never share bytes. In the temp bucket:
    `temp/{session}/{timestamp}/…`.

    Raises InvalidInput for a part that is not safe in a path.
    """
    _check(placement, object_id)
    name = f"{placement.fence:06d}-{object_id}{_EXTENSIONS.get(content_type, '.bin')}"
    if placement.bucket is Bucket.TEMP:
        # `.` occurs in neither id, so a session reads back unambiguously.
        session = f"{placement.owner_id}.{placement.job_id}" if placement.job_id else placement.owner_id
        parts = ["temp", session, now.strftime("%Y%m%dT%H%M%SZ"), placement.kind.value]
    else:
        parts = ["users", placement.owner_id]
        parts += ["jobs", placement.job_id] if placement.job_id else ["files"]
        parts.append(placement.kind.value)
    if placement.scene_index is not None:
        parts.append(f"scene_{placement.scene_index:03d}")
    return "/".join([*parts, name])


def is_own_key(bucket: Bucket, key: str) -> bool:
    """Whether `make_key` can have made it; anything else in a bucket was put there by somebody else."""
    return (_OWN_TEMP_KEY if bucket is Bucket.TEMP else _OWN_KEY).fullmatch(key) is not None


def _check(placement: Placement, object_id: str) -> None:
    violations: list[tuple[str, str]] = []
    for field, value in (("owner_id", placement.owner_id), ("object_id", object_id)):
        if not _IDENTIFIER.fullmatch(value):
            violations.append((field, "must be 1 to 64 of A-Z, a-z, 0-9, _ and -"))
    if placement.job_id and not _IDENTIFIER.fullmatch(placement.job_id):
        violations.append(("job_id", "must be at most 64 of A-Z, a-z, 0-9, _ and -"))
    if placement.scene_index is not None and not 0 <= placement.scene_index <= MAX_SCENE_INDEX:
        violations.append(("scene_index", f"must be 0 to {MAX_SCENE_INDEX}"))
    if not 0 <= placement.fence <= MAX_FENCE:
        violations.append(("fence", "must not be negative"))
    if violations:
        raise InvalidInput(violations)
