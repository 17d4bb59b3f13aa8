"""Builds auth: the only place that knows which adapter stands behind which port."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.jose.keyring import KeyRing
from services.auth.adapters.jose.keys import load_or_create_keys
from services.auth.adapters.jose.tokens import JoseTokens
from services.auth.adapters.postgres.credits import PostgresCredits
from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.adapters.secrets import PepperedSecrets
from services.auth.api.api_key_servicer import ApiKeyServicer
from services.auth.api.credit_servicer import CreditServicer
from services.auth.api.errors import TABLE
from services.auth.api.token_servicer import TokenServicer
from services.auth.application.accounts import Accounts
from services.auth.application.api_keys import ApiKeys
from services.auth.application.credits import Credits
from services.auth.application.operator import Operator
from services.auth.application.ports import Clock, Ids
from services.auth.application.revocations import Revocations
from services.auth.application.tokens import Tokens
from services.auth.bootstrap_billing import BillingPart, build_billing, known_plans
from services.auth.bootstrap_people import PEOPLE_SERVICES, People, build_passwords, build_people
from services.auth.bootstrap_record import build_record
from services.auth.domain.revocation import Revocation, RevocationKind
from services.auth.domain.service_client import ServiceClients
from services.auth.settings import AuthSettings
from services.runtime.clock import SystemClock
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from services.runtime.revocations import RevocationList
from services.runtime.server import BackgroundTask, ServiceServer
from t2m.auth.v1 import (
    api_key_service_pb2_grpc,
    credit_service_pb2_grpc,
    token_service_pb2_grpc,
)

SERVICES = (
    *PEOPLE_SERVICES,
    "t2m.auth.v1.ApiKeyService",
    "t2m.auth.v1.TokenService",
    "t2m.auth.v1.CreditService",
)
_REVOCATIONS_EVERY_S = 0.25
_FORGET_EVERY_S = 60.0


class UuidIds:
    """`Ids` by the runtime's UUIDv7."""

    def new_id(self) -> str:
        """A new UUIDv7."""
        return new_id()


@dataclass(frozen=True, slots=True)
class Auth:
    """The built service without its server."""

    engine: AsyncEngine
    keys: KeyRing
    tokens: JoseTokens
    people: People
    api_keys: ApiKeyServicer
    token_service: TokenServicer
    credits: Credits
    billing: BillingPart
    revocations: Revocations

    async def close(self) -> None:
        """End all connections."""
        await self.billing.close()
        await self.engine.dispose()


def build(settings: AuthSettings, clock: Clock | None = None, ids: Ids | None = None) -> Auth:
    """Everything but the server. Raises KeyFileError when the signing keys cannot be used."""
    clock, ids = clock or SystemClock(), ids or UuidIds()
    engine = _engine(settings, "t2m-auth")
    units = postgres_units(engine)
    secrets = PepperedSecrets(settings.api_key_pepper.get_secret_value())
    revoked = RevocationList(clock)
    lead = timedelta(seconds=settings.keys_lead_s)
    ring = KeyRing(load_or_create_keys(settings.keys_dir), clock, lead, settings.keys_dir)
    tokens = JoseTokens(ring, clock, ids, revoked)
    revocations = Revocations(units, clock, tokens.jwks_json, partial(_learn, revoked))
    clients = ServiceClients(
        {service: secret.get_secret_value() for service, secret in settings.service_secrets.items()}
    )
    plans = known_plans(settings)
    unconfirmed = timedelta(seconds=settings.credit_unconfirmed_s)
    credit_cases = Credits(PostgresCredits(engine), plans, clock, unconfirmed)
    return Auth(
        engine=engine,
        credits=credit_cases,
        billing=build_billing(settings, engine, clock, ids),
        keys=ring,
        tokens=tokens,
        people=build_people(settings, units, secrets, tokens, clock, ids),
        api_keys=ApiKeyServicer(ApiKeys(units, secrets, clock)),
        token_service=TokenServicer(Tokens(units, secrets, tokens, clients, clock), revocations),
        revocations=revocations,
    )


def build_server(settings: AuthSettings, clock: Clock | None = None) -> ServiceServer:
    """The server, ready to `run`."""
    auth = build(settings, clock)
    record = build_record(settings, auth.engine, clock or SystemClock(), UuidIds(), auth.billing.subscriptions.end)

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        auth.people.add_services(server, auth.credits)
        api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(auth.api_keys, server)
        token_service_pb2_grpc.add_TokenServiceServicer_to_server(auth.token_service, server)
        credit_service_pb2_grpc.add_CreditServiceServicer_to_server(CreditServicer(auth.credits), server)
        return [*SERVICES, *auth.billing.add_services(server), *record.add_services(server)]

    async def lapse() -> None:
        while True:
            await auth.credits.lapse()
            await asyncio.sleep(settings.billing_poll_s)

    async def follow_keys() -> None:
        while True:
            await asyncio.sleep(settings.keys_reread_s)
            auth.keys.reload()

    async def follow_revocations() -> None:
        while True:
            await auth.revocations.look()
            await asyncio.sleep(_REVOCATIONS_EVERY_S)

    async def forget_revocations() -> None:
        while True:
            await auth.revocations.prune()
            await asyncio.sleep(_FORGET_EVERY_S)

    return ServiceServer(
        settings,
        table=TABLE,
        verifier=auth.tokens.verifier,
        add_services=add_services,
        background=[
            BackgroundTask("give back lapsed reservations", lapse),
            BackgroundTask("follow signing keys", follow_keys),
            BackgroundTask("follow revocations", follow_revocations),
            BackgroundTask("forget revocations", forget_revocations),
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
    accounts = Accounts(units, build_passwords(), clock, ids)
    return Operator(accounts, ApiKeys(units, secrets, clock), secrets), engine


def _learn(revoked: RevocationList, fresh: Sequence[Revocation]) -> None:
    for each in fresh:
        match each.kind:
            case RevocationKind.SESSION:
                revoked.end_session(each.subject_id, each.until)
            case RevocationKind.API_KEY:
                revoked.end_api_key(each.subject_id, each.until)
            case RevocationKind.USER:
                revoked.end_user(each.subject_id, each.at, each.until)
    revoked.settle()


def _engine(settings: AuthSettings, name: str, **options: Any) -> AsyncEngine:
    # Errors of the database reach the log: without the values, which are hashes and addresses.
    return create_engine(settings.database_url, application_name=name, hide_parameters=True, **options)
