"""Page tokens of ListObjects: where to go on, bound to the filter of the list they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid

from services.storage.application.ports import ObjectFilter
from services.storage.domain.errors import InvalidInput

_DIGEST_BYTES = 8


def encode_page_token(wanted: ObjectFilter, after: str | None) -> str:
    """The token for the page after this object id; empty when there is none."""
    if after is None:
        return ""
    raw = _digest(wanted) + uuid.UUID(after).bytes
    return base64.urlsafe_b64encode(raw).decode("ascii")


def decode_page_token(wanted: ObjectFilter, token: str) -> str | None:
    """The object id to go on after; None without a token.

    Raises InvalidInput for a token that was not made here for the same filter.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raw = b""
    if len(raw) != _DIGEST_BYTES + 16 or raw[:_DIGEST_BYTES] != _digest(wanted):
        raise InvalidInput([("page_token", "must come from the last answer to the same list")])
    return str(uuid.UUID(bytes=raw[_DIGEST_BYTES:]))


def _digest(wanted: ObjectFilter) -> bytes:
    text = "\0".join((wanted.owner_id, wanted.job_id or "", wanted.kind.value if wanted.kind else ""))
    return hashlib.sha256(text.encode()).digest()[:_DIGEST_BYTES]
