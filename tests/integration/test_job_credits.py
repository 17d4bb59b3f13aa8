"""Credits over a real job server and a real auth server (A6, J3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from sqlalchemy import insert

from services.auth.adapters.jose.keys import load_or_create_keys
from services.auth.adapters.postgres.ledger import PostgresLedger
from services.auth.adapters.postgres.tables import USERS
from services.auth.bootstrap import build_server as build_auth
from services.auth.settings import AuthSettings
from services.runtime.db import create_engine
from services.runtime.identity import Role
from services.runtime.tokens import TokenSigner
from t2m.auth.v1 import credit_service_pb2
from t2m.job.v1 import batch_service_pb2
from t2m.job.v1 import job_service_pb2 as pb
from tests import stack
from tests.fakes.auth import START
from tests.fakes.render_server import failed, planned, succeeded
from tests.integration import job_harness
from tests.integration.job_harness import ORDER, Caller, Running, World, failure, new_world
from tests.integration.video_render_harness import eventually

SECRET = "s" * 32


@dataclass
class Deployment:
    """A job server whose auth is real, and one user with twenty credits."""

    world: World
    server: Running
    user: Caller
    auth: grpc.aio.Channel

    async def balance(self) -> tuple[int, int, int]:
        """Available, reserved, spent, as the user sees them."""
        caller = Caller(self.auth, self.user.subject)
        answer = await caller.call("GetCreditBalance", credit_service_pb2.GetCreditBalanceRequest())
        return (answer.balance.available, answer.balance.reserved, answer.balance.spent)

    async def until(self, expected: tuple[int, int, int]) -> None:
        """Wait for a balance; settlements come through the outbox."""

        async def reached() -> bool:
            return await self.balance() == expected

        await eventually(reached, f"balance {expected}", 20)


@pytest.fixture
async def deployment(
    postgres: Callable[[], str], redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Deployment]:
    url, user_id = postgres(), str(uuid4())
    await stack.migrate("auth", url)
    settings: dict[str, Any] = {
        "database_url": url,
        "keys_dir": tmp_path / "keys",
        "api_key_pepper": "p" * 16,
        "service_secrets": {"job": SECRET},
        "service_id": "auth",
        "bind": "127.0.0.1:0",
        "plans": {"free": {"metered": True, "signup_credits": 20}},
    }
    engine = create_engine(url)
    async with engine.begin() as connection:
        row = {"user_id": user_id, "email": "a@b.example", "display_name": "", "role": "user", "plan": "free"}
        await connection.execute(insert(USERS), [{**row, "created_at": START, "updated_at": START}])
    await engine.dispose()
    auth = build_auth(AuthSettings(**settings))
    await auth.start()
    # The user's tokens are signed by the key of this auth, as its own are.
    monkeypatch.setattr(job_harness, "SIGNER", TokenSigner(load_or_create_keys(tmp_path / "keys")[-1].key))
    address = f"127.0.0.1:{auth.port}"
    async with new_world(postgres, redis_server) as world, grpc.aio.insecure_channel(address) as channel:
        server = await world.start(
            auth_address=address, service_id="job", service_secret=SECRET, credit_prices={"medium": 1}
        )
        admin = Caller(channel, str(uuid4()), Role.ADMIN)
        grant = credit_service_pb2.GrantCreditsRequest(user_id=user_id, amount=20, reason="test", request_id="g")
        await admin.call("GrantCredits", grant)
        yield Deployment(world, server, server.caller(user_id), channel)
        await server.stop()
    await auth.stop()
    engine = create_engine(url)
    assert await PostgresLedger(engine).faults() == []
    await engine.dispose()


def refund_of(job_id: str) -> credit_service_pb2.RefundReservationRequest:
    """The admin's request."""
    return credit_service_pb2.RefundReservationRequest(job_id=job_id)


async def test_A6_two_hundred_orders_at_once_against_twenty_credits(deployment: Deployment) -> None:
    """A6: exactly what twenty credits buy; the rest is refused with the price."""
    results = await asyncio.gather(*(deployment.user.create() for _ in range(200)), return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 20
    page = await deployment.user.call("ListJobs", pb.ListJobsRequest(page_size=100))
    assert len(page.jobs) == 20
    refused = await failure(deployment.user.create())
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED")
    assert refused.message == "this costs 1 credits, 0 are left"
    assert await deployment.balance() == (0, 20, 0)


async def test_A6_J3_spent_when_completed_and_free_again_otherwise(deployment: Deployment) -> None:
    """A6, J3: a completed job is paid, a cancelled and a failed one are not; an admin may give back what was paid."""
    user, renders = deployment.user, deployment.world.renders
    good, stopped, broken = await user.create(), await user.create(), await user.create(max_retries=0)
    assert (await user.get(good.job_id)).credit_cost == 1
    for job in (good, stopped, broken):
        await renders.started(f"{job.job_id}-1")
    assert await deployment.balance() == (17, 3, 0)
    await user.cancel(stopped.job_id)
    await renders.emit(f"{broken.job_id}-1", failed(retryable=False))
    await renders.emit(f"{good.job_id}-1", planned("One"), succeeded("v", "t"))
    await user.ended(good.job_id)
    await deployment.until((19, 0, 1))
    admin = Caller(deployment.auth, str(uuid4()), Role.ADMIN)
    for _ in range(2):
        answer = await admin.call("RefundReservation", refund_of(good.job_id))
        assert answer.reservation.state == credit_service_pb2.CREDIT_RESERVATION_STATE_REFUNDED
        assert await deployment.balance() == (20, 0, 0)
    refused = await failure(admin.call("RefundReservation", refund_of(stopped.job_id)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_CONFLICT")


async def test_A6_V2_a_batch_takes_what_the_credits_cover(deployment: Deployment) -> None:
    """A6, V2: the items beyond are refused one by one."""
    requests = [pb.CreateJobRequest(**ORDER) for _ in range(25)]
    request = batch_service_pb2.CreateBatchRequest(requests=requests, request_id="once")
    answer = await deployment.user.call("CreateBatch", request)
    codes = [item.refusal.error_code for item in answer.items if item.HasField("refusal")]
    assert codes == ["QUOTA_EXHAUSTED"] * 5
    assert answer.batch.queued_count == 20
    again = await deployment.user.call("CreateBatch", request)
    assert again.items == answer.items
    assert await deployment.balance() == (0, 20, 0)


async def test_A6_a_repeated_order_is_paid_once(deployment: Deployment) -> None:
    """A6: fifty at once with one name."""
    jobs = await asyncio.gather(*(deployment.user.create(request_id="once") for _ in range(15)))
    assert len({job.job_id for job in jobs}) == 1
    await deployment.until((19, 1, 0))
