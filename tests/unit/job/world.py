"""The job service's use cases over the fakes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from services.job.adapters.live_events import is_terminal
from services.job.api.codec import event_payload
from services.job.application.coalesce import Coalescing
from services.job.application.couriers import Courier
from services.job.application.dispatch import Dispatcher
from services.job.application.estimates import Estimates
from services.job.application.follow import Follower, FollowRules, RenderLog
from services.job.application.orders import Orders
from services.job.application.page_tokens import PageTokens
from services.job.application.ports import Viewer
from services.job.application.queries import Queries
from services.job.application.queueing import AdmissionLimits
from services.job.application.render_commands import RenderCommands
from services.job.application.request import OrderRequest
from services.job.application.reservations import CreditCommands, Reservations
from services.job.application.ticking import Wakeup
from services.job.application.videos import Videos
from services.job.application.watch import Watch
from services.job.application.webhooks.endpoints import Webhooks
from services.job.domain.events import Lane
from services.job.domain.job import Job
from services.job.domain.retry import RetryPolicy
from services.job.domain.values import Quality
from services.job.domain.webhook_targets import TargetRules
from services.runtime.ids import new_id
from tests.fakes.job import (
    CountingSignal,
    FakeClock,
    FakeDatabase,
    FakeEventSource,
    FakeJobs,
    FakeLeases,
    FakeObjects,
    FakeOutbox,
    FakeRenders,
)
from tests.fakes.job_credits import FakeCredits
from tests.fakes.job_queue import FakeQueue
from tests.fakes.storyboards import FakeStoryboardStore
from tests.fakes.webhooks import FakeDeliveries, FakeEndpoints, FakeSeal, WebhookRows

ADA = Viewer("ada")
BOB = Viewer("bob")
ADMIN = Viewer("root", admin=True)


@dataclass
class World:
    """Everything, wired as `bootstrap` does it. `draw` is the jitter of retries."""

    limits: AdmissionLimits = field(default_factory=AdmissionLimits)
    draw: float = 0.5
    prices: dict[Quality, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = count(1)
        self.clock = FakeClock()
        self.db = FakeDatabase(event_payload)
        self.jobs, self.queue, self.outbox = FakeJobs(self.db), FakeQueue(self.db), FakeOutbox(self.db)
        self.storyboards = FakeStoryboardStore(self.db)
        self.renders, self.objects, self.credits = FakeRenders(), FakeObjects(), FakeCredits()
        self.queued, self.commanded, self.reserved = CountingSignal(), CountingSignal(), CountingSignal()
        self.accepted, self.freed, self.due = CountingSignal(), CountingSignal(), CountingSignal()
        self.estimates = estimates = Estimates(self.queue, self.clock)
        tokens = PageTokens(b"key")
        self.queries = Queries(self.jobs, self.queue, estimates, tokens, self.limits.in_flight)
        self.webhook_rows = WebhookRows()
        self.webhooks = Webhooks(
            FakeEndpoints(self.webhook_rows),
            FakeDeliveries(self.webhook_rows),
            FakeSeal(),
            TargetRules(),
            self.clock,
            new_id,
            tokens,
            self.due,
        )
        self.orders = Orders(
            self.jobs,
            estimates,
            self.clock,
            lambda: str(UUID(int=next(numbers))),
            self.queued,
            self.commanded,
            self.reserved,
            self.webhooks,
            Reservations(self.credits, self.prices),
        )
        self.watch = Watch(self.queries, self.jobs, FakeEventSource(self.db, is_terminal))
        self.videos = Videos(self.queries, self.objects)
        self.dispatcher = Dispatcher(self.queue, self.clock, self.limits, Wakeup(60), self.commanded)
        handler = RenderCommands(
            self.jobs,
            self.renders,
            self.storyboards,
            self.clock,
            self.accepted,
            self.freed,
            RetryPolicy(),
            lambda: self.draw,
        )
        self.deliveries = Courier(Lane.RENDER, self.outbox, handler, self.clock, Wakeup(60))
        self.settling = Courier(Lane.CREDITS, self.outbox, CreditCommands(self.credits), self.clock, Wakeup(60))
        self.rules = FollowRules(64, RetryPolicy(), Coalescing(1.0, 0.02), lambda: self.draw)

    def follower(self, holder: str = "me", ttl: timedelta = timedelta(seconds=5)) -> Follower:
        """A process that follows renders."""
        log = RenderLog(self.jobs, self.clock, self.rules, self.commanded, self.estimates)
        leases = FakeLeases(self.db, ttl)
        return Follower(holder, leases, self.renders, log, self.rules, Wakeup(0.01), self.freed)

    async def create(self, viewer: Viewer = ADA, request_id: str = "", **fields: Any) -> Job:
        """Accept an order."""
        request = OrderRequest(**{"topic": "T", "context": "C", **fields})
        return await self.orders.create(viewer, request, request_id)

    async def processing(self, **fields: Any) -> Job:
        """A job whose render video_render has accepted."""
        job = await self.create(**fields)
        await self.dispatcher.admit()
        await self.deliveries.deliver()
        return await self.job(job.job_id)

    async def job(self, job_id: str) -> Job:
        """The job as it is stored."""
        job = await self.jobs.get(job_id)
        assert job is not None
        return job
