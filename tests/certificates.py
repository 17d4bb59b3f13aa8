"""Real certificates for tests: authorities, and what they say of services."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import grpc

from deploy.local import certificates
from deploy.local.certificates import Certificate, spiffe_id
from services.runtime.settings import ServiceSettings

ENDED = timedelta(minutes=-1)

__all__ = ["ENDED", "Authority", "Certificate", "client_credentials", "spiffe_id", "write"]


class Authority(certificates.Authority):
    """Whoever it signs for, a server of the deployment believes."""

    def write(self, folder: Path, service: str) -> ServiceSettings:
        """Write a service's files in place of what is there; settings that name them."""
        return write(folder, self.issue(spiffe_id(service)), self)


def write(folder: Path, shown: Certificate, authority: Authority) -> ServiceSettings:
    """Write a certificate, its key and the authority to trust; settings that name them."""
    certificates.write(folder, shown, authority.pem)
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
