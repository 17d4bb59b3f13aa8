"""Mail over SMTP."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from email.headerregistry import Address
from pathlib import Path
from typing import Literal

import aiosmtplib

from services.auth.adapters.mail.message import compose
from services.auth.application.people_ports import MailAway, MailRefused, Message


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "starttls"
    """`starttls` and `tls` verify the server's certificate and name; without TLS nothing is sent."""
    username: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    """Certificates that are trusted in place of the system's."""
    timeout_s: float = 20.0
    """For each step."""


class SmtpTransport:
    """`MailTransport` over a connection per mail."""

    def __init__(self, server: SmtpServer, sender: Address) -> None:
        """Raises OSError when the file of certificates cannot be read."""
        self._server = server
        self._sender = sender
        secure = server.security != "none"
        self._tls = ssl.create_default_context(cafile=server.ca) if secure else None

    async def send(self, message: Message) -> None:
        """Hand it over."""
        server = self._server
        mail = compose(message, self._sender)
        try:
            await aiosmtplib.send(
                mail,
                sender=self._sender.addr_spec,
                recipients=[message.recipient],
                hostname=server.host,
                port=server.port,
                username=server.username or None,
                password=server.password or None,
                timeout=server.timeout_s,
                use_tls=server.security == "tls",
                start_tls=server.security == "starttls",
                tls_context=self._tls,
            )
        except aiosmtplib.SMTPRecipientsRefused as exc:
            raise _of(exc.recipients[0].code, "recipient") from exc
        except aiosmtplib.SMTPDataError as exc:
            raise _of(exc.code, "message") from exc
        except aiosmtplib.SMTPResponseException as exc:
            # About us, not about this mail: a wrong password, a sender that may not. Somebody will see to it.
            raise MailAway(f"the mail server answers {exc.code} ({type(exc).__name__})") from exc
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError) as exc:
            raise MailAway(f"the mail server cannot be used: {type(exc).__name__}") from exc


def _of(code: int, what: str) -> MailRefused | MailAway:
    """A refusal by code (RFC 5321, section 4.2.1). What the server says may hold the address: it is left out."""
    wording = f"the mail server answers {code} to the {what}"
    return MailRefused(wording) if code >= 500 else MailAway(wording)
