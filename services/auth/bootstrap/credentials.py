"""Builds what credentials need: signing keys, API keys, tokens of other issuers, revocations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import grpc
import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.auth.adapters.jose.keyring import KeyRing
from services.auth.adapters.jose.keys import load_or_create_keys
from services.auth.adapters.jose.tokens import JoseTokens
from services.auth.adapters.oidc.tokens import OidcTokens
from services.auth.api.api_key_servicer import ApiKeyServicer
from services.auth.api.token_servicer import TokenServicer
from services.auth.application.api_keys import ApiKeys
from services.auth.application.identities import Identities
from services.auth.application.ports import Clock, Ids, SecretMaker, UnitsOfWork
from services.auth.application.revocations import Revocations
from services.auth.application.tokens import External, Tokens
from services.auth.domain.revocation import Revocation, RevocationKind
from services.auth.domain.service_client import ServiceClients
from services.auth.settings import AuthSettings
from services.runtime.revocations import RevocationList
from services.runtime.scopes import known_scopes
from services.runtime.server import BackgroundTask
from t2m.auth.v1 import api_key_service_pb2_grpc, token_service_pb2_grpc

CREDENTIAL_SERVICES = ("t2m.auth.v1.ApiKeyService", "t2m.auth.v1.TokenService")
_REVOCATIONS_EVERY_S = 0.25
_FORGET_EVERY_S = 60.0
_RENEW_EVERY_S = 60.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CredentialPart:
    """The services and what goes on beside them."""

    settings: AuthSettings
    ring: KeyRing
    signer: JoseTokens
    revocations: Revocations
    api_keys: ApiKeys
    oidc: OidcTokens
    identities: Identities
    tokens: Tokens

    def add_services(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register everything; the names of the services."""
        tokens = TokenServicer(self.tokens, self.revocations)
        token_service_pb2_grpc.add_TokenServiceServicer_to_server(tokens, server)
        api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(ApiKeyServicer(self.api_keys), server)
        return CREDENTIAL_SERVICES

    def background(self) -> list[BackgroundTask]:
        """What goes on by itself."""

        async def reread() -> None:
            while True:
                await asyncio.sleep(self.settings.keys_reread_s)
                self.ring.reload()
                self.signer.verifier.void(self.ring.withdrawn)

        async def forget() -> None:
            while True:
                await self.revocations.prune()
                await self.identities.prune()
                await asyncio.sleep(_FORGET_EVERY_S)

        return [
            BackgroundTask("follow signing keys", reread),
            BackgroundTask("follow revocations", partial(repeat, self.revocations.look, _REVOCATIONS_EVERY_S)),
            BackgroundTask("forget revocations", forget),
            BackgroundTask("renew keys of other issuers", partial(repeat, self.oidc.renew_keys, _RENEW_EVERY_S)),
        ]

    async def close(self) -> None:
        """Give back connections."""
        await self.oidc.close()


def build_credentials(
    settings: AuthSettings,
    units: UnitsOfWork,
    secrets: SecretMaker,
    welcome: Callable[[str], Awaitable[None]],
    clock: Clock,
    ids: Ids,
) -> CredentialPart:
    """Everything; `welcome` is called for each user of another issuer. Raises KeyFileError."""
    revoked = RevocationList(clock)
    keys, lead = load_or_create_keys(settings.keys_dir), timedelta(seconds=settings.keys_lead_s)
    ring = KeyRing(keys, clock, lead, settings.keys_dir)
    signer = JoseTokens(ring, clock, ids, revoked)
    clients = ServiceClients(
        {service: secret.get_secret_value() for service, secret in settings.service_secrets.items()}
    )
    oidc = OidcTokens(settings.trusted_issuers(), clock, min_interval_s=settings.oidc_keys_min_interval_s)
    identities = Identities(units, welcome, clock, ids)
    return CredentialPart(
        settings=settings,
        ring=ring,
        signer=signer,
        revocations=Revocations(units, clock, signer.jwks_json, partial(_learn, revoked)),
        api_keys=build_api_keys(settings, units, secrets, clock),
        oidc=oidc,
        identities=identities,
        tokens=Tokens(units, secrets, signer, clients, clock, External(oidc, identities)),
    )


def build_api_keys(settings: AuthSettings, units: UnitsOfWork, secrets: SecretMaker, clock: Clock) -> ApiKeys:
    """The use cases of API keys."""
    return ApiKeys(units, secrets, clock, known_scopes(), settings.api_keys_max)


async def repeat(work: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Do it again and again, in step also while the database is away: what ended meanwhile is told at once after."""
    away = False
    while True:
        try:
            await work()
        except (OSError, SQLAlchemyError) as exc:
            if not away:
                _log.warning("database away", error=f"{type(exc).__name__}: {exc}")
            away = True
        else:
            away = False
        await asyncio.sleep(every_s)


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
