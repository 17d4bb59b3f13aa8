"""A real SMTP server (aiosmtpd) on loopback that does what a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP as SMTP_POLICY
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass
class SmtpInbox:
    """Takes mail, and refuses what it is told to."""

    answers: dict[str, str] = field(default_factory=dict)
    """Recipient -> what the server answers to it."""
    data_answer: str = "250 OK"
    received: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    """Sender, recipients and the message."""
    encrypted: list[bool] = field(default_factory=list)
    """Of each message, whether it came over TLS."""
    logins: list[str] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, rcpt_options: list[str]) -> str:
        """Take the recipient or not."""
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep the message."""
        if self.data_answer.startswith("2"):
            parsed = BytesParser(policy=SMTP_POLICY).parsebytes(envelope.content)
            self.received.append((envelope.mail_from, list(envelope.rcpt_tos), parsed))
            self.encrypted.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return self.data_answer

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """`mailer` with `secret` and nobody else."""
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"mailer", b"secret")
        self.logins.append("right" if right else "wrong")
        return AuthResult(success=right, handled=right)


@asynccontextmanager
async def smtp_server(
    security: Literal["none", "starttls", "tls"] = "none", context: ssl.SSLContext | None = None, *, login: bool = False
) -> AsyncIterator[SmtpInbox]:
    """A running server: plain, over TLS from the start, or with STARTTLS (which it then demands)."""
    inbox = SmtpInbox()
    later = context if security == "starttls" else None

    def protocol() -> SMTP:
        return SMTP(
            inbox,
            hostname="localhost",
            tls_context=later,
            require_starttls=later is not None,
            authenticator=inbox.login,
            auth_required=login,
            auth_require_tls=later is not None,  # it does not see a TLS that was there before it
        )

    first = context if security == "tls" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=first)
    inbox.port = server.sockets[0].getsockname()[1]
    try:
        yield inbox
    finally:
        server.close()
        await server.wait_closed()
