"""`FileStore` on the storage service: streamed, checked end to end, repeated while the service is away."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import grpc
import structlog

from services.video_render.adapters.storage.hashing import sha256_of
from services.video_render.application.ports import FileKind, FileLost, FileSpec, FileUnavailable
from services.video_render.domain.outcomes import StoredFile
from t2m.storage.v1 import object_pb2, object_service_pb2, object_service_pb2_grpc

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_CHUNK_BYTES = 512 * 1024
_CALL_TIMEOUT_S = 300.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
_PERMANENT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNIMPLEMENTED,
}
_LOST = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DATA_LOSS}
"""Answers of a read that no repetition will change; a write that meets DATA_LOSS was damaged on its way."""
_PLACES = {
    FileKind.VIDEO: (object_pb2.BUCKET_VIDEOS, object_pb2.ARTIFACT_KIND_VIDEO),
    FileKind.SEGMENT: (object_pb2.BUCKET_VIDEOS, object_pb2.ARTIFACT_KIND_SEGMENT),
    FileKind.POSTER: (object_pb2.BUCKET_THUMBNAILS, object_pb2.ARTIFACT_KIND_THUMBNAIL),
    FileKind.STORYBOARD: (object_pb2.BUCKET_CODE, object_pb2.ARTIFACT_KIND_STORYBOARD),
    FileKind.CAPTIONS: (object_pb2.BUCKET_VIDEOS, object_pb2.ARTIFACT_KIND_CAPTIONS),
}


class GrpcFileStore:
    """Files in the storage service. A call is repeated for `patience_s` seconds while the service is away."""

    def __init__(self, channel: grpc.aio.Channel, *, patience_s: float) -> None:
        self._stub = object_service_pb2_grpc.ObjectServiceStub(channel)
        self._patience_s = patience_s

    async def save(self, source: Path, spec: FileSpec) -> StoredFile:
        """Store a file, verified end to end; raises `FileUnavailable`."""
        header = await asyncio.to_thread(_header, spec, source)

        async def write() -> object_pb2.Object:
            answer = await self._stub.WriteObject(_upload(header, source), timeout=_CALL_TIMEOUT_S)
            return answer.object

        stored = await self._patiently(write)
        return StoredFile(stored.object_id, stored.sha256, stored.size_bytes, spec.content_type)

    async def load(self, file: StoredFile, target: Path) -> None:
        """Fetch a file and verify it; raises `FileLost`, `FileUnavailable`."""
        part = target.with_suffix(target.suffix + ".part")
        try:
            if await self._patiently(lambda: self._read(file.object_id, part)) != file.sha256:
                raise FileLost(f"object {file.object_id} does not have the bytes that were stored")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    async def _read(self, object_id: str, part: Path) -> str:
        """Stream an object into a file; its SHA-256. Raises `FileLost`."""
        digest = hashlib.sha256()
        request = object_service_pb2.ReadObjectRequest(object_id=object_id)
        try:
            with part.open("wb") as out:
                async for message in self._stub.ReadObject(request, timeout=_CALL_TIMEOUT_S):
                    digest.update(message.chunk)
                    out.write(message.chunk)
        except grpc.aio.AioRpcError as exc:
            if exc.code() in _LOST:
                raise FileLost(f"object {object_id}: {exc.code().name}") from exc
            raise
        return digest.hexdigest()

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's answer, tried again with growing pauses; raises `FileUnavailable` when patience ends."""
        give_up = time.monotonic() + self._patience_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as exc:
                if exc.code() in _PERMANENT:
                    raise
                if time.monotonic() + pause > give_up:
                    raise FileUnavailable(f"storage: {exc.code().name} {exc.details()}") from exc
                _log.warning("storage does not answer, trying again", code=exc.code().name, details=exc.details())
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


def _header(spec: FileSpec, source: Path) -> object_service_pb2.WriteObjectHeader:
    bucket, kind = _PLACES[spec.kind]
    header = object_service_pb2.WriteObjectHeader(
        request_id=spec.request_id,
        owner_id=spec.owner_id,
        job_id=spec.job_id,
        bucket=bucket,
        kind=kind,
        fence=spec.fence,
        content_type=spec.content_type,
        filename=spec.filename,
        sha256=sha256_of(source),
        size_bytes=source.stat().st_size,
    )
    if spec.scene_index is not None:
        header.scene_index = spec.scene_index
    return header


async def _upload(
    header: object_service_pb2.WriteObjectHeader, source: Path
) -> AsyncIterator[object_service_pb2.WriteObjectRequest]:
    yield object_service_pb2.WriteObjectRequest(header=header)
    with source.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield object_service_pb2.WriteObjectRequest(chunk=chunk)
