"""A small real grpc.aio server that plays the services behind the gateway, scripted by the test.

It speaks the generated contract over a real socket; only what stands behind the contract is made up.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc, user_pb2
from t2m.job.v1 import (
    export_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    video_service_pb2,
    video_service_pb2_grpc,
)
from t2m.storage.v1 import (
    file_service_pb2,
    file_service_pb2_grpc,
    object_pb2,
    object_service_pb2,
    object_service_pb2_grpc,
)
from tests.fakes.export_backend import Exports

JOB_ID = "01890000-0000-7000-8000-000000000001"
OTHER_JOB_ID = "01890000-0000-7000-8000-000000000002"
TERMINAL = (job_pb2.JOB_STATUS_COMPLETED, job_pb2.JOB_STATUS_FAILED, job_pb2.JOB_STATUS_CANCELLED)


async def refuse(
    context: Any, code: grpc.StatusCode, reason: str, message: str = "refused", *details: Message
) -> NoReturn:
    """Abort as the services do: a google.rpc.Status with an ErrorInfo of domain t2m."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain="t2m"), *details):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    await context.abort(code, message, (("grpc-status-details-bin", status.SerializeToString()),))
    raise AssertionError("abort does not return")


def retry_info(seconds: int) -> error_details_pb2.RetryInfo:
    """A retry delay."""
    return error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds))


def bad_request(field_path: str, message: str) -> error_details_pb2.BadRequest:
    """One field violation."""
    violation = error_details_pb2.BadRequest.FieldViolation(field=field_path, description=message)
    return error_details_pb2.BadRequest(field_violations=[violation])


@dataclass
class Script:
    """What the backends know and what they have seen. It outlives a restart, as a database would."""

    credentials: dict[str, str] = field(default_factory=lambda: {"alice-token": "alice", "bob-token": "bob"})
    internal_tokens: dict[str, str] = field(default_factory=dict)
    """Real ones, for a real service behind the gateway; by user."""
    admins: set[str] = field(default_factory=set)
    owner: str = "alice"
    open_to_all: bool = False
    """Whoever comes with an internal token passes, as with those of a real auth."""
    events: list[job_pb2.JobEvent] = field(default_factory=list)
    oldest_seq: int = 0
    content: bytes = b""
    checksum: str = ""
    """What the metadata says of the content; the truth when empty."""
    location: object_pb2.ObjectLocation = field(default_factory=object_pb2.ObjectLocation)
    refusal: tuple[grpc.StatusCode, str, tuple[Message, ...]] | None = None
    break_read_at: int | None = None
    created: list[job_service_pb2.CreateJobRequest] = field(default_factory=list)
    exchanges: list[str] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    watches: list[int | None] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    bytes_read: int = 0
    uploads: list[file_service_pb2.UploadFileHeader] = field(default_factory=list)
    bytes_uploaded: int = 0
    upload_refused: bool = False
    watching: int = 0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def emit(self, progress: float = 0, status: int | None = None, padding: str = "") -> None:
        """Record the next event and wake the watchers."""
        event = job_pb2.JobEvent(seq=len(self.events) + 1, job_id=JOB_ID)
        if status is None:
            event.progress.progress = progress
        else:
            event.status.status = status  # type: ignore[assignment]
            event.status.error.message = padding
        async with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    async def until(self, condition: Any, deadline_s: float = 10) -> None:
        """Wait until a condition on this script holds; watchers and calls announce themselves."""
        async with asyncio.timeout(deadline_s), self.changed:
            await self.changed.wait_for(condition)

    async def announce(self) -> None:
        """Something about this script has changed."""
        async with self.changed:
            self.changed.notify_all()


