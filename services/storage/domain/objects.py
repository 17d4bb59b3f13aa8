"""The object: an immutable run of bytes whose row is the pointer; pending → committed → deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Bucket(StrEnum):
    """The four buckets; each has its own life-cycle rules."""

    VIDEOS = "videos"
    CODE = "code"
    THUMBNAILS = "thumbnails"
    TEMP = "temp"


class ArtifactKind(StrEnum):
    """What an object is; the `{kind}` of its key."""

    VIDEO = "video"
    SEGMENT = "segment"
    THUMBNAIL = "thumbnail"
    STORYBOARD = "storyboard"
    CAPTIONS = "captions"
    FILE = "file"
    """Uploaded by a user."""
    FILE_UPLOAD = "file_upload"
    """Room reserved for such a file; has no bytes and is never committed."""
    FILE_PART = "file_part"
    """Bytes of such a file on their way; its job is the upload, its fence the offset."""


class ObjectState(StrEnum):
    """States of an object, in order; none is ever left backwards."""

    PENDING = "pending"
    COMMITTED = "committed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Placement:
    """Whose an object is and what it belongs to: all that decides its place."""

    owner_id: str
    job_id: str
    """Empty for a file that belongs to no job."""
    bucket: Bucket
    kind: ArtifactKind
    scene_index: int | None = None
    """Counted from 0; None for an object of the whole job."""
    fence: int = 0
    """The writer's fence: it makes an older attempt at the same scene recognisable."""


@dataclass(frozen=True, slots=True)
class BlobAddress:
    """Where bytes lie: a bucket and a key in it."""

    bucket: Bucket
    key: str


@dataclass(frozen=True, slots=True)
class BlobReceipt:
    """What was stored, as measured while it was stored."""

    size_bytes: int
    sha256: str
    """Lower-case hexadecimal."""
    version: str = ""
    """The store's own name of what was written; empty where it keeps no versions."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The row of an object. `size_bytes`, `sha256` and `committed_at` are known once it is committed; while it is
    pending, the first two are what was announced by a writer who sends its bytes to the store itself.
    """

    object_id: str
    request_id: str
    placement: Placement
    key: str
    content_type: str
    filename: str
    created_at: datetime
    state: ObjectState = ObjectState.PENDING
    size_bytes: int = 0
    sha256: str = ""
    version: str = ""
    committed_at: datetime | None = None

    @property
    def address(self) -> BlobAddress:
        """Where its bytes lie."""
        return BlobAddress(self.placement.bucket, self.key)

    def commit(self, receipt: BlobReceipt, now: datetime) -> StoredObject:
        """The object once its bytes are complete and verified. Raises ValueError unless it is pending."""
        if self.state is not ObjectState.PENDING:
            raise ValueError(f"an object that is {self.state} cannot be committed")
        return replace(
            self,
            state=ObjectState.COMMITTED,
            size_bytes=receipt.size_bytes,
            sha256=receipt.sha256,
            version=receipt.version,
            committed_at=now,
        )
