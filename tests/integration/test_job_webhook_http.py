"""J8: one request to a receiver over real sockets: what is connected to, and how badly a receiver may behave."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.job.adapters.webhook_http import HttpMessenger, SystemResolver
from services.job.application.webhooks.ports import Answer
from services.job.domain.webhook_targets import Address, TargetRules
from tests.fakes.webhook_receiver import Conduct, Receiver, answering, dripping, receiver, resetting, silent

NAME = "hooks.example.com"
LOCAL = TargetRules(["127.0.0.0/8"])
HEADERS = {"webhook-id": "msg-1", "content-type": "application/json"}


class Names:
    """A resolver by script: the answers of the next look-ups, the last of which stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a name."""
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ipaddress.ip_address(address) for address in answer]


def messenger(
    rules: TargetRules = LOCAL, *answers: Sequence[str], timeout_s: float = 5.0, trust: ssl.SSLContext | None = None
) -> tuple[HttpMessenger, Names]:
    names = Names(*(answers or (["127.0.0.1"],)))
    return HttpMessenger(rules, timeout_s=timeout_s, resolve=names, ssl_context=trust), names


async def post(target: Receiver, *, timeout_s: float = 5.0) -> Answer:
    sender, _ = messenger(timeout_s=timeout_s)
    return await sender.post(target.url, HEADERS, b"{}")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the name, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "pair.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """What the receiver serves with; notes the name that was asked for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_j8_request_is_what_was_signed() -> None:
    async with receiver() as target:
        answer = await post(target)
        assert (answer.http_status, answer.error) == (204, "")
        [request] = target.received
        assert request.line == "POST /hook HTTP/1.1"
        assert request.body == b"{}"
        assert request.headers["webhook-id"] == "msg-1"
        assert request.headers["host"] == f"127.0.0.1:{target.port}"


async def test_j8_tls_goes_to_the_checked_address_under_the_name(
    certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J8: SNI, certificate and Host are the name's; the connection goes to the address that was looked up, once. No
    proxy of the environment is used.
    """
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    asked: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    sender, names = messenger(trust=ssl.create_default_context(cafile=str(certificate)))
    async with receiver(tls=tls) as target:
        answer = await sender.post(f"https://{NAME}:{target.port}/hook?a=1", HEADERS, b"{}")
        assert (answer.http_status, answer.error) == (204, "")
        [request] = target.received
        assert (request.line, request.headers["host"]) == ("POST /hook?a=1 HTTP/1.1", f"{NAME}:{target.port}")
    assert (asked, names.asked) == ([NAME], [NAME])


async def test_j8_certificate_of_another_name_is_refused(certificate: Path, tls: ssl.SSLContext) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    async with receiver(tls=tls) as target:
        for url, context in (
            (f"https://other.example.com:{target.port}/", trust),
            (f"https://{NAME}:{target.port}/", None),
        ):
            sender, _ = messenger(trust=context)
            answer = await sender.post(url, HEADERS, b"{}")
            assert answer.http_status == 0
            assert "certificate" in answer.error.lower()
        assert target.received == []


async def test_j8_dns_rebinding_finds_no_second_lookup(certificate: Path, tls: ssl.SSLContext) -> None:
    """J8: a name that is public at first and private a moment later is asked for once, and what was checked is used."""
    async with receiver(tls=tls) as target:
        sender, names = messenger(TargetRules(), ["192.0.0.8"], ["127.0.0.1"])
        assert "not public" in (await sender.post(f"https://{NAME}/", HEADERS, b"{}")).error
        assert names.asked == [NAME]
        sender, names = messenger(
            TargetRules(["127.0.0.1/32"]),
            ["127.0.0.1"],
            ["127.0.0.2"],
            trust=ssl.create_default_context(cafile=str(certificate)),
        )
        assert (await sender.post(f"https://{NAME}:{target.port}/", HEADERS, b"{}")).error == ""
        assert names.asked == [NAME]
        answer = await sender.post(f"https://{NAME}:{target.port}/", HEADERS, b"{}")
        assert answer.error == "the url must not lead to an address that is not public"
        assert len(target.received) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["8.8.8.8", "10.0.0.1"],
        ["2606:4700::1111", "::1"],
        ["169.254.169.254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["fd00:ec2::254"],
        ["fe80::1"],
    ],
)
async def test_j8_name_with_any_address_inside_is_refused(addresses: list[str]) -> None:
    """J8: all of them are looked at before a connection is tried. The user does not learn which one it was."""
    sender, _ = messenger(TargetRules(), addresses)
    answer = await sender.post(f"https://{NAME}/", HEADERS, b"{}")
    assert (answer.http_status, answer.retry_after) == (0, None)
    assert answer.error == "the url must not lead to an address that is not public"


async def test_j8_system_resolver_is_guarded_too() -> None:
    """J8: whatever the machine's own resolver makes of a name, the address decides."""
    found = await SystemResolver()("localhost", 443)
    assert found
    assert all(address.is_loopback for address in found)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "https://localhost/", "https://[::1]/", "https://10.0.0.1/"])
