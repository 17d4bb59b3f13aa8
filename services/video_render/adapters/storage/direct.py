"""Bytes that go straight to the store, where it has planned them, and straight from it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import cache
from pathlib import Path

import httpx

from services.video_render.application.ports import OnBytes
from t2m.storage.v1 import object_service_pb2

_CHUNK_BYTES = 512 * 1024
_PARTS_AT_ONCE = 3
_TIMEOUT = httpx.Timeout(60.0, connect=3.0)


@cache
def _trust() -> ssl.SSLContext:
    """Made once: reading the certificates takes longer than a small upload."""
    return httpx.create_ssl_context()


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, verify=_trust())


class StoreRefused(Exception):
    """The store did not take or give bytes: it is away, has no room, or the URL is too old.

    `answered` is False when it could not be reached at all.
    """

    def __init__(self, message: str, *, answered: bool) -> None:
        super().__init__(message)
        self.answered = answered


class ObjectMissing(Exception):
    """The store does not have the object."""


async def receive(url: str) -> AsyncGenerator[bytes]:
    """The bytes behind a presigned URL; close it. Raises `StoreRefused`, `ObjectMissing`."""
    async with _client() as client:
        try:
            async with client.stream("GET", url) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise ObjectMissing
                if answer.status_code != httpx.codes.OK:
                    raise StoreRefused(f"the store refused to read: HTTP {answer.status_code}", answered=True)
                async for chunk in answer.aiter_bytes(_CHUNK_BYTES):
                    yield chunk
        except httpx.HTTPError as error:
            # The URL is a credential: it is not said.
            raise StoreRefused(f"the store cannot be reached: {type(error).__name__}", answered=False) from None


async def send(
    source: Path, parts: Sequence[object_service_pb2.UploadPart], on_bytes: OnBytes | None = None
) -> list[str]:
    """PUT every part of a file; their entity tags, in order. Raises `StoreRefused`; the others are stopped then."""
    gate = asyncio.Semaphore(_PARTS_AT_ONCE)
    async with _client() as client:

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
        raise StoreRefused(f"the store cannot be reached: {type(error).__name__}", answered=False) from None
    if answer.status_code != httpx.codes.OK:
        raise StoreRefused(f"the store refused a part: HTTP {answer.status_code}", answered=True)
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
