"""A message as RFC 5322 writes it."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from services.auth.application.people_ports import MailRefused, Message


def parse_sender(text: str) -> Address:
    """`Name <address>` or an address. Raises ValueError for anything else."""
    name, address = parseaddr(text)
    local, at, domain = address.rpartition("@")
    if not (at and local and domain) or not text.isprintable():
        raise ValueError("must be an e-mail address, or a name and an address as in `t2m <no-reply@example.com>`")
    return Address(name, addr_spec=address)


def compose(message: Message, sender: Address) -> EmailMessage:
    """Text and HTML beside each other. Raises MailRefused for what no header can hold, a line break for example."""
    made = EmailMessage(policy=SMTP)
    try:
        if not message.recipient:
            raise ValueError("nobody")
        made["From"] = sender
        made["To"] = Address(addr_spec=message.recipient)
        made["Subject"] = message.subject
        made["Date"] = format_datetime(message.sent_at)
        made["Message-ID"] = f"<{message.message_id}@{sender.domain}>"
    except (ValueError, MessageError) as exc:
        raise MailRefused("the address or the subject cannot be written into a header") from exc
    # Nobody's holiday notice answers it (RFC 3834).
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(message.plain)
    made.add_alternative(message.html, subtype="html")
    return made