class Tokens(token_service_pb2_grpc.TokenServiceServicer):
    """Knows the script's credentials."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def ExchangeCredential(self, request: Any, context: Any) -> token_service_pb2.ExchangeCredentialResponse:
        secret = request.api_key or request.access_token
        self._script.exchanges.append(secret)
        if secret == "expired-token":
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_EXPIRED", "the token has expired")
        user = self._script.credentials.get(secret)
        if user is None:
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID", "unknown credential")
        token = self._script.internal_tokens.get(user, f"internal-{user}")
        role = user_pb2.ROLE_ADMIN if user in self._script.admins else user_pb2.ROLE_USER
        return token_service_pb2.ExchangeCredentialResponse(internal_token=token, user_id=user, role=role)


class Jobs(job_service_pb2_grpc.JobServiceServicer):
    """One job, owned by the script's owner."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def _enter(self, context: Any, job_id: str = JOB_ID) -> None:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self._script.metadata.append(metadata)
        if self._script.refusal is not None:
            code, reason, details = self._script.refusal
            await refuse(context, code, reason, "refused", *details)
        owned = self._script.open_to_all or metadata.get("authorization") == f"Bearer internal-{self._script.owner}"
        if job_id != JOB_ID or not owned:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "no such job")

    async def CreateJob(self, request: Any, context: Any) -> job_service_pb2.CreateJobResponse:
        await self._enter(context)
        self._script.created.append(request)
        job = job_pb2.Job(job_id=JOB_ID, status=job_pb2.JOB_STATUS_QUEUED, topic=request.topic)
        await context.send_initial_metadata((("ratelimit-remaining", "9"), ("x-internal-hint", "secret")))
        return job_service_pb2.CreateJobResponse(job=job)

    async def GetJob(self, request: Any, context: Any) -> job_service_pb2.GetJobResponse:
        await self._enter(context, request.job_id)
        return job_service_pb2.GetJobResponse(job=job_pb2.Job(job_id=request.job_id, context="c" * 2000))

    async def GetJobProgress(self, request: Any, context: Any) -> job_service_pb2.GetJobProgressResponse:
        """Waits for ever; ends when the gateway gives up."""
        await self._enter(context, request.job_id)
        try:
            self._script.held.set()
            await asyncio.Event().wait()
        finally:
            self._script.cancelled.set()
        raise AssertionError("unreachable")

    async def ListJobs(self, request: Any, context: Any) -> job_service_pb2.ListJobsResponse:
        await self._enter(context)
        jobs = [job_pb2.Job(status=status, topic=request.topic) for status in request.status]
        return job_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=str(request.page_size))

    async def DeleteJob(self, request: Any, context: Any) -> job_service_pb2.DeleteJobResponse:
        await self._enter(context, request.job_id)
        return job_service_pb2.DeleteJobResponse()

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[job_service_pb2.WatchJobResponse]:
        script = self._script
        # As services.runtime does: initial metadata of a stream go out before anybody was asked.
        await context.send_initial_metadata((("x-request-id", "0"),))
        await self._enter(context, request.job_id)
        position = request.after_seq if request.HasField("after_seq") else None
        script.watches.append(position)
        if position is not None and (position < script.oldest_seq or position > len(script.events)):
            progress = job_pb2.JobProgress(revision=len(script.events))
            await refuse(context, grpc.StatusCode.OUT_OF_RANGE, "POSITION_EXPIRED", "gone", progress)
        script.watching += 1
        await script.announce()
        try:
            if position is None:
                position = len(script.events)
                snapshot = job_pb2.JobEvent(seq=position, job_id=JOB_ID)
                snapshot.snapshot.revision = position
                yield job_service_pb2.WatchJobResponse(event=snapshot)
            while not self._ended(position):
                async with script.changed:
                    await script.changed.wait_for(partial(self._newer_than, position))
                while self._newer_than(position):  # looked at anew each time: events come while one is being sent
                    position += 1
                    yield job_service_pb2.WatchJobResponse(event=script.events[position - 1])
        finally:
            script.watching -= 1
            # Not awaited: a cancelled call must not wait for a lock.
            asyncio.get_running_loop().create_task(script.announce())

    def _newer_than(self, position: int) -> bool:
        return len(self._script.events) > position

    def _ended(self, position: int) -> bool:
        return position > 0 and self._script.events[position - 1].status.status in TERMINAL


