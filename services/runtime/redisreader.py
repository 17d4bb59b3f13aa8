"""One Redis connection that waits on many streams at once, and can be told to wait on other ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from services.runtime.eventlog import Event
from services.runtime.ids import new_id

BLOCK_MS = 1000
"""How long a read waits; also the longest time until a flush is noticed."""
LINGER_S = 0.002
"""Pause of the reader after it has passed events on: those that come close together then make a batch."""
_MARKER_TTL_S = 600
_ANSWER_TIMEOUT_S = 5.0
_COUNT = 256


class StreamConnection:
    """A blocking XREAD over a changing set of streams.

    The read is interrupted by CLIENT UNBLOCK, sent over the client's ordinary pool. With every read a marker
    key of this connection is touched: when it is gone, Redis was flushed.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._marker = f"t2m:reader:{new_id()}"
        self._client: Redis | None = None
        self._client_id = 0
        self._blocked = False
        self._interrupt_wanted = False
        self._interrupter: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect. Raises RedisError or OSError when Redis is away."""
        client = self._redis.client()
        await client.initialize()
        self._client = client
        self._client_id = int(await client.client_id())
        await client.set(self._marker, b"1", ex=_MARKER_TTL_S)

    async def close(self) -> None:
        """Give the connection up, whatever state it is in."""
        client, self._client = self._client, None
        if self._interrupter is not None:
            self._interrupter.cancel()
        if client is not None and client.connection is not None:
            with suppress(RedisError, OSError):
                await client.connection.disconnect(nowait=True)
            await client.aclose()

    async def read(self, positions: Mapping[str, int]) -> tuple[bool, list[tuple[bytes, list[Event]]]]:
        """Whether the marker was there, and the new events by key, after waiting for some if there are none.

        Raises RedisError, OSError or TimeoutError when the connection is lost.
        """
        if self._client is None or self._client.connection is None:
            raise RedisConnectionError("not connected")
        connection: Any = self._client.connection
        ids = [f"{seq}-0" for seq in positions.values()]
        read = ["XREAD", "COUNT", _COUNT, "BLOCK", BLOCK_MS, "STREAMS", *positions, *ids]
        touch = ["GETEX", self._marker, "EX", _MARKER_TTL_S]
        self._interrupt_wanted = False
        self._blocked = True
        try:
            await connection.send_packed_command(connection.pack_commands([touch, read]))
            marked = await connection.read_response(timeout=_ANSWER_TIMEOUT_S) is not None
            answer = await connection.read_response(timeout=BLOCK_MS / 1000 + _ANSWER_TIMEOUT_S)
        finally:
            self._blocked = False
        if not marked:
            await self._client.set(self._marker, b"1", ex=_MARKER_TTL_S)
        if not answer:
            return marked, []
        pairs = answer.items() if isinstance(answer, dict) else answer
        return marked, [(key, [_event(entry) for entry in entries]) for key, entries in pairs]

    def interrupt(self) -> None:
        """Make a read that is waiting return."""
        self._interrupt_wanted = True
        if self._blocked and (self._interrupter is None or self._interrupter.done()):
            self._interrupter = asyncio.get_running_loop().create_task(self._unblock())

    async def _unblock(self) -> None:
        with suppress(RedisError, OSError):  # then the read fails too, or ends by itself
            while self._blocked and self._interrupt_wanted:
                if await self._redis.client_unblock(self._client_id):
                    return
                await asyncio.sleep(LINGER_S)  # the read has been sent but does not block yet


def _event(entry: Any) -> Event:
    entry_id, fields = entry
    return Event(int(entry_id.partition(b"-")[0]), bytes(fields[1]))
