"""The end of streams in Redis whose subject is gone for good."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis


class StreamKeys:
    """The streams of some relays. One that a relay fills once more, because it was on its way to it, ends by itself as
    all do (`Relay`: `keep_s`).
    """

    def __init__(self, redis: Redis, *prefixes: str) -> None:
        self._redis = redis
        self._prefixes = prefixes

    async def forget(self, stream_ids: Sequence[str]) -> None:
        """Drop the streams of these. Raises RedisError when Redis is away."""
        keys = [prefix + stream_id for stream_id in stream_ids for prefix in self._prefixes]
        if keys:
            await self._redis.delete(*keys)
