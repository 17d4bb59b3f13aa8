"""Credits when a service is killed at the worst moment: real job, real auth, real Postgres (A6).

Between the two stands a gate, so that a test can strike exactly when auth has committed and before job hears of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from sqlalchemy import text

from services.runtime.db import create_engine
from t2m.job.v1 import job_service_pb2 as pb
from tests.fakes.gate import Gate, gate_to
from tests.fakes.render_server import planned, succeeded
from tests.integration import job_harness
from tests.integration.job_harness import Caller, World, failure, metadata, new_world, process
from tests.integration.money_harness import SECRET, Money, new_money, running_auth

PRICES = {"T2M_CREDIT_PRICES": json.dumps({"medium": 1}), "T2M_SERVICE_SECRET": SECRET}


@pytest.fixture
async def money(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Money]:
    async with new_money(tmp_path) as made:
        # The user's tokens are signed by the key of this auth, as its own are.
        monkeypatch.setattr(job_harness, "SIGNER", made.signer())
        yield made


@pytest.fixture
async def world(postgres: Callable[[], str], redis_server: str) -> AsyncGenerator[World]:
    async with new_world(postgres, redis_server) as made:
        yield made


@asynccontextmanager
async def job_process(world: World, gate: Gate, user: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, Caller]]:
    """The job service as a process that reaches auth through the gate; and the user."""
    async with process(world, T2M_AUTH_ADDRESS=gate.address, **PRICES) as (child, caller):
        caller.subject, caller.metadata = user, metadata(user)
        yield child, caller


async def stored_jobs(world: World) -> int:
    """How many there are."""
    engine = create_engine(world.database_url)
    async with engine.connect() as connection:
        count: int = (await connection.execute(text("SELECT count(*) FROM jobs"))).scalar_one()
    await engine.dispose()
    return count


async def test_A6_the_job_service_dies_between_the_reservation_and_the_job(money: Money, world: World) -> None:
    """A6: SIGKILL when auth has committed; the reservation lapses, nothing is lost."""
    user = await money.add_user(20)
    async with running_auth(money, credit_unconfirmed_s=1.0) as address, gate_to(address) as gate:
        async with job_process(world, gate, user) as (child, caller):

            async def strike(method: str) -> bool:
                if method == "ReserveCredits":
                    child.kill()
                    await child.wait()
                return True

            gate.answered = strike
            assert (await failure(caller.create())).code is grpc.StatusCode.UNAVAILABLE
        assert await stored_jobs(world) == 0
        await money.until(user, (20, 0, 0))
        assert await money.kinds(user) == ["grant: test", "reserve", "lapse"]


async def test_A6_the_job_service_dies_with_a_group_of_reservations(money: Money, world: World) -> None:
    """A6: SIGKILL when auth has committed a group; what belongs to stored jobs stays, all the rest lapses."""
    user = await money.add_user(20)
    async with running_auth(money, credit_unconfirmed_s=1.0) as address, gate_to(address) as gate:
        async with job_process(world, gate, user) as (child, caller):

            async def strike(method: str) -> bool:
                if method == "BatchReserveCredits":
                    child.kill()
                    await child.wait()
                return True

            gate.answered = strike
            ended = await asyncio.gather(*(caller.create() for _ in range(12)), return_exceptions=True)
            assert any(isinstance(each, grpc.aio.AioRpcError) for each in ended)
        gate.answered = None
        kept = await stored_jobs(world)
        assert kept < 12
        async with job_process(world, gate, user):
            await money.until(user, (20 - kept, kept, 0))


async def test_A6_auth_dies_when_it_has_reserved(money: Money, world: World) -> None:
    """A6: SIGKILL before the answer; the order is refused, the user orders again, and pays once."""
    user, request_id = await money.add_user(20), str(uuid4())
    async with money.process(T2M_CREDIT_UNCONFIRMED_S="1") as (child, address), gate_to(address) as gate:
        server = await world.start(
            auth_address=gate.address, service_id="job", service_secret=SECRET, credit_prices={"medium": 1}
        )
        caller = server.caller(user)

        async def strike(method: str) -> bool:
            if method != "ReserveCredits":
                return True
            child.kill()
            await child.wait()
            return False

        gate.answered = strike
        refused = await failure(caller.create(request_id=request_id))
        assert (refused.code, await money.balance(user)) == (grpc.StatusCode.UNAVAILABLE, (19, 1, 0))
        async with money.process(T2M_CREDIT_UNCONFIRMED_S="1") as (_, again):
            gate.answered, gate.target = None, again
            await money.until(user, (20, 0, 0))
            job = await caller.create(request_id=request_id)
            await world.renders.started(f"{job.job_id}-1")
            await world.renders.emit(f"{job.job_id}-1", planned("One"), succeeded("v", "t"))
            await caller.ended(job.job_id)
            await money.until(user, (19, 0, 1))
        await server.stop()
    # Where confirming takes longer than a second, the second reservation lapses and is made anew; it is paid once.
    assert (await money.kinds(user))[:4] == ["grant: test", "reserve", "lapse", "reserve"]


async def test_A6_what_is_owed_to_auth_outlives_the_job_service(money: Money, world: World) -> None:
    """A6: jobs end while auth is away and the job service is killed; the next one settles and releases, once."""
    user = await money.add_user(20)
    async with running_auth(money) as address, gate_to(address) as gate:
        async with job_process(world, gate, user) as (child, caller):
            paid, stopped = await caller.create(), await caller.create()
            await world.renders.started(f"{paid.job_id}-1")
            gate.closed = {"SettleReservation", "ReleaseReservation"}
            await caller.cancel(stopped.job_id)
            await world.renders.emit(f"{paid.job_id}-1", planned("One"), succeeded("v", "t"))
            await caller.ended(paid.job_id)
            assert await money.balance(user) == (18, 2, 0)
            child.kill()
            await child.wait()
        gate.closed = set()
        async with job_process(world, gate, user) as (_, caller):
            await money.until(user, (19, 0, 1))
            page = await caller.call("ListJobs", pb.ListJobsRequest())
            assert len(page.jobs) == 2
    assert sorted(await money.kinds(user)) == ["grant: test", "release", "reserve", "reserve"]
