"""The other services of the deployment, which prove themselves by a shared secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping


class ServiceClients:
    """Which services there are and what each must know."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Raises ValueError for a secret that is too short to be one."""
        for service_id, secret in secrets.items():
            if len(secret) < 16:
                raise ValueError(f"the secret of service {service_id} must have at least 16 characters")
        self._digests = {service_id: _digest(secret) for service_id, secret in secrets.items()}

    def accepts(self, service_id: str, secret: str) -> bool:
        """Whether this is the service's secret; takes as long for an unknown service."""
        expected = self._digests.get(service_id)
        equal = hmac.compare_digest(expected or bytes(32), _digest(secret))
        return equal and expected is not None


def _digest(secret: str) -> bytes:
    # Equal lengths for the comparison, and no plain secrets kept in memory longer than needed.
    return hashlib.sha256(secret.encode()).digest()
