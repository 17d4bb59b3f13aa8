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

from services.auth.adapters.argon2 import Argon2Hasher
from services.auth.adapters.jose.keys import load_or_create_keys
from services.auth.adapters.jose.tokens import JoseTokens
from services.auth.adapters.postgres.credits import PostgresCredits
from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.adapters.secrets import PepperedSecrets
from services.auth.api.api_key_servicer import ApiKeyServicer
from services.auth.api.credit_servicer import CreditServicer
from services.auth.api.errors import TABLE
from services.auth.api.session_servicer import SessionServicer
from services.auth.api.token_servicer import TokenServicer
from services.auth.api.user_servicer import UserServicer
from services.auth.application.accounts import Accounts
from services.auth.application.api_keys import ApiKeys
from services.auth.application.credits import Credits
from services.auth.application.operator import Operator
from services.auth.application.ports import Clock, Ids
from services.auth.application.revocations import Revocations
from services.auth.application.sessions import Sessions
from services.auth.application.tokens import Tokens
from services.auth.billing_bootstrap import known_plans
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
    session_service_pb2_grpc,
    token_service_pb2_grpc,
    user_service_pb2_grpc,
)

SERVICES = (
    "t2m.auth.v1.UserService",
    "t2m.auth.v1.SessionService",
    "t2m.auth.v1.ApiKeyService",
    "t2m.auth.v1.TokenService",
    "t2m.auth.v1.CreditService",
)
_PURGE_EVERY_S = 3600.0
_LAPSE_EVERY_S = 10.0
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
    tokens: JoseTokens
    users: UserServicer
    sessions: Sessions
    api_keys: ApiKeyServicer
    token_service: TokenServicer
    credits: Credits
    revocations: Revocations


def build(settings: AuthSettings, clock: Clock | None = None, ids: Ids | None = None) -> Auth:
    """Everything but the server. Raises KeyFileError when the signing keys cannot be used."""
    clock, ids = clock or SystemClock(), ids or UuidIds()
    engine = _engine(settings, "t2m-auth")
    units = postgres_units(engine)
    hasher = Argon2Hasher()
    secrets = PepperedSecrets(settings.api_key_pepper.get_secret_value())
    revoked = RevocationList(clock)
    tokens = JoseTokens(load_or_create_keys(settings.keys_dir), clock, ids, revoked)
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
        tokens=tokens,
        users=UserServicer(Accounts(units, hasher, clock, ids), credit_cases),
        sessions=Sessions(units, hasher, secrets, tokens, clock=clock, ids=ids),
        api_keys=ApiKeyServicer(ApiKeys(units, secrets, clock)),
        token_service=TokenServicer(Tokens(units, secrets, tokens, clients, clock), revocations),
        revocations=revocations,
    )


def build_server(settings: AuthSettings, clock: Clock | None = None) -> ServiceServer:
    """The server, ready to `run`."""
    auth = build(settings, clock)

    def add_services(server: grpc.aio.Server) -> Sequence[str]:
        user_service_pb2_grpc.add_UserServiceServicer_to_server(auth.users, server)
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(SessionServicer(auth.sessions), server)
        api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(auth.api_keys, server)
        token_service_pb2_grpc.add_TokenServiceServicer_to_server(auth.token_service, server)
        credit_service_pb2_grpc.add_CreditServiceServicer_to_server(CreditServicer(auth.credits), server)
        return SERVICES

    async def lapse() -> None:
        while True:
            await auth.credits.lapse()
            await asyncio.sleep(_LAPSE_EVERY_S)

    async def purge() -> None:
        while True:
            await auth.sessions.purge()
            await asyncio.sleep(_PURGE_EVERY_S)

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
            BackgroundTask("purge ended sessions", purge),
            BackgroundTask("give back lapsed reservations", lapse),
            BackgroundTask("follow revocations", follow_revocations),
            BackgroundTask("forget revocations", forget_revocations),
        ],
        on_close=auth.engine.dispose,
    )


def build_operator(settings: AuthSettings) -> tuple[Operator, AsyncEngine]:
    """The operator's use cases, and the engine to be disposed of afterwards."""
    engine = _engine(settings, "t2m-auth-operator", pool_size=1)
    clock, ids = SystemClock(), UuidIds()
    units = postgres_units(engine)
    secrets = PepperedSecrets(settings.api_key_pepper.get_secret_value())
    accounts = Accounts(units, Argon2Hasher(), clock, ids)
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
