"""Builds auth: the only place that knows which adapter stands behind which port."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.credits import PostgresCredits
from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.adapters.secrets import PepperedSecrets
from services.auth.api.credit_servicer import CreditServicer
from services.auth.api.errors import TABLE
from services.auth.application.accounts import Accounts
from services.auth.application.credits import Credits
from services.auth.application.operator import Operator
from services.auth.application.ports import Clock, Ids
from services.auth.bootstrap.billing import BillingPart, build_billing, known_plans
from services.auth.bootstrap.credentials import CredentialPart, build_api_keys, build_credentials
from services.auth.bootstrap.people import PEOPLE_SERVICES, People, build_passwords, build_people
from services.auth.bootstrap.record import build_record
from services.auth.settings import AuthSettings
from services.runtime.clock import SystemClock
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from services.runtime.server import BackgroundTask, ServiceServer
from t2m.auth.v1 import credit_service_pb2_grpc

SERVICES = (*PEOPLE_SERVICES, "t2m.auth.v1.CreditService")


class UuidIds:
    """`Ids` by the runtime's UUIDv7."""

    def new_id(self) -> str:
        """A new UUIDv7."""
        return new_id()


@dataclass(frozen=True, slots=True)
class Auth:
    """The built service without its server."""

    engine: AsyncEngine
    credentials: CredentialPart
    people: People
    credits: Credits
    billing: BillingPart

    async def close(self) -> None:
        """End all connections."""
        await self.billing.close()
        await self.credentials.close()
        await self.engine.dispose()


def build(settings: AuthSettings, clock: Clock | None = None, ids: Ids | None = None) -> Auth:
    """Everything but the server. Raises KeyFileError when the signing keys cannot be used."""
    clock, ids = clock or SystemClock(), ids or UuidIds()
    engine = _engine(settings, "t2m-auth")
    units = postgres_units(engine)
    secrets = PepperedSecrets(settings.api_key_pepper.get_secret_value())
    plans = known_plans(settings)
    unconfirmed = timedelta(seconds=settings.credit_unconfirmed_s)
    credit_cases = Credits(PostgresCredits(engine), plans, clock, unconfirmed)
    credentials = build_credentials(settings, units, secrets, credit_cases.welcome, clock, ids)
    return Auth(
        engine=engine,
        credits=credit_cases,
        billing=build_billing(settings, engine, clock, ids),
        credentials=credentials,
        people=build_people(settings, units, secrets, credentials.signer, clock, ids),
    )


def build_server(settings: AuthSettings, clock: Clock | None = None) -> ServiceServer:
    """The server, ready to `run`."""
    auth = build(settings, clock)
    record = build_record(settings, auth.engine, clock or SystemClock(), UuidIds(), auth.billing.subscriptions.end)

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        auth.people.add_services(server, auth.credits)
        credit_service_pb2_grpc.add_CreditServiceServicer_to_server(CreditServicer(auth.credits), server)
        return [
            *SERVICES,
            *auth.credentials.add_services(server),
            *auth.billing.add_services(server),
            *record.add_services(server),
        ]

    async def lapse() -> None:
        while True:
            await auth.credits.lapse()
            await asyncio.sleep(settings.billing_poll_s)

    return ServiceServer(
        settings,
        table=TABLE,
        verifier=auth.credentials.signer.verifier,
        add_services=add_services,
        background=[
            BackgroundTask("give back lapsed reservations", lapse),
            *auth.credentials.background(),
            *auth.billing.background(),
            *auth.people.background(),
            *record.background(),
        ],
        on_close=auth.close,
        audit=record.journal,
    )


def build_operator(settings: AuthSettings) -> tuple[Operator, AsyncEngine]:
    """The operator's use cases, and the engine to be disposed of afterwards."""
    engine = _engine(settings, "t2m-auth-operator", pool_size=1)
    clock, ids = SystemClock(), UuidIds()
    units = postgres_units(engine)
    secrets = PepperedSecrets(settings.api_key_pepper.get_secret_value())
    accounts = Accounts(units, build_passwords(settings), clock, ids)
    return Operator(accounts, build_api_keys(settings, units, secrets, clock), secrets), engine


def _engine(settings: AuthSettings, name: str, **options: Any) -> AsyncEngine:
    # Errors of the database reach the log: without the values, which are hashes and addresses.
    return create_engine(settings.database_url, application_name=name, hide_parameters=True, **options)
