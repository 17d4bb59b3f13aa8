"""`TicketOffice` by HMAC-SHA256: a ticket is its content and a tag over it, so none needs to be stored."""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from services.storage.application.ports import Presentation, Purpose, Ticket
from services.storage.domain.errors import TicketExpired, TicketInvalid

MIN_KEY_BYTES = 32
MAX_TEXT = 2048
"""Longest ticket: the longest file name, in four-byte characters, fits."""

_VERSION = 1
_TAG_BYTES = 32
_CONTEXT = b"t2m storage ticket\0"
"""Mixed into every tag: the key may sign other things without one passing for the other."""
_FIXED = struct.Struct(">BBB16sQ")
"""Version, purpose, inline, object id, expiry in Unix seconds; strings follow, each after its length."""
_LENGTH = struct.Struct(">H")


class HmacTicketOffice:
    """The first key signs; all of them verify, so a key is changed without breaking URLs that are out."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Raises ValueError without a key or for one shorter than 32 bytes."""
        if not keys or any(len(key) < MIN_KEY_BYTES for key in keys):
            raise ValueError(f"needs at least one key, each of at least {MIN_KEY_BYTES} bytes")
        self._keys = tuple(keys)

    def issue(self, ticket: Ticket) -> str:
        """See `TicketOffice.issue`."""
        content = _pack(ticket)
        return _encode(content + _tag(self._keys[0], content))

    def verify(self, text: str, purpose: Purpose, now: datetime) -> Ticket:
        """See `TicketOffice.verify`. The tag is checked before anything in the ticket is believed."""
        raw = _decode(text)
        content, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        if not any(hmac.compare_digest(_tag(key, content), tag) for key in self._keys):
            raise TicketInvalid
        ticket = _unpack(content)
        if ticket.purpose is not purpose:
            raise TicketInvalid
        if now >= ticket.expires_at:
            raise TicketExpired
        return ticket


def _tag(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + content, "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        encoded = text.encode("ascii")
        raw = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise TicketInvalid from exc
    # One spelling per ticket: Base64 would ignore stray bits at the end.
    if len(text) > MAX_TEXT or len(raw) <= _TAG_BYTES or _encode(raw) != text:
        raise TicketInvalid
    return raw


def _pack(ticket: Ticket) -> bytes:
    shown = ticket.presentation
    fixed = _FIXED.pack(
        _VERSION,
        ticket.purpose,
        shown.inline,
        uuid.UUID(ticket.object_id).bytes,
        int(ticket.expires_at.timestamp()),
    )
    strings = [text.encode() for text in (ticket.owner_id, shown.filename, shown.cache_control)]
    return fixed + b"".join(_LENGTH.pack(len(text)) + text for text in strings)


def _unpack(content: bytes) -> Ticket:
    """The ticket in content whose tag was right. Raises TicketInvalid for a version of another release."""
    try:
        version, purpose, inline, object_id, expiry = _FIXED.unpack_from(content)
        if version != _VERSION:
            raise TicketInvalid
        owner_id, filename, cache_control = _strings(content[_FIXED.size :])
        return Ticket(
            str(uuid.UUID(bytes=object_id)),
            owner_id,
            Purpose(purpose),
            datetime.fromtimestamp(expiry, UTC),
            Presentation(filename, bool(inline), cache_control),
        )
    except (struct.error, ValueError) as exc:
        raise TicketInvalid from exc


def _strings(rest: bytes) -> list[str]:
    found: list[str] = []
    while rest:
        (length,) = _LENGTH.unpack_from(rest)
        found.append(rest[_LENGTH.size : _LENGTH.size + length].decode())
        rest = rest[_LENGTH.size + length :]
    return found
