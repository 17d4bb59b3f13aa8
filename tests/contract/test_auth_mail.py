"""Ways to hand mail over: one suite for the fake, the outbox and SMTP; then what only SMTP can do (row A1)."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme

from services.auth.adapters.mail.message import compose, parse_sender
from services.auth.adapters.mail.outbox import FileOutbox
from services.auth.adapters.mail.smtp import SmtpServer, SmtpTransport
from services.auth.application.people_ports import MailAway, MailRefused, MailTransport, Message
from tests import stack
from tests.fakes.auth import START
from tests.fakes.auth_people import FakeTransport
from tests.fakes.smtp_server import smtp_server

SENDER = parse_sender("t2m <no-reply@t2m.example>")
MESSAGE = Message(
    message_id="01a1fb85-4555-748c-b96c-e00eee985b36",
    recipient="ada@example.com",
    subject="Confirm your e-mail address",
    plain="Use this code – it works once.\n\nabc\n",
    html="<p>Use this code – it works once.</p>\n<p><code>abc</code></p>\n",
    sent_at=START,
)


@dataclass
class Way:
    """A transport, and what arrived through it."""

    transport: MailTransport
    arrived: Callable[[], list[Message]]


def as_message(mail: EmailMessage) -> Message:
    """What the reader sees of it."""
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return Message(
        str(mail["Message-ID"]).strip("<>").partition("@")[0],
        str(mail["To"]),
        str(mail["Subject"]),
        plain.get_content().replace("\r\n", "\n"),
        html.get_content().replace("\r\n", "\n"),
        mail["Date"].datetime,
    )


@pytest.fixture(params=["fake", "outbox", "smtp"])
async def way(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Way]:
    """Each of them."""
    async with AsyncExitStack() as opened:
        if request.param == "fake":
            fake = FakeTransport()
            yield Way(fake, lambda: list(fake.sent))
        elif request.param == "outbox":
            folder = tmp_path / "outbox"
            yield Way(FileOutbox(folder, SENDER), lambda: [as_message(mail) for mail in in_folder(folder)])
        else:
            inbox = await opened.enter_async_context(smtp_server())
            server = SmtpServer("127.0.0.1", inbox.port, "none")
            transport = SmtpTransport(server, SENDER)
            yield Way(transport, lambda: [as_message(mail) for _, _, mail in inbox.received])


def in_folder(folder: Path) -> list[EmailMessage]:
    """The mails of an outbox, in order."""
    return [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP) for path in sorted(folder.glob("*.eml"))
    ]


class TestEveryWay:
    """What the mailroom relies on."""

    async def test_a_mail_arrives_as_it_was_written(self, way: Way) -> None:
        await way.transport.send(MESSAGE)
        assert way.arrived() == [MESSAGE]

    async def test_several_arrive_side_by_side(self, way: Way) -> None:
        mails = [replace(MESSAGE, message_id=f"mail-{number}") for number in range(5)]
        await asyncio.gather(*(way.transport.send(mail) for mail in mails))
        assert sorted(way.arrived(), key=lambda mail: mail.message_id) == mails

    async def test_what_would_write_a_header_of_its_own_is_refused(self, way: Way) -> None:
        for subject in ("Hello\r\nBcc: eve@example.com", "Hello\nBcc: eve@example.com"):
            with pytest.raises(MailRefused):
                await way.transport.send(replace(MESSAGE, subject=subject))
        assert way.arrived() == []


@pytest.mark.parametrize(
    "recipient",
    ["ada@example.com\r\nBcc: eve@example.com", "ada@example.com, eve@example.com", "a b@example.com", "ada", ""],
)
def test_only_an_address_is_a_recipient(recipient: str) -> None:
    with pytest.raises(MailRefused):
        compose(replace(MESSAGE, recipient=recipient), SENDER)


def test_the_headers_say_who_when_and_that_no_answer_is_wanted() -> None:
    mail = compose(MESSAGE, SENDER)
    assert {name: str(mail[name]) for name in ("From", "To", "Message-ID", "Date", "Auto-Submitted")} == {
        "From": "t2m <no-reply@t2m.example>",
        "To": "ada@example.com",
        "Message-ID": "<01a1fb85-4555-748c-b96c-e00eee985b36@t2m.example>",
        "Date": "Thu, 01 Jan 2026 12:00:00 +0000",
        "Auto-Submitted": "auto-generated",
    }
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize("sender", ["", "t2m", "t2m <>", "a@b.de\r\nBcc: eve@example.com", "@example.com"])
def test_a_sender_is_an_address(sender: str) -> None:
    with pytest.raises(ValueError):
        parse_sender(sender)


class TestOutbox:
    """Files."""

    async def test_they_are_private_whole_and_replaced(self, tmp_path: Path) -> None:
        folder = tmp_path / "data" / "outbox"
        outbox = FileOutbox(folder, SENDER)
        await outbox.send(MESSAGE)
        await outbox.send(replace(MESSAGE, plain="again\n"))
        (path,) = folder.iterdir()
        assert path.name == f"{MESSAGE.message_id}.eml"
        assert as_message(in_folder(folder)[0]).plain == "again\n"
        assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)

    async def test_a_folder_that_cannot_be_used_is_tried_again_later(self, tmp_path: Path) -> None:
        (tmp_path / "outbox").write_text("a file")
        with pytest.raises(MailAway):
            await FileOutbox(tmp_path / "outbox", SENDER).send(MESSAGE)


@dataclass
class Certificates:
    """Of a server named localhost, and of nobody known."""

    trusted: Path
    other: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made for this run."""
    folder = tmp_path_factory.mktemp("ca")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    stranger.cert_pem.write_to_path(folder / "other.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return Certificates(folder / "ca.pem", folder / "other.pem", context)


class TestSmtp:
    """What a server may answer, and TLS."""

    @pytest.mark.parametrize(
        ("answer", "data_answer", "expected"),
        [
            ("550 no such mailbox ada@example.com", "250 OK", MailRefused),
            ("450 mailbox busy", "250 OK", MailAway),
            ("250 OK", "554 looks like spam to ada@example.com", MailRefused),
            ("250 OK", "452 disk full", MailAway),
        ],
    )
    async def test_a_refusal_for_good_and_one_for_now(
        self, answer: str, data_answer: str, expected: type[Exception]
    ) -> None:
        async with smtp_server() as inbox:
            inbox.answers[MESSAGE.recipient] = answer
            inbox.data_answer = data_answer
            with pytest.raises(expected) as refused:
                await SmtpTransport(SmtpServer("127.0.0.1", inbox.port, "none"), SENDER).send(MESSAGE)
            assert "ada" not in str(refused.value)
            assert inbox.received == []

    async def test_a_server_that_is_away_or_says_nothing_is_tried_later(self) -> None:
        port = stack.free_port()
        with pytest.raises(MailAway):
            await SmtpTransport(SmtpServer("127.0.0.1", port, "none"), SENDER).send(MESSAGE)

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as mute:
            where = SmtpServer("127.0.0.1", mute.sockets[0].getsockname()[1], "none", timeout_s=0.2)
            with pytest.raises(MailAway):
                await SmtpTransport(where, SENDER).send(MESSAGE)

    @pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
    @pytest.mark.parametrize("security", ["starttls", "tls"])
    async def test_tls_with_a_login(self, certificates: Certificates, security: Any) -> None:
        async with smtp_server(security, certificates.context, login=True) as inbox:
            server = SmtpServer("localhost", inbox.port, security, "mailer", "secret", certificates.trusted)
            await SmtpTransport(server, SENDER).send(MESSAGE)
            assert [(sender, to) for sender, to, _ in inbox.received] == [("no-reply@t2m.example", ["ada@example.com"])]
            assert (inbox.encrypted, inbox.logins) == ([True], ["right"])
            with pytest.raises(MailAway) as refused:  # our fault, not the mail's
                await SmtpTransport(replace(server, password="wrong"), SENDER).send(MESSAGE)
            assert "wrong" not in str(refused.value)

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    async def test_nothing_is_said_to_a_server_that_cannot_prove_who_it_is(
        self, certificates: Certificates, security: Any
    ) -> None:
        async with smtp_server(security, certificates.context) as inbox:
            for host, ca in (("localhost", certificates.other), ("127.0.0.1", certificates.trusted)):
                server = SmtpServer(host, inbox.port, security, "mailer", "secret", ca)
                with pytest.raises(MailAway):
                    await SmtpTransport(server, SENDER).send(MESSAGE)
            assert (inbox.received, inbox.logins) == ([], [])

    async def test_a_server_without_tls_gets_nothing_when_tls_is_wanted(self, certificates: Certificates) -> None:
        async with smtp_server() as inbox:
            for security in ("starttls", "tls"):
                server = SmtpServer("localhost", inbox.port, security, ca=certificates.trusted, timeout_s=2)
                with pytest.raises(MailAway):
                    await SmtpTransport(server, SENDER).send(MESSAGE)
            assert inbox.received == []


def test_the_password_is_in_no_representation() -> None:
    assert "secret" not in repr(SmtpServer("localhost", 25, password="secret"))
    assert Address(addr_spec=SENDER.addr_spec) == Address(username="no-reply", domain="t2m.example")
