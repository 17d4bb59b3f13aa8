"""What the parts of the service share, and what a part is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import grpc
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from services.job.adapters.metrics import PrometheusJobs
from services.job.adapters.postgres.jobs import PostgresJobs
from services.job.adapters.postgres.outbox import PostgresOutbox
from services.job.adapters.postgres.queue import PostgresQueue
from services.job.adapters.postgres.tables import JOB_EVENTS
from services.job.adapters.postgres.webhook_queue import WebhookQueue
from services.job.adapters.postgres.webhooks import PostgresDeliveries, PostgresEndpoints
from services.job.adapters.postgres.writer import JobWriter
from services.job.adapters.sealed_secrets import SealedSecrets
from services.job.api.codec import event_payload
from services.job.application.couriers import Courier, Handler
from services.job.application.estimates import Estimates
from services.job.application.metrics import observe
from services.job.application.neighbours import Credits
from services.job.application.orders import Orders
from services.job.application.page_tokens import PageTokens
from services.job.application.ports import Clock
from services.job.application.queries import Queries
from services.job.application.queueing import AdmissionLimits
from services.job.application.reservations import Reservations
from services.job.application.ticking import Wakeup
from services.job.application.webhooks.endpoints import Webhooks
from services.job.domain.events import Lane
from services.job.domain.job import Job
from services.job.domain.retention import schedule
from services.job.domain.webhook_targets import TargetRules
from services.job.settings import JobSettings
from services.runtime.eventlog import EventStore
from services.runtime.ids import new_id
from services.runtime.relay import Relay
from services.runtime.server import BackgroundTask

JOB_STREAM_PREFIX = "job:"
"""The Redis stream of a job is `job:{job_id}`."""
_WEBHOOK_LINGER_S = 0.05
"""What is to be told is announced before its transaction is committed."""
_DISPATCH_LINGER_S = 0.05
"""Nothing against a render of seconds, and one admission for all orders that come meanwhile."""
_CREDITS_LINGER_S = 0.05
"""Nothing against the 15 minutes that a reservation waits, and one call for all orders that come meanwhile."""
_AT_ONCE = {Lane.RENDER: 16, Lane.FILES: 16, Lane.CREDITS: 64}
"""Commands that one replica sends. Those about credits share calls; any other is a call of its own."""

Register = Callable[[grpc.aio.Server], str]
"""Adds a servicer to a server; the full name of its service."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the service: what it serves and what it does on its own."""

    services: Sequence[Register] = ()
    background: Sequence[BackgroundTask] = ()


@dataclass(frozen=True, slots=True)
class Announcement:
    """A `Signal` that calls a function."""

    call: Callable[[], None]

    def set(self) -> None:
        """There is work."""
        self.call()


@dataclass(slots=True)
class Wakeups:
    """Who wakes whom within the process."""

    poll_s: float
    dispatch: Wakeup = field(init=False)
    deliver: Wakeup = field(init=False)
    follow: Wakeup = field(init=False)
    credits: Wakeup = field(init=False)
    files: Wakeup = field(init=False)
    webhooks: Wakeup = field(init=False)

    def lanes(self) -> None:
        """A change left commands."""
        for lane in (self.deliver, self.credits, self.files):
            lane.set()

    def __post_init__(self) -> None:
        self.dispatch = Wakeup(self.poll_s, _DISPATCH_LINGER_S)
        self.deliver, self.follow = Wakeup(self.poll_s), Wakeup(self.poll_s)
        self.credits, self.files = Wakeup(self.poll_s, _CREDITS_LINGER_S), Wakeup(self.poll_s)
        self.webhooks = Wakeup(self.poll_s, _WEBHOOK_LINGER_S)


class Base:
    """Connections, the stores over them, and the use cases that several parts need."""

    def __init__(
        self, settings: JobSettings, engine: AsyncEngine, redis: Redis, clock: Clock, credit_accounts: Credits
    ) -> None:
        self.settings, self.engine, self.redis, self.clock = settings, engine, redis, clock
        self.log = EventStore(engine, JOB_EVENTS)
        self.relay = Relay(
            self.log.fetch_unrelayed, self.log.mark_relayed, redis, prefix=JOB_STREAM_PREFIX, keep=settings.event_keep
        )
        self.wake = Wakeups(settings.poll_s)
        self.commanded = Announcement(self.wake.lanes)
        self.writer = JobWriter(event_payload, Announcement(self.relay.wake))
        self.writer.offer = self.relay.offer
        self.writer.preparations.append(self._schedule)
        self.metrics = PrometheusJobs()
        self.writer.observers.append(partial(observe, self.metrics))
        self.store = PostgresJobs(engine, self.writer)
        self.queue = PostgresQueue(engine, self.writer)
        self.outbox = PostgresOutbox(engine)
        self.estimates = Estimates(self.queue, clock, settings.max_in_flight)
        self.tokens = PageTokens(settings.service_secret.get_secret_value().encode())
        self.plans = settings.known_plans()
        self.limits = AdmissionLimits(settings.max_in_flight, self.plans)
        self.queries = Queries(self.store, self.queue, self.estimates, self.tokens, self.limits.in_flight)
        self.webhook_rules = TargetRules(str(network) for network in settings.webhook_allowed_networks)
        self.webhook_seal = SealedSecrets(settings.webhook_key.get_secret_value().encode())
        self.webhook_queue = WebhookQueue(new_id, self.wake.webhooks)
        self.webhooks = Webhooks(
            PostgresEndpoints(engine),
            PostgresDeliveries(engine),
            self.webhook_seal,
            self.webhook_rules,
            clock,
            new_id,
            self.tokens,
            self.wake.webhooks,
        )
        self.reservations = Reservations(credit_accounts, settings.credit_prices)
        self.orders = Orders(
            self.store,
            self.estimates,
            clock,
            new_id,
            self.wake.dispatch,
            self.commanded,
            self.wake.credits,
            self.webhooks,
            self.reservations,
        )

    def _schedule(self, job: Job) -> None:
        """A job that has just ended, or was deleted, is given its times (J10)."""
        if (job.purge_at is None and job.pinned_at is None and job.status.terminal) or job.deleted_at is not None:
            schedule(job, self.plans.of(job.order.plan))

    def courier(self, lane: Lane, handler: Handler, wakeup: Wakeup) -> BackgroundTask:
        """The task that serves a lane of the outbox."""
        courier = Courier(lane, self.outbox, handler, self.clock, wakeup, _AT_ONCE[lane])
        return BackgroundTask(f"deliver {lane} commands", courier.run)