class Videos(video_service_pb2_grpc.VideoServiceServicer):
    """The script's file."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def DownloadVideo(self, request: Any, context: Any) -> video_service_pb2.DownloadVideoResponse:
        if self._script.refusal is not None:
            code, reason, details = self._script.refusal
            await refuse(context, code, reason, "refused", *details)
        return video_service_pb2.DownloadVideoResponse(location=self._script.location)

    async def GetVideo(self, request: Any, context: Any) -> video_service_pb2.GetVideoResponse:
        if self._script.refusal is not None:
            code, reason, details = self._script.refusal
            await refuse(context, code, reason, "refused", *details)
        content = self._script.content
        video = video_service_pb2.Video(
            job_id=request.job_id,
            filename="video.mp4",
            size_bytes=len(content),
            checksum_sha256=self._script.checksum or hashlib.sha256(content).hexdigest(),
        )
        return video_service_pb2.GetVideoResponse(video=video)


class Objects(object_service_pb2_grpc.ObjectServiceServicer):
    """The script's bytes."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def ReadObject(self, request: Any, context: Any) -> AsyncIterator[object_service_pb2.ReadObjectResponse]:
        script = self._script
        if request.read_ticket != "ticket":
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID", "forged ticket")
        script.reads.append((request.offset, request.limit))
        end = request.offset + request.limit
        for start in range(request.offset, end, 65536):
            if script.break_read_at is not None and start >= script.break_read_at:
                script.break_read_at = None
                await refuse(context, grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "restarting")
            chunk = script.content[start : min(start + 65536, end)]
            script.bytes_read += len(chunk)
            yield object_service_pb2.ReadObjectResponse(chunk=chunk)


class Files(file_service_pb2_grpc.FileServiceServicer):
    """Takes uploads once the script's `held` is set, and counts their bytes."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def UploadFile(self, request_iterator: Any, context: Any) -> file_service_pb2.UploadFileResponse:
        script = self._script
        try:
            script.uploads.append((await anext(request_iterator)).header)
            await script.announce()
            if script.upload_refused:
                await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "too large")
            await context.send_initial_metadata((("upload-wanted", "1"),))
            await script.held.wait()
            async for message in request_iterator:
                script.bytes_uploaded += len(message.chunk)
        finally:
            # The end of a stream that was cut looks like that of a whole one, or like a cancelled call.
            if script.bytes_uploaded < script.uploads[-1].size_bytes:
                script.cancelled.set()
        return file_service_pb2.UploadFileResponse()


class FakeBackends:
    """All services in one server, on a port that stays the same over restarts."""

    def __init__(self) -> None:
        self.script = Script()
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def store(self, content: bytes) -> None:
        """Make this the file of the job."""
        self.script.content = content
        self.script.location = object_pb2.ObjectLocation(
            read_ticket="ticket",
            content_type="video/mp4",
            size_bytes=len(content),
            etag=hashlib.sha256(content).hexdigest(),
            filename="Überblick.mp4",
        )
        self.script.location.modified_at.FromJsonString("2030-01-31T12:00:00Z")

    async def start(self) -> None:
        """Listen."""
        server = grpc.aio.server()
        # The services play only the methods that a test calls; grpc answers UNIMPLEMENTED for the others.
        token_service_pb2_grpc.add_TokenServiceServicer_to_server(Tokens(self.script), server)  # type: ignore[abstract]
        job_service_pb2_grpc.add_JobServiceServicer_to_server(Jobs(self.script), server)  # type: ignore[abstract]
        video_service_pb2_grpc.add_VideoServiceServicer_to_server(Videos(self.script), server)  # type: ignore[abstract]
        object_service_pb2_grpc.add_ObjectServiceServicer_to_server(Objects(self.script), server)  # type: ignore[abstract]
        file_service_pb2_grpc.add_FileServiceServicer_to_server(Files(self.script), server)  # type: ignore[abstract]
        export_service_pb2_grpc.add_ExportServiceServicer_to_server(Exports(self.script), server)
        status = health.aio.HealthServicer()
        await status.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        self.port = server.add_insecure_port(self.address)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Break every call and stop listening."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
