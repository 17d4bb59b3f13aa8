"""Builds what is around people: accounts, sessions, registrations, passwords, mail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import grpc
import structlog
from argon2 import PasswordHasher

from services.auth.adapters.argon2 import Argon2Hasher
from services.auth.adapters.mail.message import parse_sender
from services.auth.adapters.mail.outbox import FileOutbox
from services.auth.adapters.mail.smtp import SmtpServer, SmtpTransport
from services.auth.adapters.passwords import ZxcvbnPolicy
from services.auth.api.session_servicer import SessionServicer
from services.auth.api.user_servicer import UserServicer
from services.auth.application.accounts import Accounts
from services.auth.application.credits import Credits
from services.auth.application.login_guard import ACCOUNT_LIMITS, CLIENT_LIMITS, LoginGuard
from services.auth.application.mailroom import Mailroom
from services.auth.application.passwords import Passwords
from services.auth.application.people_ports import MailTransport
from services.auth.application.ports import Clock, Ids, SecretMaker, TokenSigner, UnitsOfWork
from services.auth.application.profiles import Profiles
from services.auth.application.recovery import Recovery
from services.auth.application.registrations import Registrations
from services.auth.application.sessions import Sessions
from services.auth.domain.mail_texts import Links
from services.auth.settings import AuthSettings
from services.runtime.server import BackgroundTask
from t2m.auth.v1 import session_service_pb2_grpc, user_service_pb2_grpc

PEOPLE_SERVICES = ("t2m.auth.v1.UserService", "t2m.auth.v1.SessionService")
_MAIL_EVERY_S = 0.5
_PURGE_EVERY_S = 3600.0
_PORTS = {"starttls": 587, "tls": 465, "none": 25}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class People:
    """The built use cases."""

    accounts: Accounts
    sessions: Sessions
    registrations: Registrations
    recovery: Recovery
    profiles: Profiles
    guard: LoginGuard
    mailroom: Mailroom | None
    """None where nothing takes mail."""

    def add_services(self, server: grpc.aio.Server, credit_cases: Credits) -> tuple[str, ...]:
        """Serve them; the names of the services."""
        users = UserServicer(self.accounts, self.registrations, self.recovery, self.profiles, credit_cases)
        user_service_pb2_grpc.add_UserServiceServicer_to_server(users, server)
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(SessionServicer(self.sessions), server)
        return PEOPLE_SERVICES

    def background(self) -> list[BackgroundTask]:
        """What goes on by itself."""
        mailroom = self.mailroom

        async def purge() -> None:
            while True:
                await self.sessions.purge()
                await self.registrations.purge()
                await self.guard.purge()
                if mailroom is not None:
                    await mailroom.purge()
                await asyncio.sleep(_PURGE_EVERY_S)

        async def send(room: Mailroom) -> None:
            while True:
                if not await room.deliver():
                    await asyncio.sleep(_MAIL_EVERY_S)

        tasks = [BackgroundTask("purge what ended around people", purge)]
        if mailroom is None:
            _log.warning("no mail is sent: neither T2M_SMTP_HOST nor T2M_MAIL_OUTBOX is set")
        else:
            tasks.append(BackgroundTask("send mail", lambda: send(mailroom)))
        return tasks


def build_people(
    settings: AuthSettings, units: UnitsOfWork, secrets: SecretMaker, signer: TokenSigner, clock: Clock, ids: Ids
) -> People:
    """Everything. Raises OSError when a file of certificates cannot be read."""
    passwords = build_passwords(settings)
    guard = LoginGuard(
        units,
        secrets,
        clock,
        replace(ACCOUNT_LIMITS, free=settings.login_failures),
        replace(CLIENT_LIMITS, free=settings.login_client_failures),
    )
    links = Links(settings.mail_verify_link, settings.mail_reset_link)
    transport = _transport(settings)
    grace = timedelta(seconds=settings.refresh_grace_s)
    return People(
        accounts=Accounts(units, passwords, clock, ids),
        sessions=Sessions(units, passwords, secrets, signer, guard, clock=clock, ids=ids, grace=grace),
        registrations=Registrations(
            units,
            passwords,
            secrets,
            guard,
            clock=clock,
            ids=ids,
            verified=settings.email_verification == "required",
        ),
        recovery=Recovery(units, passwords, secrets, guard, clock=clock, ids=ids),
        profiles=Profiles(units, passwords, guard, clock=clock, ids=ids),
        guard=guard,
        mailroom=Mailroom(units, transport, secrets, clock, links) if transport is not None else None,
    )


def build_passwords(settings: AuthSettings) -> Passwords:
    """The rules of new passwords, and their hash."""
    hasher = PasswordHasher(settings.password_passes, settings.password_memory_kib, settings.password_lanes)
    return Passwords(ZxcvbnPolicy(), Argon2Hasher(hasher))


def _transport(settings: AuthSettings) -> MailTransport | None:
    sender = parse_sender(settings.mail_from)
    if settings.mail_outbox is not None:
        return FileOutbox(settings.mail_outbox, sender)
    if not settings.smtp_host:
        return None
    server = SmtpServer(
        settings.smtp_host,
        settings.smtp_port or _PORTS[settings.smtp_security],
        settings.smtp_security,
        settings.smtp_username,
        settings.smtp_password.get_secret_value(),
        settings.smtp_ca,
    )
    return SmtpTransport(server, sender)
