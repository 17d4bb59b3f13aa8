"""Bytes that go straight to where a store has planned them, part by part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx

from services.video_render.application.ports import OnBytes
from t2m.storage.v1 import object_service_pb2

_CHUNK_BYTES = 512 * 1024
_PARTS_AT_ONCE = 3
_TIMEOUT = httpx.Timeout(60.0, connect=3.0)


class PartRefused(Exception):
    """The store did not take a part: it is away, has no room, or the plan is too old.

    `answered` is False when it could not be reached at all.
    """

    def __init__(self, message: str, *, answered: bool) -> None:
        super().__init__(message)
        self.answered = answered


async def send(
    source: Path, parts: Sequence[object_service_pb2.UploadPart], on_bytes: OnBytes | None = None
) -> list[str]:
    """PUT every part of a file; their entity tags, in order. Raises `PartRefused`; the others are stopped then."""
    gate = asyncio.Semaphore(_PARTS_AT_ONCE)
    async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:

        async def put(part: object_service_pb2.UploadPart) -> str:
            async with gate:
                return await _put(client, source, part, on_bytes)

        tasks = [asyncio.ensure_future(put(part)) for part in parts]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _put(
    client: httpx.AsyncClient, source: Path, part: object_service_pb2.UploadPart, on_bytes: OnBytes | None
) -> str:
    try:
        answer = await client.put(part.url, content=_bytes(source, part, on_bytes), headers=dict(part.headers))
    except httpx.HTTPError as error:
        # The URL is a credential: it is not said.
        raise PartRefused(f"the store cannot be reached: {type(error).__name__}", answered=False) from None
    if answer.status_code != httpx.codes.OK:
        raise PartRefused(f"the store refused a part: HTTP {answer.status_code}", answered=True)
    return str(answer.headers.get("ETag", ""))


async def _bytes(source: Path, part: object_service_pb2.UploadPart, on_bytes: OnBytes | None) -> AsyncIterator[bytes]:
    left = part.size_bytes
    with source.open("rb") as file:
        file.seek(part.offset_bytes)
        while left and (chunk := await asyncio.to_thread(file.read, min(_CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
            if on_bytes is not None:
                on_bytes(len(chunk))
