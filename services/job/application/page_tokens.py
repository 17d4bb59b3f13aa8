"""Page tokens: opaque, bound to the list they belong to, and of no use when altered."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from services.job.application.ports import JobQuery, PageKey
from services.job.domain.errors import FieldsRefused

_TAG_BYTES = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PageTokens:
    """Seals the position after a page. The filters are not in the token: they are part of what its tag covers, so that
    a token opens only for the list that made it. The same key must be used by all processes of the service.
    """

    def __init__(self, key: bytes) -> None:
        self._key = blake2b(key, digest_size=32, person=b"t2m page tokens").digest()

    def seal_list(self, key: PageKey, query: JobQuery) -> str:
        """The token of the page after `key`."""
        return self.seal_key(key, *_list_name(query))

    def open_list(self, token: str, query: JobQuery) -> PageKey:
        """Where the page begins. Raises FieldsRefused for a token of another list, or of nobody."""
        return self.open_key(token, *_list_name(query))

    def seal_key(self, key: PageKey, *name: str) -> str:
        """The token of the page after `key`, of the list with this name (and filters)."""
        micros = (key.moment - _EPOCH) // _MICROSECOND
        return self._seal(micros.to_bytes(8, "big", signed=True) + UUID(key.job_id).bytes, name)

    def open_key(self, token: str, *name: str) -> PageKey:
        """Where the page begins. Raises FieldsRefused as `open_list` does."""
        position = self._open(token, name)
        micros = int.from_bytes(position[:8], "big", signed=True)
        return PageKey(_EPOCH + timedelta(microseconds=micros), str(UUID(bytes=position[8:])))

    def seal_number(self, number: int, *name: str) -> str:
        """The token of the page after an entry with this number."""
        return self._seal(number.to_bytes(8, "big"), name)

    def open_number(self, token: str, *name: str) -> int:
        """The number of the last entry before the page. Raises FieldsRefused as `open_list` does."""
        return int.from_bytes(self._open(token, name), "big")

    def seal_history(self, seq: int, job_id: str) -> str:
        """The token of the events after `seq`."""
        return self.seal_number(seq, "history", job_id)

    def open_history(self, token: str, job_id: str) -> int:
        """The last event of the page before. Raises FieldsRefused as `open_list` does."""
        return self.open_number(token, "history", job_id)

    def _seal(self, position: bytes, name: Iterable[str]) -> str:
        return urlsafe_b64encode(self._tag(position, name) + position).decode().rstrip("=")

    def _open(self, token: str, name: Iterable[str]) -> bytes:
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (Base64Error, ValueError):
            raw = b""
        tag, position = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(position, name)):
            raise FieldsRefused([("page_token", "must come from the last answer to the same request")])
        return position

    def _tag(self, position: bytes, name: Iterable[str]) -> bytes:
        digest = blake2b(position, digest_size=_TAG_BYTES, key=self._key)
        for part in name:
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
        return digest.digest()


def _list_name(query: JobQuery) -> Iterable[str]:
    """Everything that decides which jobs a list has and in which order."""
    yield "list"
    yield f"owner:{query.owner_id}" if query.owner_id is not None else "everybody"
    yield ",".join(sorted(query.statuses))
    yield query.priority or ""
    yield query.batch_id
    for moment in (query.created_after, query.created_before):
        yield moment.isoformat() if moment else ""
    yield query.topic
    yield "updated" if query.by_update else "created"
