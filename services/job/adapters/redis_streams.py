"""The streams in Redis that progress and logs are read from."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis


class RedisStreams:
    """`LiveStreams` over Redis. What it does not drop, because Redis is away, ends by itself within the hour."""

    def __init__(self, redis: Redis, job_prefixes: Sequence[str], batch_prefixes: Sequence[str]) -> None:
        self._redis = redis
        self._job_prefixes = job_prefixes
        self._batch_prefixes = batch_prefixes

    async def forget(self, *, jobs: Sequence[str] = (), batches: Sequence[str] = ()) -> None:
        """Drop the streams of these."""
        keys = [prefix + job_id for job_id in jobs for prefix in self._job_prefixes]
        keys += [prefix + batch_id for batch_id in batches for prefix in self._batch_prefixes]
        if keys:
            await self._redis.delete(*keys)
