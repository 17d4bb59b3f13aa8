"""Both Python clients, driven alike, so that one suite tests both."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.client import AsyncT2MClient, T2MClient


class Face:
    """One of the two clients, driven alike."""

    def __init__(self, client: T2MClient | AsyncT2MClient) -> None:
        self._client = client

    async def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The result of a method."""
        if isinstance(self._client, AsyncT2MClient):
            return await getattr(self._client, name)(*args, **kwargs)
        return await asyncio.to_thread(getattr(self._client, name), *args, **kwargs)

    async def all(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """What a method iterates over."""
        if isinstance(self._client, AsyncT2MClient):
            return [item async for item in getattr(self._client, name)(*args, **kwargs)]
        return await asyncio.to_thread(lambda: list(getattr(self._client, name)(*args, **kwargs)))

    async def close(self) -> None:
        """Of its connections."""
        await self.call("close")
