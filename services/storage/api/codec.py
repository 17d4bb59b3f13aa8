"""Protos to the domain's values and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from services.storage.application.attempts import WriteCommand
from services.storage.application.direct_uploads import PlannedUpload
from services.storage.application.locating import Location
from services.storage.application.ports import UploadTargets
from services.storage.domain.errors import InvalidInput
from services.storage.domain.objects import ArtifactKind, Bucket, ObjectState, Placement, StoredObject
from t2m.storage.v1 import object_pb2, object_service_pb2

T = TypeVar("T")

_BUCKETS = {
    object_pb2.BUCKET_VIDEOS: Bucket.VIDEOS,
    object_pb2.BUCKET_CODE: Bucket.CODE,
    object_pb2.BUCKET_THUMBNAILS: Bucket.THUMBNAILS,
    object_pb2.BUCKET_TEMP: Bucket.TEMP,
}
_KINDS = {
    object_pb2.ARTIFACT_KIND_VIDEO: ArtifactKind.VIDEO,
    object_pb2.ARTIFACT_KIND_SEGMENT: ArtifactKind.SEGMENT,
    object_pb2.ARTIFACT_KIND_THUMBNAIL: ArtifactKind.THUMBNAIL,
    object_pb2.ARTIFACT_KIND_STORYBOARD: ArtifactKind.STORYBOARD,
    object_pb2.ARTIFACT_KIND_CAPTIONS: ArtifactKind.CAPTIONS,
    object_pb2.ARTIFACT_KIND_FILE: ArtifactKind.FILE,
    object_pb2.ARTIFACT_KIND_FILE_UPLOAD: ArtifactKind.FILE_UPLOAD,
    object_pb2.ARTIFACT_KIND_FILE_PART: ArtifactKind.FILE_PART,
}
_STATES = {
    ObjectState.PENDING: object_pb2.OBJECT_STATE_PENDING,
    ObjectState.COMMITTED: object_pb2.OBJECT_STATE_COMMITTED,
    ObjectState.DELETED: object_pb2.OBJECT_STATE_DELETED,
}
_BUCKET_NUMBERS = {bucket: number for number, bucket in _BUCKETS.items()}
_KIND_NUMBERS = {kind: number for number, kind in _KINDS.items()}


def decode_kind(number: int) -> ArtifactKind | None:
    """The kind, None when unspecified. Raises InvalidInput for one that this release does not know."""
    if number == object_pb2.ARTIFACT_KIND_UNSPECIFIED:
        return None
    return _known(_KINDS, number, "kind")


def decode_header(header: object_service_pb2.WriteObjectHeader) -> WriteCommand:
    """What the writer announces. Raises InvalidInput for an unknown bucket or kind."""
    placement = Placement(
        owner_id=header.owner_id,
        job_id=header.job_id,
        bucket=_known(_BUCKETS, header.bucket, "header.bucket"),
        kind=_known(_KINDS, header.kind, "header.kind"),
        scene_index=header.scene_index if header.HasField("scene_index") else None,
        fence=header.fence,
    )
    return WriteCommand(
        request_id=header.request_id,
        placement=placement,
        content_type=header.content_type,
        filename=header.filename,
        sha256=header.sha256,
        size_bytes=header.size_bytes if header.HasField("size_bytes") else None,
    )


def encode_object(stored: StoredObject) -> object_pb2.Object:
    """The object as the contract shows it."""
    placement = stored.placement
    return object_pb2.Object(
        object_id=stored.object_id,
        owner_id=placement.owner_id,
        job_id=placement.job_id,
        bucket=_BUCKET_NUMBERS[placement.bucket],
        key=stored.key,
        kind=_KIND_NUMBERS[placement.kind],
        scene_index=placement.scene_index,
        content_type=stored.content_type,
        filename=stored.filename,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        version=stored.version,
        state=_STATES[stored.state],
        created_at=encode_timestamp(stored.created_at),
        committed_at=encode_timestamp(stored.committed_at),
    )


def encode_upload(upload: PlannedUpload) -> object_service_pb2.UploadPlan:
    """What a writer is to do."""
    return object_service_pb2.UploadPlan(
        object_id=upload.object_id,
        upload_id=upload.targets.upload_id,
        parts=encode_parts(upload.targets),
        expires_at=encode_timestamp(upload.expires_at),
    )


def encode_parts(targets: UploadTargets) -> list[object_service_pb2.UploadPart]:
    """Where the bytes go, in order."""
    return [
        object_service_pb2.UploadPart(
            url=part.url, headers=part.headers, offset_bytes=part.offset, size_bytes=part.size_bytes
        )
        for part in targets.parts
    ]


def encode_location(location: Location) -> object_pb2.ObjectLocation:
    """The location as the contract shows it."""
    found, shown = location.found, location.presentation
    return object_pb2.ObjectLocation(
        object_id=found.object_id,
        url=location.url,
        redirect=location.redirect,
        read_ticket=location.ticket,
        content_type=found.content_type,
        size_bytes=found.size_bytes,
        etag=found.sha256,
        filename=shown.filename or found.filename,
        inline=shown.inline,
        cache_control=shown.cache_control,
        modified_at=encode_timestamp(found.committed_at),
        expires_at=encode_timestamp(location.expires_at),
    )


def _known(values: Mapping[Any, T], number: int, field: str) -> T:
    try:
        return values[number]
    except KeyError:
        raise InvalidInput([(field, "must be one of the defined values")]) from None


def encode_timestamp(moment: datetime | None) -> Timestamp | None:
    """None for none, which leaves a field unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
