"""What the use cases of users' files need; `tests/contract/test_storage_files.py` says what an adapter must do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from services.storage.domain.files import FilePlan, FileUsage
from services.storage.domain.objects import StoredObject


class ContentInspector(Protocol):
    """Finds out what bytes are."""

    async def inspect(self, chunks: AsyncIterator[bytes]) -> str:
        """The media type of a whole and harmless file, one of `ACCEPTED_TYPES`.

        Raises UnsupportedContent, and InvalidInput with a violation of `content` that says what is wrong with it.
        Memory and time are bounded whatever the bytes are.
        """
        ...


class MalwareScanner(Protocol):
    """Knows malware."""

    async def scan(self, chunks: AsyncIterator[bytes]) -> str | None:
        """The name of what was found, None when nothing was. Raises ScannerUnavailable when there is no answer."""
        ...


class FileLedger(Protocol):
    """The rows of users' files, as their quota sees them.

    What counts: files that are pending or committed, and reservations. Rows of one owner with the same request id are
    one file, and count once.
    """

    async def reserve(self, pending: StoredObject, plan: FilePlan) -> None:
        """Add the row, which carries the length announced, if there is room; of concurrent calls no two take the same.

        Raises FileQuotaExceeded.
        """
        ...

    async def usage(self, owner_id: str) -> FileUsage:
        """What the owner has."""
        ...

    async def release(self, reservation: StoredObject) -> None:
        """Drop a pending reservation; succeeds when there is none."""
        ...

    async def arriving(self, owner_id: str, upload_id: str) -> StoredObject | None:
        """The pending part of an upload that the client sends to the store itself, the newest one."""
        ...

    async def expire(self, created_before: datetime, now: datetime, limit: int) -> int:
        """End reservations and parts that are older; how many rows, at most `limit`. The bytes go by the sweep."""
        ...
