"""`ContentInspector`: bytes go to a temporary file, and a thread looks at it."""

from __future__ import annotations

import asyncio
import tempfile
import zipfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import IO

from services.storage.adapters.inspection import documents, images, pdf, text
from services.storage.adapters.inspection.findings import refused
from services.storage.domain.errors import UnsupportedContent
from services.storage.domain.files import DOCX, PDF, TEXT

_IN_MEMORY = 1024 * 1024
_HEAD = 1024
_FILES_AT_ONCE = 2
_ARCHIVE = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may unfold to."""

    pixels: int = 25_000_000
    """Of an image; each takes up to 4 bytes of memory while it is looked at."""
    archive_bytes: int = 100 * 1024 * 1024
    """Of all members of an archive together."""


class FileInspector:
    """Images are decoded, archives unpacked (to nowhere), texts read to their end.

    One file at a time, so that memory is bounded by what one may take, and the next is fetched meanwhile; the others
    wait.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="inspect")
        self._room = asyncio.Semaphore(_FILES_AT_ONCE)

    def close(self) -> None:
        """Wait for the thread to end."""
        self._executor.shutdown()

    async def inspect(self, chunks: AsyncIterator[bytes]) -> str:
        """See `ContentInspector.inspect`."""
        loop = asyncio.get_running_loop()
        async with self._room:
            file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # closed by its user
            async for chunk in chunks:
                await loop.run_in_executor(None, file.write, chunk)
            # A thread cannot be interrupted: it owns the file, also when nobody waits for it any more.
            return await loop.run_in_executor(self._executor, partial(_examine, file, self._limits))


def _examine(file: IO[bytes], limits: Limits) -> str:
    with file:
        size = file.tell()
        file.seek(0)
        head = file.read(_HEAD)
        found = _type_of(head)
        if found != DOCX and zipfile.is_zipfile(file):
            raise refused("is an archive as well")
        if found not in (PDF, TEXT) and b"%PDF-" in head:
            raise refused("is a PDF as well")
        file.seek(0)
        if found == DOCX:
            documents.check_docx(file, limits.archive_bytes)
        elif found == PDF:
            pdf.check(file, size)
        elif found == TEXT:
            text.check(file)
        else:
            images.check(file, size, found, limits.pixels)
        return found


def _type_of(head: bytes) -> str:
    """By the first bytes; text when they are of nothing else. Raises UnsupportedContent."""
    if (image := images.type_of(head)) is not None:
        return image
    if head.startswith(b"%PDF-"):
        return PDF
    if head.startswith(_ARCHIVE):
        return DOCX
    if head.startswith((b"GIF87a", b"GIF89a")):
        raise UnsupportedContent("a GIF image")
    return TEXT
