"""Sends the mails that are due (A1). Here, out of sight of whoever asked, an address turns out to be known or not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import structlog

from services.auth.application.email_tokens import PURPOSE
from services.auth.application.people_ports import MailAway, MailRefused, MailTransport, Message
from services.auth.application.ports import Clock, SecretMaker, UnitOfWork, UnitsOfWork
from services.auth.domain import mail_texts
from services.auth.domain.mail import (
    ASKED,
    ASKED_PER_HOUR,
    KEPT_FOR,
    RESET_LIFETIME,
    VERIFY_LIFETIME,
    EmailToken,
    Mail,
    MailKind,
    TokenPurpose,
)
from services.auth.domain.mail_texts import Links, Text

AT_ONCE = 8
LEASE = timedelta(minutes=2)
SEND_WITHIN_S = 60.0
"""Longer than any sensible server needs, shorter than the lease: nobody else sends what is still being sent."""

_log = structlog.get_logger(__name__)


class Mailroom:
    """Takes mails out of the queue, writes them, hands them over.

    A mail is handed over once, and again only if its sender dies between that and its note of it, or the answer of
    the mail server is lost: then it arrives twice, under one Message-ID, each with a token that works.
    """

    def __init__(
        self,
        units: UnitsOfWork,
        transport: MailTransport,
        secrets: SecretMaker,
        clock: Clock,
        links: Links | None = None,
    ) -> None:
        self._units = units
        self._transport = transport
        self._secrets = secrets
        self._clock = clock
        self._links = links or Links()

    async def deliver(self) -> int:
        """Send what is due, a few at once; how many mails were taken in hand."""
        now = self._clock.now()
        async with self._units() as unit:
            mails = await unit.mails.claim(now, now + LEASE, AT_ONCE)
            await unit.commit()
        await asyncio.gather(*(self._deliver(mail) for mail in mails))
        return len(mails)

    async def purge(self) -> int:
        """Forget mails that ended long ago; how many."""
        async with self._units() as unit:
            count = await unit.mails.purge(self._clock.now() - KEPT_FOR)
            await unit.commit()
        return count

    async def _deliver(self, mail: Mail) -> None:
        # The token is stored before the mail leaves: it works the moment it is read.
        async with self._units() as unit:
            text = await self._write(unit, mail)
            if text is None:
                await unit.mails.finish(mail.mail_id, "dropped", self._clock.now())
            await unit.commit()
        if text is None:
            return
        message = Message(mail.mail_id, mail.recipient, text.subject, text.plain(), text.html(), self._clock.now())
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await self._transport.send(message)
        except MailRefused as exc:
            await self._failed(mail, str(exc))
        except (MailAway, TimeoutError) as exc:
            await self._again(mail, str(exc) or "no answer in time")
        except Exception as exc:
            # One mail that nobody thought of does not keep the others.
            _log.exception("mail could not be sent", mail_id=mail.mail_id)
            await self._again(mail, type(exc).__name__)
        else:
            async with self._units() as unit:
                await unit.mails.finish(mail.mail_id, "sent", self._clock.now())
                await unit.commit()

    async def _again(self, mail: Mail, error: str) -> None:
        until = mail.retry_at(self._clock.now())
        if until is None:
            await self._failed(mail, error)
            return
        _log.warning("mail could not be sent", mail_id=mail.mail_id, attempts=mail.attempts, error=error)
        async with self._units() as unit:
            await unit.mails.put_off(mail.mail_id, until, error)
            await unit.commit()

    async def _failed(self, mail: Mail, error: str) -> None:
        _log.warning("mail given up", mail_id=mail.mail_id, kind=mail.kind.value, error=error)
        async with self._units() as unit:
            await unit.mails.finish(mail.mail_id, "failed", self._clock.now(), error)
            if mail.user_id is not None:
                await unit.audit.note("mail.given_up", mail.user_id, {"mail_id": mail.mail_id})
            await unit.commit()

    async def _write(self, unit: UnitOfWork, mail: Mail) -> Text | None:
        """What the mail says; None when there is nothing to be said."""
        if mail.kind in ASKED and await self._too_many(unit, mail):
            return None
        match mail.kind:
            case MailKind.REGISTER:
                return await self._register(unit, mail)
            case MailKind.RESEND:
                return await self._resend(unit, mail)
            case MailKind.RESET:
                return await self._reset(unit, mail)
            case MailKind.CHANGE:
                return await self._change(unit, mail)
            case MailKind.CHANGE_ASKED:
                return mail_texts.change_asked(mail.about)
            case MailKind.CHANGED:
                return mail_texts.changed(mail.about)
            case MailKind.PASSWORD_CHANGED:
                return mail_texts.password_changed()

    async def _too_many(self, unit: UnitOfWork, mail: Mail) -> bool:
        since = self._clock.now() - timedelta(hours=1)
        return await unit.mails.sent_since(mail.recipient, ASKED, since) >= ASKED_PER_HOUR

    async def _register(self, unit: UnitOfWork, mail: Mail) -> Text | None:
        found = await unit.registrations.get(mail.registration_id or "")
        if found is None or found.user_id is not None or found.expires_at <= self._clock.now():
            return None
        if await unit.users.find_by_email(mail.recipient) is not None:
            return mail_texts.taken()
        return await self._verify(unit, mail, registration_id=found.registration_id)

    async def _resend(self, unit: UnitOfWork, mail: Mail) -> Text | None:
        user = await unit.users.find_by_email(mail.recipient)
        if user is not None:
            # Made while addresses were not verified; there is nothing to be said to the others.
            return await self._verify(unit, mail, user_id=user.user_id) if user.verified_at is None else None
        found = await unit.registrations.newest(mail.recipient, self._clock.now())
        return await self._verify(unit, mail, registration_id=found.registration_id) if found else None

    async def _reset(self, unit: UnitOfWork, mail: Mail) -> Text | None:
        user = await unit.users.find_by_email(mail.recipient)
        if user is None:
            return None
        # A password would be a second way in, past the issuer that decides who may come in.
        if user.password_hash is None and await unit.identities.is_known_elsewhere(user.user_id):
            return None
        ends = self._clock.now() + RESET_LIFETIME
        token = EmailToken(b"", TokenPurpose.RESET, mail.recipient, ends, user_id=user.user_id)
        return mail_texts.reset(await self._keep(unit, token), self._links)

    async def _change(self, unit: UnitOfWork, mail: Mail) -> Text | None:
        if await unit.users.find_by_email(mail.recipient) is not None:
            return mail_texts.taken()
        return await self._verify(unit, mail, user_id=mail.user_id)

    async def _verify(
        self, unit: UnitOfWork, mail: Mail, *, registration_id: str | None = None, user_id: str | None = None
    ) -> Text:
        token = EmailToken(b"", TokenPurpose.VERIFY, mail.recipient, self._clock.now() + VERIFY_LIFETIME)
        secret = await self._keep(unit, replace(token, registration_id=registration_id, user_id=user_id))
        return mail_texts.verify(secret, self._links)

    async def _keep(self, unit: UnitOfWork, token: EmailToken) -> str:
        """Make the secret of a token and store the token by its digest."""
        secret = self._secrets.new_secret()
        await unit.email_tokens.add(replace(token, digest=self._secrets.digest(PURPOSE, secret)))
        return secret
