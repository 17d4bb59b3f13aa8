"""Secrets sealed with AES-256-GCM."""

from __future__ import annotations

import os
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.job.application.webhooks.ports import SecretUnreadable

_VERSION = b"\x01"
_NONCE_BYTES = 12


class SealedSecrets:
    """The `Seal` by a key of the deployment. The endpoint's id is authenticated: a secret that is copied to another row
    cannot be opened there.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(blake2b(key, digest_size=32, person=b"t2m webhook key").digest())

    def close(self, secret: bytes, endpoint_id: str) -> bytes:
        """A version, a random nonce, and the sealed secret."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, endpoint_id.encode())

    def open(self, sealed: bytes, endpoint_id: str) -> bytes:
        """The secret. Raises SecretUnreadable."""
        version, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if version != _VERSION:
                raise SecretUnreadable("of an unknown version")
            return self._cipher.decrypt(nonce, rest, endpoint_id.encode())
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable("sealed by another key") from error
