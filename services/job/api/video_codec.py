"""Finished videos as protos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.job.api.codec import stamp
from services.job.application.neighbours import Location
from services.job.application.videos import VideoView
from t2m.job.v1 import video_service_pb2 as pb
from t2m.storage.v1 import object_pb2

KINDS: dict[str, Any] = {
    "video": object_pb2.ARTIFACT_KIND_VIDEO,
    "segment": object_pb2.ARTIFACT_KIND_SEGMENT,
    "thumbnail": object_pb2.ARTIFACT_KIND_THUMBNAIL,
    "storyboard": object_pb2.ARTIFACT_KIND_STORYBOARD,
    "captions": object_pb2.ARTIFACT_KIND_CAPTIONS,
}
WIDTHS: Mapping[int, int] = {pb.THUMBNAIL_SIZE_SMALL: 320, pb.THUMBNAIL_SIZE_MEDIUM: 640}
"""Pixels of the sizes that are smaller than the video."""


def location(source: Location) -> object_pb2.ObjectLocation:
    """Where an object can be fetched."""
    return object_pb2.ObjectLocation(
        object_id=source.object_id,
        url=source.url,
        redirect=source.redirect,
        read_ticket=source.read_ticket,
        content_type=source.content_type,
        size_bytes=source.size_bytes,
        etag=source.etag,
        filename=source.filename,
        inline=source.inline,
        cache_control=source.cache_control,
        modified_at=stamp(source.modified_at),
        expires_at=stamp(source.expires_at),
    )


def video(view: VideoView) -> pb.Video:
    """What the file is."""
    source = view.video
    return pb.Video(
        job_id=view.job.job_id,
        title=source.title,
        filename=view.filename,
        content_type=view.location.content_type,
        size_bytes=source.size_bytes,
        checksum_sha256=source.sha256,
        duration_seconds=source.duration_s,
        width=source.width,
        height=source.height,
        frame_rate=source.frame_rate,
        video_codec=source.video_codec,
        frame_count=source.frame_count,
        created_at=stamp(source.published_at),
        renditions=[
            pb.VideoRendition(
                quality=rendition.level,
                url=location.url,
                size_bytes=rendition.size_bytes,
                width=rendition.width,
                height=rendition.height,
            )
            for rendition, location in view.renditions
        ],
        chapters=[
            pb.VideoChapter(
                scene_index=chapter.scene_index,
                title=chapter.title,
                kind=chapter.kind,
                start_seconds=chapter.start_s,
                duration_seconds=chapter.duration_s,
                fallback=chapter.fallback,
            )
            for chapter in source.chapters
        ],
        thumbnail_url=view.thumbnail.url if view.thumbnail else "",
        captions_url=view.captions.url if view.captions else "",
        audio_codec=source.audio_codec,
        artifacts=[
            pb.VideoArtifact(
                kind=KINDS.get(artifact.kind, object_pb2.ARTIFACT_KIND_UNSPECIFIED),
                object_id=artifact.object_id,
                key=artifact.key,
                size_bytes=artifact.size_bytes,
                version=artifact.version,
            )
            for artifact in view.artifacts
        ],
    )
