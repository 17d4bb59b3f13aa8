"""`FileStore` on the storage service: streamed, checked end to end, repeated while the service is away."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import grpc
import structlog

from services.video_render.adapters.storage import direct
from services.video_render.adapters.storage.hashing import sha256_of
from services.video_render.application.ports import FileKind, FileLost, FileSpec, FileUnavailable, OnBytes
from services.video_render.domain.outcomes import StoredFile
from t2m.storage.v1 import object_pb2, object_service_pb2, object_service_pb2_grpc

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_CHUNK_BYTES = 512 * 1024
_CALL_TIMEOUT_S = 300.0
_ABORT_TIMEOUT_S = 5.0
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
    """Files in the storage service. What meets a service or a store that is away is tried `attempts` times in all,
    with pauses from `first_pause_s` on, each twice the last and somewhere in its upper half.
    """

    def __init__(self, channel: grpc.aio.Channel, *, attempts: int = 4, first_pause_s: float = 0.25) -> None:
        self._stub = object_service_pb2_grpc.ObjectServiceStub(channel)
        self._attempts = attempts
        self._first_pause_s = first_pause_s

    async def save(self, source: Path, spec: FileSpec, on_bytes: OnBytes | None = None) -> StoredFile:
        """Store a file, verified end to end; raises `FileUnavailable`. Its bytes go to the store itself where that
        takes them.
        """
        header = await asyncio.to_thread(_header, spec, source)
        counted = _Counted(on_bytes)

        async def write() -> object_pb2.Object:
            counted.begin()
            begun = await self._stub.BeginUpload(
                object_service_pb2.BeginUploadRequest(header=header), timeout=_CALL_TIMEOUT_S
            )
            match begun.WhichOneof("outcome"):
                case "object":
                    return begun.object
                case "upload":
                    return await self._sent(source, begun.upload, spec.owner_id, counted.add)
                case _:
                    upload = _upload(header, source, counted.add)
                    return (await self._stub.WriteObject(upload, timeout=_CALL_TIMEOUT_S)).object

        stored = await self._patiently(write)
        return StoredFile(stored.object_id, stored.sha256, stored.size_bytes, spec.content_type)

    async def _sent(
        self, source: Path, plan: object_service_pb2.UploadPlan, owner_id: str, on_bytes: OnBytes
    ) -> object_pb2.Object:
        named = {"object_id": plan.object_id, "owner_id": owner_id}
        try:
            etags = await direct.send(source, plan.parts, on_bytes)
        except direct.StoreRefused as refused:
            if refused.answered:
                await self._abort(object_service_pb2.AbortUploadRequest(**named))
            raise
        request = object_service_pb2.CompleteUploadRequest(**named, upload_id=plan.upload_id, etags=etags)
        return (await self._stub.CompleteUpload(request, timeout=_CALL_TIMEOUT_S)).object

    async def _abort(self, upload: object_service_pb2.AbortUploadRequest) -> None:
        """Best effort: the sweep of the storage service reclaims what is left, as it does for a killed writer."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self._stub.AbortUpload(upload, timeout=_ABORT_TIMEOUT_S)

    async def load(self, file: StoredFile, target: Path) -> None:
        """Fetch a file and verify it; raises `FileLost`, `FileUnavailable`."""
        part = target.with_suffix(target.suffix + ".part")
        try:
            if await self._patiently(lambda: self._read(file.object_id, part)) != file.sha256:
                raise FileLost(f"object {file.object_id} does not have the bytes that were stored")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    async def fetch(self, object_id: str, owner_id: str, target: Path) -> None:
        """Fetch what an owner has stored by other ways; raises `FileLost`, `FileUnavailable`."""
        await self._patiently(lambda: self._read(object_id, target, owner_id))

    async def _read(self, object_id: str, part: Path, owner_id: str = "") -> str:
        """Stream an object into a file; its SHA-256. Raises `FileLost`."""
        digest = hashlib.sha256()
        try:
            with part.open("wb") as out:
                async with aclosing(self._bytes(object_id, owner_id)) as chunks:
                    async for chunk in chunks:
                        digest.update(chunk)
                        out.write(chunk)
        except direct.ObjectMissing as exc:
            raise FileLost(f"object {object_id}: the store does not have it") from exc
        except grpc.aio.AioRpcError as exc:
            if exc.code() in _LOST:
                raise FileLost(f"object {object_id}: {exc.code().name}") from exc
            raise
        return digest.hexdigest()

    async def _bytes(self, object_id: str, owner_id: str) -> AsyncGenerator[bytes]:
        """From the store itself where that serves clients, else through the service. No owner: whoever it is."""
        named = object_service_pb2.GetObjectRequest(object_id=object_id, owner_id=owner_id)
        owner = (await self._stub.GetObject(named, timeout=_CALL_TIMEOUT_S)).object.owner_id
        wanted = object_service_pb2.CreateObjectLocationRequest(object_id=object_id, owner_id=owner)
        location = (await self._stub.CreateObjectLocation(wanted, timeout=_CALL_TIMEOUT_S)).location
        if location.redirect:
            async with aclosing(direct.receive(location.url)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        request = object_service_pb2.ReadObjectRequest(object_id=object_id)
        async for message in self._stub.ReadObject(request, timeout=_CALL_TIMEOUT_S):
            yield message.chunk

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's answer, tried again with growing pauses; raises `FileUnavailable` after the last attempt."""
        pause = self._first_pause_s
        for attempt in range(1, self._attempts + 1):
            try:
                return await call()
            except direct.StoreRefused as exc:
                reason = str(exc)
            except grpc.aio.AioRpcError as exc:
                if exc.code() in _PERMANENT:
                    raise
                reason = f"{exc.code().name} {exc.details()}"
            if attempt == self._attempts:
                raise FileUnavailable(f"storage: {reason}")
            _log.warning("storage does not answer, trying again", reason=reason)
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause *= 2
        raise AssertionError("there is at least one attempt")


class _Counted:
    """Passes on how many bytes are stored, and each only once, however often they are sent."""

    def __init__(self, on_bytes: OnBytes | None) -> None:
        self._on_bytes = on_bytes
        self._sent = self._told = 0

    def begin(self) -> None:
        """They are sent from the first one on."""
        self._sent = 0

    def add(self, count: int) -> None:
        """So many more were sent."""
        self._sent += count
        if self._on_bytes is not None and self._sent > self._told:
            self._on_bytes(self._sent - self._told)
            self._told = self._sent


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
    header: object_service_pb2.WriteObjectHeader, source: Path, on_bytes: OnBytes
) -> AsyncIterator[object_service_pb2.WriteObjectRequest]:
    yield object_service_pb2.WriteObjectRequest(header=header)
    with source.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield object_service_pb2.WriteObjectRequest(chunk=chunk)
            on_bytes(len(chunk))
