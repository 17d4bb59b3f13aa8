"""Certificates of the embedded stack, for who wants mutual TLS there too (``T2M_LOCAL_TLS=true``)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TRUST_DOMAIN = "t2m"
LIFETIME = timedelta(days=365)
_BACKDATED = timedelta(days=2)
"""So that a clock that is a little behind does not matter, and a test can have one that has ended."""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in PEM."""

    chain: bytes
    key: bytes


class Authority:
    """Signs certificates of one deployment. Its own key exists only as long as this object."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "t2m embedded authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        made = _builder(self._name, self._key, LIFETIME).issuer_name(self._name).add_extension(basic, critical=True)
        self.pem = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, *uris: str, lifetime: timedelta = LIFETIME) -> Certificate:
        """For a process of this machine that is called by these URIs; lasts so long from now on."""
        key = ec.generate_private_key(ec.SECP256R1())
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        names = x509.SubjectAlternativeName([*here, *map(x509.UniformResourceIdentifier, uris)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "t2m")])  # Of no account: only the URI counts.
        made = _builder(subject, key, lifetime).issuer_name(self._name).add_extension(names, critical=False)
        encoding = serialization.Encoding.PEM
        return Certificate(
            made.sign(self._key, hashes.SHA256()).public_bytes(encoding),
            key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        )


def _builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lifetime)
    )


def spiffe_id(service: str) -> str:
    """What a service is called in its certificate."""
    return f"spiffe://{TRUST_DOMAIN}/{service}"


def write(folder: Path, shown: Certificate, authority: bytes) -> None:
    """Write ``tls.crt``, ``tls.key`` and ``ca.crt`` in place of what is there, each at once, readable by us alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in {"tls.key": shown.key, "tls.crt": shown.chain, "ca.crt": authority}.items():
        partial = folder / f".{name}"
        partial.touch(mode=0o600)
        partial.write_bytes(data)
        partial.replace(folder / name)


def write_all(folder: Path, names: tuple[str, ...]) -> None:
    """Make new certificates of a new authority for all these processes; called while none of them runs."""
    authority = Authority()
    for name in names:
        write(folder / name, authority.issue(spiffe_id(name)), authority.pem)


def credentials(folder: Path) -> grpc.ChannelCredentials:
    """What a client shows whose files lie in the folder."""
    read = (folder / "ca.crt").read_bytes, (folder / "tls.key").read_bytes, (folder / "tls.crt").read_bytes
    authority, key, chain = (each() for each in read)
    return grpc.ssl_channel_credentials(authority, key, chain)
