"""One suite for `Renders` and `Objects`: the fakes of the unit tests and the gRPC clients must behave alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from services.job.adapters.credit_client import GrpcCredits
from services.job.adapters.render_client import GrpcRenders
from services.job.adapters.storage_client import GrpcObjects
from services.job.application.neighbours import (
    Artifact,
    Credits,
    CreditsAway,
    CreditsRefused,
    LocationRequest,
    ObjectMissing,
    Objects,
    RenderAway,
    RenderCursorAhead,
    RenderRefused,
    Renders,
    RenderUnknown,
)
from services.job.domain.job import Job
from services.job.domain.order import Order
from services.job.domain.render import PlannedFact, ProgressFact, RenderFact
from services.job.domain.values import Priority
from t2m.auth.v1 import credit_service_pb2 as pb
from t2m.auth.v1 import credit_service_pb2_grpc
from t2m.storage.v1 import object_pb2
from tests.fakes.job import START, FakeObjects, FakeRenders
from tests.fakes.job_credits import FakeCredits
from tests.fakes.render_server import Neighbours, drawn, planned

RENDER_ID = "job-1"
PLANNED = PlannedFact(1, "A title", ())


@dataclass
class Side:
    """One side's ports, and how a test steers what is behind them."""

    renders: Renders
    objects: Objects
    happen: Callable[[], Awaitable[None]]
    """The render is planned, then frames are drawn."""
    refuse: Callable[[], None]
    leave: Callable[[], Awaitable[None]]
    """video_render goes away."""
    store: Callable[[], None]
    """Storage has the object `v` of `ada`, for the job `job`."""


def fake_side() -> Side:
    renders, objects = FakeRenders(), FakeObjects()

    async def happen() -> None:
        await renders.emit(RENDER_ID, PLANNED, ProgressFact(2, 30.0, 0, 10, 100))

    def refuse() -> None:
        renders.refusal = "no"

    async def leave() -> None:
        renders.away = True
        await renders.restart()

    def store() -> None:
        objects.owners["v"] = "ada"
        objects.kept["job"].append(Artifact("video", "v", "users/ada/jobs/job/v", 4))

    return Side(renders, objects, happen, refuse, leave, store)


def real_side(neighbours: Neighbours, channel: grpc.aio.Channel) -> Side:
    script = neighbours.renders

    async def happen() -> None:
        await script.emit(RENDER_ID, planned(), drawn(30, 0, 10))

    def refuse() -> None:
        script.refuse = (grpc.StatusCode.INVALID_ARGUMENT, "no")

    def store() -> None:
        neighbours.objects.add("v", "ada", "job", object_pb2.ARTIFACT_KIND_VIDEO, "video/mp4")

    return Side(GrpcRenders(channel), GrpcObjects(channel), happen, refuse, neighbours.stop, store)


@pytest.fixture(params=["fake", "grpc"])
async def side(request: pytest.FixtureRequest) -> AsyncGenerator[Side]:
    if request.param == "fake":
        yield fake_side()
        return
    neighbours = Neighbours()
    await neighbours.start()
    async with grpc.aio.insecure_channel(neighbours.address) as channel:
        yield real_side(neighbours, channel)
    await neighbours.stop()


def processing_job() -> Job:
    job = Job.accept("job", Order("ada", "T", "C"), START)
    job.start_attempt(START)
    return job


async def read(renders: Renders, after: int, count: int) -> list[RenderFact]:
    facts: list[RenderFact] = []
    async with asyncio.timeout(10), aclosing(renders.watch(RENDER_ID, after)) as stream:
        while len(facts) < count:
            facts.append(await anext(stream))
    return facts


async def refusal(call: Awaitable[Any]) -> type[BaseException]:
    with pytest.raises(Exception) as caught:
        await call
    return caught.type


async def test_render_is_started_once_and_watched_from_any_position(side: Side) -> None:
    for _ in range(2):
        await side.renders.start(processing_job(), Priority.DEFAULT)
    await side.happen()
    facts = await read(side.renders, 0, 2)
    assert facts == [PLANNED, ProgressFact(2, 30.0, 0, 10, 100)]
    assert await read(side.renders, 1, 1) == facts[1:]
    assert await refusal(read(side.renders, 3, 1)) is RenderCursorAhead


async def test_unknown_render(side: Side) -> None:
    assert await refusal(read(side.renders, 0, 1)) is RenderUnknown
    assert await refusal(side.renders.cancel(RENDER_ID)) is RenderUnknown


async def test_cancel_may_be_repeated(side: Side) -> None:
    await side.renders.start(processing_job(), Priority.DEFAULT)
    for _ in range(2):
        await side.renders.cancel(RENDER_ID)


async def test_refused_render(side: Side) -> None:
    side.refuse()
    assert await refusal(side.renders.start(processing_job(), Priority.DEFAULT)) is RenderRefused


