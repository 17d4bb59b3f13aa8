"""The life of a job over a real server, Postgres and Redis: V1, V3, V4, V6, V7, J1, J3, J6, A5."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2

from services.job.application.follow import FollowRules
from services.runtime.identity import Role
from services.runtime.ids import new_id
from t2m.job.v1 import job_pb2
from t2m.job.v1 import job_service_pb2 as pb
from t2m.job.v1 import video_service_pb2 as video_pb
from t2m.storage.v1 import object_pb2
from t2m.video_render.v1 import quality_pb2, render_pb2, render_service_pb2
from tests.fakes.render_server import drawn, failed, planned, running, scene_done, succeeded
from tests.integration.job_harness import Caller, Running, World, failure, new_world


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as world:
        world.rules = FollowRules(draw=lambda: 0.5)
        yield world


@pytest.fixture
async def server(world: World) -> AsyncGenerator[Running]:
    running_server = await world.start()
    yield running_server
    await running_server.stop()


@pytest.fixture
def user(server: Running) -> Caller:
    return server.caller()


async def complete(world: World, user: Caller, job_id: str) -> tuple[str, str]:
    """Let the job's render succeed; the ids of the video and the poster, which storage has."""
    video, poster = new_id(), new_id()
    for object_id, kind, media_type in (
        (video, object_pb2.ARTIFACT_KIND_VIDEO, "video/mp4"),
        (poster, object_pb2.ARTIFACT_KIND_THUMBNAIL, "image/webp"),
    ):
        world.neighbours.objects.add(object_id, user.subject, job_id, kind, media_type)
    render_id = f"{job_id}-1"
    await world.renders.started(render_id)
    await world.renders.emit(render_id, planned("One", "Two"), succeeded(video, poster))
    progress = await user.ended(job_id)
    assert progress.status == job_pb2.JOB_STATUS_COMPLETED
    return video, poster


async def test_v1_v3_j1_job_runs_to_completion(world: World, user: Caller) -> None:
    """Accept, dispatch, start, follow, complete; the history has no gaps."""
    job = await user.create()
    assert (job.status, job.revision, job.attempt) == (job_pb2.JOB_STATUS_QUEUED, 1, 0)
    render_id = f"{job.job_id}-1"
    render = await world.renders.started(render_id)
    assert (render.request.owner_id, render.request.topic) == (user.subject, job.topic)
    await world.renders.emit(
        render_id,
        running(render_pb2.RENDER_STAGE_PLANNING),
        planned("One", "Two"),
        running(render_pb2.RENDER_STAGE_RENDERING, 5),
        drawn(30, 0, 60),
        scene_done(0, 50),
    )
    half = await user.until(job.job_id, lambda progress: progress.progress == 50)
    assert (half.status, half.current_stage) == (job_pb2.JOB_STATUS_PROCESSING, job_pb2.JOB_STAGE_RENDERING)
    assert [scene.frames_done for scene in half.scenes] == [100, 0]
    await world.renders.emit(render_id, scene_done(1, 90), succeeded(new_id(), new_id()))
    progress = await user.ended(job.job_id)
    assert (progress.status, progress.progress) == (job_pb2.JOB_STATUS_COMPLETED, 100)
    assert progress.HasField("started_at")
    assert progress.HasField("completed_at")
    events = await user.history(job.job_id)
    assert [event.seq for event in events] == list(range(1, progress.revision + 1))
    assert [event.status.status for event in events if event.WhichOneof("event") == "status"] == [
        job_pb2.JOB_STATUS_QUEUED,
        job_pb2.JOB_STATUS_PROCESSING,
        job_pb2.JOB_STATUS_PROCESSING,
        job_pb2.JOB_STATUS_COMPLETED,
    ]


async def test_v1_order_reaches_the_render_as_it_was_given(world: World, user: Caller) -> None:
    """V1, J5: quality by its level, priority, configuration."""
    configuration = struct_pb2.Struct()
    configuration.update({"theme": "light", "scenes": [1, {"deep": None}]})
    job = await user.create(
        quality_levels=["480p", "1080p"],
        priority=job_pb2.JOB_PRIORITY_LOW,
        configuration=configuration,
        max_retries=0,
    )
    assert (job.quality, job.max_retries, job.configuration) == (quality_pb2.QUALITY_HIGH, 0, configuration)
    request = (await world.renders.started(f"{job.job_id}-1")).request
    assert (request.quality, list(request.lower_qualities)) == (quality_pb2.QUALITY_HIGH, [quality_pb2.QUALITY_LOW])
    assert request.priority == render_service_pb2.RENDER_PRIORITY_LOW
    assert request.configuration == configuration


