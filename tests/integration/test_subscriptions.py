"""Subscriptions as people use them: over REST and over gRPC, with what follows for their jobs (A6, J5)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from services.runtime.identity import Role
from t2m.auth.v1 import (
    credit_service_pb2,
    subscription_service_pb2,
    token_service_pb2,
    token_service_pb2_grpc,
)
from t2m.job.v1 import job_pb2
from t2m.job.v1 import job_service_pb2 as pb
from tests.fakes.stripe_server import API_KEY as STRIPE_KEY
from tests.fakes.stripe_server import SECRET as STRIPE_SECRET
from tests.fakes.stripe_server import StripeServer, signed, stripe_server
from tests.integration.gateway_harness import running_gateway
from tests.integration.job_harness import Caller, failure, new_world
from tests.integration.money_harness import SECRET, Money, new_money, running_auth
from tests.integration.video_render_harness import eventually

WEBHOOK = "/api/v1/billing/stripe/webhook"
_FIVE_MINUTES = timedelta(minutes=5)


@pytest.fixture
async def money(tmp_path: Path) -> AsyncGenerator[Money]:
    async with new_money(tmp_path) as made:
        yield made


@asynccontextmanager
async def site(money: Money, **more: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the real gateway before the real auth, as a user with an API key."""
    async with running_auth(money, **more) as address, running_gateway(auth_address=address) as gateway:
        gateway.client.headers["x-api-key"] = await money.key_of("ada@example.com")
        yield gateway.client


def stripe_settings(stripe: StripeServer) -> dict[str, str]:
    """Of an auth that bills by this server."""
    return {
        "billing_provider": "stripe",
        "stripe_api_key": STRIPE_KEY,
        "stripe_webhook_secret": STRIPE_SECRET,
        "stripe_api_url": stripe.url,
        "billing_return_url": "https://t2m.example/",
    }


async def test_J5_A6_the_limits_of_jobs_follow_the_subscription(
    money: Money, postgres: Callable[[], str], redis_server: str
) -> None:
    """J5, A6: one job at once on free, three on pro, from the moment when it is paid; each job at its price."""
    async with (
        running_auth(money) as address,
        new_world(postgres, redis_server) as world,
        grpc.aio.insecure_channel(address) as auth,
    ):
        plans = {"free": {"in_flight": 1}, "pro": {"in_flight": 3}}
        server = await world.start(
            auth_address=address, service_id="job", service_secret=SECRET, credit_prices={"medium": 2}, plans=plans
        )
        key = await money.key_of("ada@example.com")
        tokens = token_service_pb2_grpc.TokenServiceStub(auth)

        async def exchanged() -> Any:
            return await tokens.ExchangeCredential(token_service_pb2.ExchangeCredentialRequest(api_key=key))

        async def as_ada(channel: grpc.aio.Channel) -> Caller:
            token = await exchanged()
            caller = Caller(channel, token.user_id)
            caller.metadata = (("authorization", f"Bearer {token.internal_token}"),)
            return caller

        async def in_flight() -> int:
            page = await (await as_ada(server.channel)).call("ListJobs", pb.ListJobsRequest(page_size=100))
            return sum(job.status == job_pb2.JOB_STATUS_PROCESSING for job in page.jobs)

        ada = await exchanged()
        assert ada.plan == "free"
        refused = await failure((await as_ada(server.channel)).create())
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED")
        grant = credit_service_pb2.GrantCreditsRequest(user_id=ada.user_id, amount=6, reason="test", request_id="g")
        admin = Caller(auth, "root")
        token, _ = money.signer().sign("00000000-0000-4000-8000-000000000001", Role.ADMIN, _FIVE_MINUTES)
        admin.metadata = (("authorization", f"Bearer {token}"),)
        await admin.call("GrantCredits", grant)
        for _ in range(3):
            await (await as_ada(server.channel)).create()

        async def flying(count: int) -> None:
            async def reached() -> bool:
                return await in_flight() == count

            await eventually(reached, f"{count} jobs in flight", 20)

        await flying(1)
        request = subscription_service_pb2.SubscribeRequest(plan="pro")
        asked = await (await as_ada(auth)).call("Subscribe", request)
        assert (asked.current.plan, (await exchanged()).plan) == ("free", "free")
        status, output = await money.command("mark-paid", asked.current.subscription.charge.charge_id)
        assert (status, "is paid" in output) == (0, True)
        assert (await exchanged()).plan == "pro"
        assert await money.balance(ada.user_id) == (10, 6, 0)
        await (await as_ada(server.channel)).create()
        await flying(3)
        assert await money.balance(ada.user_id) == (8, 8, 0)
        await server.stop()


