"""A zip (ZIP64, so of any length) that is made while it is sent."""

from __future__ import annotations

import stat
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from datetime import datetime
from typing import Any

from stream_zip import ZIP_64, async_stream_zip

from services.job.application.export import Member

_MODE = stat.S_IFREG | 0o600
_FASTEST = 1
"""Most of an export is video, which no level makes smaller."""


async def pack_zip(members: AsyncIterable[Member], made_at: datetime) -> AsyncGenerator[bytes]:
    """The archive in chunks of 64 KiB. An error of a member ends it before its directory: no program takes that for
    a whole one.
    """

    async def files() -> AsyncIterator[tuple[str, datetime, int, Any, AsyncIterable[bytes]]]:
        async for member in members:
            yield member.path, made_at, _MODE, ZIP_64, member.content

    async for chunk in async_stream_zip(
        files(), get_compressobj=lambda: zlib.compressobj(level=_FASTEST, wbits=-zlib.MAX_WBITS)
    ):
        yield chunk