async def test_absence_is_noticed_by_calls_and_open_streams(side: Side) -> None:
    await side.renders.start(processing_job(), Priority.DEFAULT)
    await side.happen()
    async with asyncio.timeout(20), aclosing(side.renders.watch(RENDER_ID, 0)) as stream:
        await anext(stream)
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)  # The read is under way.
        await side.leave()
        assert await refusal(waiting) is RenderAway
    assert await refusal(side.renders.start(processing_job(), Priority.DEFAULT)) is RenderAway
    assert await refusal(side.renders.cancel(RENDER_ID)) is RenderAway
    assert await refusal(read(side.renders, 0, 1)) is RenderAway


async def test_objects_are_located_for_their_owner_only(side: Side) -> None:
    side.store()
    request = LocationRequest("v", "ada", filename="f.mp4", inline=True, cache_control="private")
    location = await side.objects.locate(request)
    assert (location.object_id, location.url, location.filename) == ("v", "https://files.example/v", "f.mp4")
    assert (location.inline, location.cache_control, location.size_bytes) == (True, "private", 4)
    assert location.expires_at is not None
    for missing in (LocationRequest("v", "bob"), LocationRequest("w", "ada")):
        assert await refusal(side.objects.locate(missing)) is ObjectMissing
    assert await side.objects.artifacts("ada", "job") == [Artifact("video", "v", "users/ada/jobs/job/v", 4)]
    assert await side.objects.artifacts("ada", "other") == []


@pytest.fixture(params=["fake", "grpc"])
async def credit_accounts(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[Credits, FakeCredits]]:
    """The port, and a look behind it."""
    if request.param == "fake":
        fake = FakeCredits()
        yield fake, fake
        return
    neighbours = Neighbours()
    await neighbours.start()
    async with grpc.aio.insecure_channel(neighbours.address) as channel:
        yield GrpcCredits(channel), neighbours.credits.accounts
    await neighbours.stop()


async def test_A6_many_at_once_are_answered_one_by_one(credit_accounts: tuple[Credits, FakeCredits]) -> None:
    """A6: thirty orders and eight credits: eight are reserved, and confirmed; while auth is away, all are away."""
    port, behind = credit_accounts
    behind.left = 8
    jobs = [f"j{number}" for number in range(30)]
    reserved = await asyncio.gather(*(port.reserve("ada", job, 1) for job in jobs), return_exceptions=True)
    assert [type(each) for each in reserved].count(CreditsRefused) == 22
    assert (behind.left, len(behind.held)) == (0, 8)
    confirmed = await asyncio.gather(*(port.confirm(job) for job in jobs), return_exceptions=True)
    assert [each is None for each in confirmed] == [each is None for each in reserved]
    assert behind.confirmed == set(behind.held)
    behind.away = True
    away = await asyncio.gather(*(port.reserve("ada", job, 1) for job in jobs), return_exceptions=True)
    assert {type(each) for each in away} == {CreditsAway}


class OlderCredits(credit_service_pb2_grpc.CreditServiceServicer):
    """An auth of before there were calls for several jobs."""

    def __init__(self) -> None:
        self.reserved: list[str] = []

    async def ReserveCredits(self, request: pb.ReserveCreditsRequest, context: Any) -> pb.ReserveCreditsResponse:
        """Set credits aside."""
        self.reserved.append(request.job_id)
        return pb.ReserveCreditsResponse()


async def test_A6_an_older_auth_is_asked_one_by_one() -> None:
    """A6, O5: while a deployment is renewed, orders of a moment are reserved as before."""
    older, server = OlderCredits(), grpc.aio.server()  # type: ignore[abstract]  # what it lacks is UNIMPLEMENTED
    credit_service_pb2_grpc.add_CreditServiceServicer_to_server(older, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        accounts = GrpcCredits(channel)
        await asyncio.gather(*(accounts.reserve("ada", f"j{number}", 1) for number in range(5)))
    await server.stop(None)
    assert older.reserved == [f"j{number}" for number in range(5)]


async def test_A6_credits_are_reserved_kept_and_spent_or_given_back(
    credit_accounts: tuple[Credits, FakeCredits],
) -> None:
    """A6: each call may be repeated; refusals and absence are told apart."""
    port, behind = credit_accounts
    behind.left = 5
    for _ in range(2):
        await port.reserve("ada", "j1", 2)
        await port.confirm("j1")
        await port.settle("j1")
    assert (behind.left, behind.settled) == (3, {"j1": 2})
    await port.reserve("ada", "j2", 3)
    for _ in range(2):
        await port.release("j2")
    assert behind.left == 3
    await port.release("unknown")
    for call in (port.reserve("ada", "j3", 4), port.confirm("j4"), port.settle("j2"), port.release("j1")):
        with pytest.raises(CreditsRefused):
            await call
    behind.away = True
    with pytest.raises(CreditsAway):
        await port.settle("j1")