async def test_A6_subscriptions_over_rest(money: Money) -> None:
    """A6, O6: every route, by invoice."""
    async with site(money) as client:
        plans = (await client.get("/api/v1/subscriptions/plans", headers={"x-api-key": ""})).json()["plans"]
        assert [(plan["name"], plan["in_flight"]) for plan in plans] == [("free", 1), ("pro", 3), ("max", 9)]
        path = "/api/v1/subscriptions"
        assert (await client.get(f"{path}/current")).json()["plan"] == "free"
        once = {"idempotency-key": "once"}
        for _ in range(2):
            made = await client.post(f"{path}/subscribe", json={"plan": "pro"}, headers=once)
            assert made.status_code == 200
            assert made.json()["subscription"]["state"] == "incomplete"
        other = await client.post(f"{path}/cancel", json={}, headers=once)
        assert (other.status_code, other.json()["error"]["error_code"]) == (409, "CONFLICT")
        unpaid = await client.put(f"{path}/upgrade", json={"plan": "pro"})
        assert (unpaid.status_code, unpaid.json()["error"]["error_code"]) == (409, "CONFLICT")
        charge = made.json()["subscription"]["charge"]
        assert (charge["state"], charge["amount"], charge["currency"]) == ("open", 1500, "EUR")
        assert charge["charge_id"] in (await money.command("charges"))[1]
        assert (await money.command("mark-paid", charge["charge_id"], "--reference", "bank 17"))[0] == 0
        assert (await money.command("mark-paid", charge["charge_id"]))[0] == 1
        assert (await money.command("check-ledger"))[0] == 0
        current = (await client.get(f"{path}/current")).json()
        assert (current["plan"], current["subscription"]["state"]) == ("pro", "active")
        again = await client.post(f"{path}/subscribe", json={"plan": "pro"})
        assert (again.status_code, again.json()["error"]["error_code"]) == (409, "CONFLICT")
        cancelled = (await client.post(f"{path}/cancel", json={})).json()
        assert cancelled["subscription"]["cancel_at_period_end"]
        assert not (await client.post(f"{path}/resume", json={})).json()["subscription"].get("cancel_at_period_end")
        usage = (await client.get(f"{path}/usage")).json()
        assert (len(usage["days"]), usage["total"]["credits_granted"]) == (30, 10)
        ledger = (await client.get(f"{path}/ledger", params={"page_size": 1})).json()
        rest = (await client.get(f"{path}/ledger", params={"page_token": ledger["next_page_token"]})).json()
        assert sorted(entry["amount"] for entry in (*ledger["entries"], *rest["entries"])) == [-10, 10]
        charges = (await client.get(f"{path}/charges")).json()["charges"]
        assert [each["state"] for each in charges] == ["paid"]
        for bad in ({"start_date": "2026-02-30"}, {"start_date": "yesterday"}, {"start_date": "2001-01-01"}):
            refused = await client.get(f"{path}/usage", params=bad)
            assert (refused.status_code, refused.json()["error"]["error_code"]) == (422, "VALIDATION_ERROR")
        for listing in ("ledger", "charges"):
            assert (await client.get(f"{path}/{listing}", params={"page_token": "bm9uc2Vuc2U"})).status_code == 422
        unknown = await client.post(f"{path}/subscribe", json={"plan": "nope"})
        assert unknown.json()["error"]["details"]["violations"][0]["field"] == "plan"
        assert (await client.post(WEBHOOK, content=b"{}", headers={"stripe-signature": "t=1,v1=0"})).status_code == 409


async def test_A6_stripe_over_rest(money: Money) -> None:
    """A6: the page, and the event that arrives byte for byte as it was signed; nobody needs a credential for it."""
    async with stripe_server() as stripe:
        async with site(money, **stripe_settings(stripe)) as client:
            made = await client.post("/api/v1/subscriptions/subscribe", json={"plan": "pro"})
            charge = made.json()["subscription"]["charge"]
            [page] = stripe.pages.values()
            assert (charge["state"], charge["page_url"]) == ("open", page["url"])
            for body, signature in stripe.pay(page["id"], at=datetime.now(UTC)):
                spaced = {"stripe-signature": signature, "content-type": "application/json; charset=utf-8"}
                altered = json.dumps(json.loads(body)).encode()
                bad = await client.post(WEBHOOK, content=altered, headers=spaced)
                assert bad.status_code in (400, 422)
                for _ in range(2):
                    taken = await client.post(WEBHOOK, content=body, headers={**spaced, "x-api-key": ""})
                    assert taken.status_code == 200
            current = (await client.get("/api/v1/subscriptions/current")).json()
            assert (current["plan"], current["subscription"]["charge"]["state"]) == ("pro", "paid")
            old = signed(b'{"id": "evt_old"}', datetime(2020, 1, 1, tzinfo=UTC))
            missing = await client.post(WEBHOOK, content=old[0])
            stale = await client.post(WEBHOOK, content=old[0], headers={"stripe-signature": old[1]})
            assert {missing.status_code, stale.status_code} <= {400, 422}
        assert stripe.collected() == 1500


async def test_A6_auth_is_killed_when_stripe_has_charged_the_card(money: Money) -> None:
    """A6: SIGKILL before the answer arrives; the next one finds the payment and charges nothing again."""
    async with stripe_server() as stripe:
        settings = {f"T2M_{name.upper()}": value for name, value in stripe_settings(stripe).items()}
        key = await money.key_of("ada@example.com")
        async with money.process(**settings) as (child, address), running_gateway(auth_address=address) as gateway:
            gateway.client.headers["x-api-key"] = key
            await gateway.client.post("/api/v1/subscriptions/subscribe", json={"plan": "pro"})
            for body, signature in stripe.pay(next(iter(stripe.pages)), at=datetime.now(UTC)):
                await gateway.client.post(WEBHOOK, content=body, headers={"stripe-signature": signature})

            async def strike() -> None:
                child.kill()
                await child.wait()

            stripe.charged = strike
            lost = await gateway.client.put("/api/v1/subscriptions/upgrade", json={"plan": "max"})
            assert lost.status_code == 503
        stripe.charged = None
        assert len(stripe.payments) == 2
        async with money.process(**settings) as (_, address), running_gateway(auth_address=address) as gateway:
            gateway.client.headers["x-api-key"] = key
            current = (await gateway.client.get("/api/v1/subscriptions/current")).json()
            assert (current["plan"], current["subscription"]["charge"]["state"]) == ("pro", "due")
            await money.end_claims()

            async def upgraded() -> bool:
                return bool((await gateway.client.get("/api/v1/subscriptions/current")).json()["plan"] == "max")

            await eventually(upgraded, "the upgrade", 20)
        assert (len(stripe.payments), len(stripe.posts("/v1/payment_intents"))) == (2, 1)
