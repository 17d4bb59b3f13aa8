"""storage over gRPC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf import duration_pb2, timestamp_pb2

from services.job.application.neighbours import Artifact, Location, LocationRequest, ObjectMissing, ObjectsAway
from t2m.storage.v1 import object_pb2, object_service_pb2_grpc
from t2m.storage.v1 import object_service_pb2 as pb

_KINDS: dict[int, str] = {
    object_pb2.ARTIFACT_KIND_VIDEO: "video",
    object_pb2.ARTIFACT_KIND_SEGMENT: "segment",
    object_pb2.ARTIFACT_KIND_THUMBNAIL: "thumbnail",
    object_pb2.ARTIFACT_KIND_STORYBOARD: "storyboard",
    object_pb2.ARTIFACT_KIND_CAPTIONS: "captions",
}
_PAGE = 500
_REMOVAL_S = 30.0


class GrpcObjects:
    """The `Objects` over `t2m.storage.v1.ObjectService`. Failures other than a missing object travel on as they are."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float = 5.0) -> None:
        self._stub: Any = object_service_pb2_grpc.ObjectServiceStub(channel)
        self._timeout_s = timeout_s

    async def locate(self, request: LocationRequest) -> Location:
        """A location that works for `lifetime`, or until `expires_at`."""
        lifetime = duration_pb2.Duration()
        lifetime.FromTimedelta(request.lifetime)
        message = pb.CreateObjectLocationRequest(
            object_id=request.object_id,
            owner_id=request.owner_id,
            lifetime=lifetime,
            filename=request.filename,
            inline=request.inline,
            cache_control=request.cache_control,
        )
        if request.expires_at is not None:
            message.expires_at.FromDatetime(request.expires_at)
        try:
            answer = await self._stub.CreateObjectLocation(message, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise ObjectMissing(request.object_id) from error
            raise
        return _location_of(answer.location)

    async def artifacts(self, owner_id: str, job_id: str) -> list[Artifact]:
        """Everything kept for the job, oldest first."""
        found: list[Artifact] = []
        request = pb.ListObjectsRequest(owner_id=owner_id, job_id=job_id, page_size=_PAGE)
        while True:
            answer = await self._stub.ListObjects(request, timeout=self._timeout_s)
            found += [
                Artifact(_KINDS.get(item.kind, ""), item.object_id, item.key, item.size_bytes, item.version)
                for item in answer.objects
            ]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def remove(self, owner_id: str, job_id: str, kinds: frozenset[str] = frozenset()) -> tuple[int, int]:
        """Remove the files of the job."""
        numbers = [number for number, kind in _KINDS.items() if kind in kinds]
        request = pb.DeleteJobObjectsRequest(owner_id=owner_id, job_id=job_id, kinds=numbers)  # type: ignore[arg-type]
        try:
            answer = await self._stub.DeleteJobObjects(request, timeout=_REMOVAL_S)
        except grpc.aio.AioRpcError as error:
            raise ObjectsAway(f"{error.code().name}: {error.details()}") from error
        return answer.object_count, answer.total_bytes


def _location_of(location: object_pb2.ObjectLocation) -> Location:
    return Location(
        object_id=location.object_id,
        url=location.url,
        redirect=location.redirect,
        read_ticket=location.read_ticket,
        content_type=location.content_type,
        size_bytes=location.size_bytes,
        etag=location.etag,
        filename=location.filename,
        inline=location.inline,
        cache_control=location.cache_control,
        modified_at=_moment(location.modified_at) if location.HasField("modified_at") else None,
        expires_at=_moment(location.expires_at) if location.HasField("expires_at") else None,
    )


def _moment(stamp: timestamp_pb2.Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