async def test_v1_fifty_repeats_at_once_create_one_job(user: Caller) -> None:
    """V1: Idempotency-Key under concurrency; another body under the same key conflicts."""
    jobs = await asyncio.gather(*(user.create(request_id="key-1") for _ in range(50)))
    assert len({job.SerializeToString(deterministic=True) for job in jobs}) == 1
    listed = await user.call("ListJobs", pb.ListJobsRequest(include_total=True))
    assert listed.total_count == 1
    conflict = await failure(user.create(request_id="key-1", topic="another"))
    assert (conflict.code, conflict.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT")


async def test_v1_other_owner_may_use_the_same_key(server: Running, user: Caller) -> None:
    first = await user.create(request_id="key-1")
    assert (await server.caller().create(request_id="key-1", topic="another")).job_id != first.job_id


@pytest.mark.parametrize(
    ("fields", "reason", "path"),
    [
        ({"use_rag": True}, "UNSUPPORTED", "use_rag"),
        ({"quality_levels": ["480p", "720p"], "quality": 1}, "VALIDATION_FAILED", "quality_levels"),
        ({"topic": ""}, "VALIDATION_FAILED", "topic"),
        ({"topic": "x" * 501}, "VALIDATION_FAILED", "topic"),
        ({"topic": "a\0b"}, "VALIDATION_FAILED", "topic"),
        ({"max_retries": 11}, "VALIDATION_FAILED", "max_retries"),
    ],
)
async def test_v1_bad_order_stores_nothing(user: Caller, fields: dict[str, Any], reason: str, path: str) -> None:
    refused = await failure(user.create(**fields))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert [found for found, _ in refused.violations] == [path]
    listed = await user.call("ListJobs", pb.ListJobsRequest(include_total=True))
    assert listed.total_count == 0


async def test_v1_configuration_that_json_cannot_hold_is_refused(user: Caller) -> None:
    configuration = struct_pb2.Struct()
    configuration["speed"] = float("nan")
    refused = await failure(user.create(configuration=configuration))
    assert (refused.code, refused.violations[0][0]) == (grpc.StatusCode.INVALID_ARGUMENT, "configuration.speed")


async def test_a5_other_owners_job_is_not_found(world: World, server: Running, user: Caller) -> None:
    """A5: for everybody but its owner and admins."""
    job = await user.create()
    stranger = server.caller()
    requests: list[tuple[str, Any]] = [
        ("GetJob", pb.GetJobRequest),
        ("GetJobProgress", pb.GetJobProgressRequest),
        ("ListJobEvents", pb.ListJobEventsRequest),
        ("CancelJob", pb.CancelJobRequest),
        ("DeleteJob", pb.DeleteJobRequest),
        ("DownloadVideo", video_pb.DownloadVideoRequest),
        ("GetVideo", video_pb.GetVideoRequest),
        ("GetThumbnail", video_pb.GetThumbnailRequest),
    ]
    for name, request in requests:
        for job_id in (job.job_id, new_id()):
            refused = await failure(stranger.call(name, request(job_id=job_id)))
            assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"), name
    assert (await failure(stranger.watch(job.job_id))).code is grpc.StatusCode.NOT_FOUND
    admin = server.caller(role=Role.ADMIN)
    assert (await admin.get(job.job_id.upper())).owner_id == user.subject
    readonly = server.caller(user.subject, Role.READONLY)
    assert (await readonly.get(job.job_id)).job_id == job.job_id
    assert (await failure(readonly.cancel(job.job_id))).code is grpc.StatusCode.PERMISSION_DENIED


async def test_j3_cancel_while_queued(world: World) -> None:
    """J3: at once; nothing is ever started."""
    server = await world.start(max_in_flight=1)
    try:
        user = server.caller()
        first, second = await user.create(), await user.create()
        await world.renders.started(f"{first.job_id}-1")
        assert (await user.cancel(second.job_id)).status == job_pb2.JOB_STATUS_CANCELLED
        assert (await user.cancel(second.job_id)).revision == 2
        await complete(world, user, first.job_id)
        third = await user.create()
        await world.renders.started(f"{third.job_id}-1")
        assert f"{second.job_id}-1" not in world.renders.renders
    finally:
        await server.stop()


async def test_j3_cancel_while_processing(world: World, user: Caller) -> None:
    """J3: the row first, then the render; events of the render change nothing any more."""
    job = await user.create()
    render = await world.renders.started(f"{job.job_id}-1")
    await world.renders.emit(f"{job.job_id}-1", planned("One", "Two"))
    await user.until(job.job_id, lambda progress: len(progress.scenes) == 2)
    cancelled = await user.cancel(job.job_id)
    assert cancelled.status == job_pb2.JOB_STATUS_CANCELLED
    await world.renders.wait_for(lambda: render.cancels == 1)
    progress = await user.progress(job.job_id)
    assert progress.revision == cancelled.revision
    assert [scene.status for scene in progress.scenes] == [job_pb2.SCENE_STATUS_CANCELLED] * 2


async def test_j3_cancel_of_a_completed_job_conflicts(world: World, user: Caller) -> None:
    job = await user.create()
    await complete(world, user, job.job_id)
    refused = await failure(user.cancel(job.job_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT")


async def test_j3_delete_cancels_and_hides(world: World, user: Caller) -> None:
    job = await user.create()
    render = await world.renders.started(f"{job.job_id}-1")
    async with user.watching(job.job_id) as watching:
        await watching.next()
        await user.call("DeleteJob", pb.DeleteJobRequest(job_id=job.job_id))
        events = await watching.rest()
    assert events[-1].status.status == job_pb2.JOB_STATUS_CANCELLED
    await world.renders.wait_for(lambda: render.cancels == 1)
    for call in (user.get(job.job_id), user.call("DeleteJob", pb.DeleteJobRequest(job_id=job.job_id))):
        assert (await failure(call)).code is grpc.StatusCode.NOT_FOUND
    assert not (await user.call("ListJobs", pb.ListJobsRequest())).jobs


async def test_j6_retry_waits_for_its_time(world: World, user: Caller) -> None:
    """J1, J6: back to queued with the next attempt's time; the clock is moved, not waited for."""
    job = await user.create(max_retries=1)
    await world.renders.started(f"{job.job_id}-1")
    await world.renders.emit(f"{job.job_id}-1", planned("One"), failed())
    waiting = await user.until(job.job_id, lambda progress: progress.HasField("next_attempt_at"))
    assert (waiting.status, waiting.error.code) == (job_pb2.JOB_STATUS_QUEUED, "SCENE_RENDER_FAILED")
    assert (waiting.error.scene_index, waiting.error.retryable) == (1, True)
    delay = waiting.next_attempt_at.ToDatetime(UTC) - waiting.updated_at.ToDatetime(UTC)
    assert delay == timedelta(seconds=30)
    world.clock.offset = timedelta(seconds=31)
    await world.renders.started(f"{job.job_id}-2")
    await world.renders.emit(f"{job.job_id}-2", failed())
    ended = await user.ended(job.job_id)
    assert (ended.status, ended.attempt, ended.error.stage) == (
        job_pb2.JOB_STATUS_FAILED,
        2,
        job_pb2.JOB_STAGE_RENDERING,
    )


async def test_j6_non_retryable_failure_fails_at_once(world: World, user: Caller) -> None:
    job = await user.create()
    await world.renders.started(f"{job.job_id}-1")
    await world.renders.emit(f"{job.job_id}-1", failed("STORYBOARD_INVALID", retryable=False))
    ended = await user.ended(job.job_id)
    assert (ended.status, ended.error.code) == (job_pb2.JOB_STATUS_FAILED, "STORYBOARD_INVALID")


async def test_refused_render_fails_the_job(world: World, user: Caller) -> None:
    world.renders.refuse = (grpc.StatusCode.INVALID_ARGUMENT, "configuration.theme: unknown")
    ended = await user.ended((await user.create()).job_id)
    assert (ended.status, ended.error.code) == (job_pb2.JOB_STATUS_FAILED, "RENDER_REFUSED")


async def test_v4_v6_v7_finished_video(world: World, user: Caller) -> None:
    """V4, V6, V7: locations through storage, figures from the file."""
    job = await user.create()
    early = await failure(user.call("DownloadVideo", video_pb.DownloadVideoRequest(job_id=job.job_id)))
    assert (early.code, early.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT")
    video_id, poster_id = await complete(world, user, job.job_id)
    request = video_pb.DownloadVideoRequest(job_id=job.job_id, quality="720p")
    location = (await user.call("DownloadVideo", request)).location
    assert (location.object_id, location.filename, location.inline) == (video_id, "A-title-½-done.mp4", False)
    lifetime = location.expires_at.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(minutes=59) < lifetime <= timedelta(minutes=61)
    missing = video_pb.DownloadVideoRequest(job_id=job.job_id, quality="1080p")
    assert (await failure(user.call("DownloadVideo", missing))).code is grpc.StatusCode.NOT_FOUND
    poster = (await user.call("GetThumbnail", video_pb.GetThumbnailRequest(job_id=job.job_id))).location
    assert (poster.object_id, poster.inline, poster.content_type) == (poster_id, True, "image/webp")
    video = (await user.call("GetVideo", video_pb.GetVideoRequest(job_id=job.job_id))).video
    assert (video.width, video.height, video.frame_rate, video.duration_seconds) == (1280, 720, 30.0, 12.5)
    assert [(chapter.title, chapter.start_seconds) for chapter in video.chapters] == [("One", 0), ("Two", 6)]
    assert [(item.quality, item.url) for item in video.renditions] == [("720p", location.url)]
    assert {artifact.object_id for artifact in video.artifacts} == {video_id, poster_id}
    assert video.thumbnail_url == poster.url
