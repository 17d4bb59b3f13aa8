"""Finished videos, and figures of a user's jobs."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

ArtifactKind = Literal[
    "unspecified",
    "video",
    "segment",
    "thumbnail",
    "storyboard",
    "captions",
    "file",
    "file_upload",
    "file_part",
]


class DashboardDay(TypedDict):
    """One day."""

    day: NotRequired[str]
    created_count: int
    completed_count: int
    failed_count: int


class DashboardStats(TypedDict):
    """Figures of a user's jobs; those accepted within the span, but for `queued_count` and `processing_count`,
    which are of this moment.
    """

    total_count: int
    queued_count: int
    processing_count: int
    completed_count: int
    failed_count: int
    cancelled_count: int
    completion_rate: NotRequired[float]
    processing_time_median: NotRequired[str]
    video_duration_total: NotRequired[str]
    video_bytes_total: int
    credits_spent: int
    days: list[DashboardDay]
    since: NotRequired[str]


class VideoRendition(TypedDict):
    """The video in one quality."""

    quality: str
    url: str
    size_bytes: int
    width: int
    height: int


class VideoChapter(TypedDict):
    """Where a scene starts."""

    scene_index: int
    title: str
    kind: str
    start_seconds: float
    duration_seconds: float
    fallback: bool


class VideoArtifact(TypedDict):
    """An object kept for a job."""

    kind: ArtifactKind
    object_id: str
    key: str
    size_bytes: int
    version: str


class Video(TypedDict):
    """A finished video. All figures are measured from the file."""

    job_id: str
    title: str
    filename: str
    content_type: str
    size_bytes: int
    checksum_sha256: str
    duration_seconds: float
    width: int
    height: int
    frame_rate: float
    video_codec: str
    frame_count: int
    created_at: str
    renditions: list[VideoRendition]
    chapters: list[VideoChapter]
    thumbnail_url: str
    artifacts: list[VideoArtifact]
    audio_codec: str
    captions_url: str
