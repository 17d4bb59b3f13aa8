"""Signatures and secrets by the Standard Webhooks specification."""

from __future__ import annotations

import hmac
import secrets
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256

_SECRET_BYTES = 32
_PREFIX = "whsec_"


def new_secret() -> bytes:
    """A secret that nobody can guess."""
    return secrets.token_bytes(_SECRET_BYTES)


def shown(secret: bytes) -> str:
    """The secret as its owner gets it."""
    return _PREFIX + b64encode(secret).decode()


def signed_headers(message_id: str, at: datetime, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """The headers of an attempt; the receiver needs one of the keys to verify it."""
    timestamp = str(int(at.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = (b64encode(hmac.new(key, content, sha256).digest()).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
