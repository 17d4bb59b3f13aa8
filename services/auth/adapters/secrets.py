"""Random secrets and their digests."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 43  # 62^43 > 2^256
_KEY_ID_BYTES = 8


class PepperedSecrets:
    """`SecretMaker` with HMAC-SHA256. The pepper is not in the database, so a stolen table is no help.

    Secrets have 256 random bits: a fast digest is enough, nothing can be guessed.
    """

    def __init__(self, pepper: str) -> None:
        """Raises ValueError for a pepper that is too short to be one."""
        if len(pepper) < 16:
            raise ValueError("T2M_API_KEY_PEPPER must have at least 16 characters")
        self._pepper = pepper.encode()

    def new_secret(self) -> str:
        """256 random bits as letters and digits, so that a double click selects it whole."""
        return "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))

    def new_key_id(self) -> str:
        """Public half of a new API key."""
        return secrets.token_hex(_KEY_ID_BYTES)

    def digest(self, purpose: str, secret: str) -> bytes:
        """HMAC of the secret under the pepper."""
        return hmac.digest(self._pepper, f"{purpose}\0{secret}".encode(), hashlib.sha256)

    def matches(self, purpose: str, secret: str, digest: bytes) -> bool:
        """Whether the digest is the secret's, in constant time."""
        return hmac.compare_digest(self.digest(purpose, secret), digest)
