"""Real certificates for tests: an authority, and what it says of services."""

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

from services.runtime.settings import ServiceSettings

TRUST_DOMAIN = "t2m"
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in PEM."""

    chain: bytes
    key: bytes


class Authority:
    """Whoever it signs for, a server of the deployment believes."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "t2m test authority")])
        made = _builder(self._name, self._key, _DAY).issuer_name(self._name)
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.pem = _pem(made.add_extension(basic, critical=True).sign(self._key, hashes.SHA256()))

    def issue(self, *uris: str, ended: bool = False) -> Certificate:
        """For a process of this machine that is called by these URIs; `ended` a minute ago if wanted."""
        key = ec.generate_private_key(ec.SECP256R1())
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        names = x509.SubjectAlternativeName([*here, *map(x509.UniformResourceIdentifier, uris)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "job")])  # Of no account: only URIs count.
        made = _builder(subject, key, timedelta(minutes=-1) if ended else _DAY).issuer_name(self._name)
        leaf = made.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        return Certificate(_pem(leaf), key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))

    def write(self, folder: Path, service: str) -> ServiceSettings:
        """Write a service's files in place of what is there; settings that name them."""
        return write(folder, self.issue(spiffe_id(service)), self)


def _builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now + lasts)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def spiffe_id(service: str) -> str:
    """What a service is called in its certificate."""
    return f"spiffe://{TRUST_DOMAIN}/{service}"


def write(folder: Path, shown: Certificate, authority: Authority) -> ServiceSettings:
    """Write a certificate, its key and the authority to trust, each at once; settings that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in {"tls.key": shown.key, "tls.crt": shown.chain, "ca.crt": authority.pem}.items():
        partial = folder / f".{name}"
        partial.write_bytes(data)
        partial.replace(folder / name)
    return ServiceSettings(
        environment="test",
        tls_cert=folder / "tls.crt",
        tls_key=folder / "tls.key",
        tls_ca=folder / "ca.crt",
    )


def client_credentials(shown: Certificate | None, authority: Authority) -> grpc.ChannelCredentials:
    """What a client shows (nothing without a certificate) and whom it trusts."""
    if shown is None:
        return grpc.ssl_channel_credentials(authority.pem)
    return grpc.ssl_channel_credentials(authority.pem, shown.key, shown.chain)
