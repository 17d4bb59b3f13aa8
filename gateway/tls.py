"""Certificates of the gateway's channels, from files that may be replaced while it runs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the authority to trust and, for mutual TLS, the gateway's own certificate with its key."""

    authority: Path
    certificate: Path | None = None
    key: Path | None = None

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Differs when a file was replaced. Raises OSError when one is missing."""
        paths = [path for path in (self.authority, self.certificate, self.key) if path is not None]
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in (path.stat() for path in paths))

    def context(self) -> ssl.SSLContext:
        """The files as they are now, for a client that speaks HTTP/2 and nothing else. Raises OSError."""
        context = ssl.create_default_context(cafile=self.authority)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        return context

    def credentials(self) -> grpc.ChannelCredentials:
        """Credentials of the files as they are now. Raises OSError."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.authority.read_bytes(),
            private_key=self.key.read_bytes() if self.key else None,
            certificate_chain=self.certificate.read_bytes() if self.certificate else None,
        )