async def test_j8_url_is_judged_again_when_it_is_used(url: str) -> None:
    """J8: a network that is not allowed any more is closed for endpoints that are there."""
    sender, names = messenger(TargetRules())
    assert (await sender.post(url, HEADERS, b"{}")).error.startswith("the url must ")
    assert names.asked == []


async def test_j8_redirect_is_a_failure_and_not_followed() -> None:
    async with receiver() as inner:
        for status in (301, 302, 303, 307, 308):
            async with receiver(answering(status, f"location: {inner.url}")) as outer:
                answer = await post(outer)
                assert answer.http_status == status
                assert "redirects are not followed" in answer.error
        assert inner.received == []


@pytest.mark.parametrize(
    ("conduct", "status", "words"),
    [
        (silent, 0, "no answer within 0.5 s"),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"x-more: 1\r\n"), 0, "no answer within 0.5 s"),
        (dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), 0, "no answer within 0.5 s"),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"1" * 9999 + b"\r\n", 0), 0, "not HTTP/1.1"),
        (resetting, 0, "the connection broke"),
        (answering(500), 500, "answered 500"),
        (answering(101), 0, "not HTTP/1.1"),
        (dripping(b"SSH-2.0-OpenSSH_9.9\r\n", b"\r\n"), 0, "not HTTP/1.1"),
    ],
    ids=["silent", "headers drip", "hints drip", "endless headers", "reset", "500", "101", "not http"],
)
async def test_j8_bad_receiver_is_a_failed_attempt(conduct: Conduct, status: int, words: str) -> None:
    """J8: in bounded time and memory, with its reason."""
    async with receiver(conduct) as target:
        answer = await post(target, timeout_s=0.5)
        assert answer.http_status == status
        assert words in answer.error


@pytest.mark.parametrize(
    "conduct",
    [
        answering(200, body=b"x" * 10_000_000),
        dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x"),
        dripping(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"rubbish"),
    ],
    ids=["10 MB", "body drips", "body broken"],
)
async def test_j8_body_changes_nothing(conduct: Conduct) -> None:
    """J8: the status is the receiver's decision; of the body 16 KiB are read at most, and not for long."""
    async with receiver(conduct) as target:
        answer = await post(target)
        assert (answer.http_status, answer.error) == (200, "")


async def test_j8_nobody_there_and_no_such_name() -> None:
    async with receiver() as target:
        pass
    assert (await post(target)).error.startswith("no connection")
    sender, _ = messenger(LOCAL, [])
    assert "has no address" in (await sender.post(f"https://{NAME}/", HEADERS, b"{}")).error

    async def unknown(host: str, port: int) -> Sequence[Address]:
        raise OSError(-2, "Name or service not known")

    answer = await HttpMessenger(LOCAL, resolve=unknown).post(f"https://{NAME}/", HEADERS, b"{}")
    assert "Name or service not known" in answer.error


async def test_j8_next_address_is_tried_when_one_is_dead(certificate: Path, tls: ssl.SSLContext) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    async with receiver(tls=tls) as target:
        sender, _ = messenger(LOCAL, ["127.0.0.9", "127.0.0.1"], trust=trust)
        answer = await sender.post(f"https://{NAME}:{target.port}/", HEADERS, b"{}")
        assert (answer.http_status, answer.error) == (204, "")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("99999999999999999999", 10**8),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60),
        ("Fri, 02 Jan 2026 00:00:00 GMT", 0),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
async def test_j8_retry_after_in_both_forms(header: str, seconds: int | None) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    sender = HttpMessenger(LOCAL, now=lambda: moment)
    async with receiver(answering(503, f"retry-after: {header}")) as target:
        answer = await sender.post(target.url, HEADERS, b"{}")
    if seconds is None:
        assert answer.retry_after is None
    else:
        assert answer.retry_after is not None
        assert abs(answer.retry_after.total_seconds() - seconds) <= 1
