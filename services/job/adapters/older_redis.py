"""The older system's keys in Redis: hashes `jobs:{id}` and `videos:{id}`, lists of any type `user_jobs:{id}`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.job.application.importing.records import OlderJob
from services.job.application.importing.use_case import OlderPage

_PAGE = 200
_MOST_MEMBERS = 1_000_000


class RedisOlderSystem:
    """Only reads. `SCAN` walks the keys, so the older system may go on meanwhile; ids of jobs are held in memory."""

    def __init__(self, redis: Redis) -> None:
        """`redis` gives bytes."""
        self._redis = redis
        self._owners: dict[str, str] = {}
        self._videos: dict[str, str] = {}
        self._broken: list[tuple[str, str]] = []

    async def prepare(self) -> None:
        """See `OlderSystem.prepare`."""
        try:
            async for key in self._redis.scan_iter(match="user_jobs:*", count=_PAGE):
                await self._read_list(key)
            async for key in self._redis.scan_iter(match="videos:*", count=_PAGE):
                await self._read_link(key)
        except RedisError as error:
            raise ConnectionError(f"the older system's Redis: {type(error).__name__}") from error

    async def page(self, cursor: int) -> OlderPage:
        """See `OlderSystem.page`."""
        broken, self._broken = self._broken, []
        jobs = []
        try:
            following, keys = await self._redis.scan(cursor, match="jobs:*", count=_PAGE)
            for key in sorted(keys):
                fields = await self._hash(key, broken)
                if fields is not None:
                    jobs.append(await self._job(_text(key).partition(":")[2], fields, broken))
        except RedisError as error:
            raise ConnectionError(f"the older system's Redis: {type(error).__name__}") from error
        return OlderPage(jobs, broken, int(following))

    async def _job(self, older_id: str, fields: dict[str, str], broken: list[tuple[str, str]]) -> OlderJob:
        names = (self._videos.get(older_id), older_id, fields.get("video_id"))
        video: dict[str, str] = {}
        for name in names:
            if name and not video:
                video = await self._hash(f"videos:{name}".encode(), broken) or {}
        return OlderJob(older_id, fields, video, self._owners.get(older_id, ""))

    async def _hash(self, key: bytes | str, broken: list[tuple[str, str]]) -> dict[str, str] | None:
        kind = await self._kind(key)
        if kind == "none":
            return None
        if kind == "string":
            return {"data": _text(await self._redis.get(key) or b"")}
        if kind != "hash":
            broken.append((_text(key), f"is a {kind}, not a hash"))
            return None
        raw = await self._redis.hgetall(key)
        return {_text(name): _text(value) for name, value in raw.items()}

    async def _read_list(self, key: bytes | str) -> None:
        user, kind = _text(key).partition(":")[2], await self._kind(key)
        members: AsyncIterator[Any] | None = None
        if kind == "set":
            members = self._redis.sscan_iter(key)
        elif kind == "zset":
            members = (pair[0] async for pair in self._redis.zscan_iter(key))
        elif kind == "hash":
            members = (pair[0] async for pair in self._redis.hscan_iter(key))
        elif kind == "list":
            members = _each(await self._redis.lrange(key, 0, _MOST_MEMBERS))
        elif kind == "string":
            members = _each(self._members(key, await self._redis.get(key) or b""))
        if members is None:
            self._broken.append((_text(key), f"is a {kind}"))
            return
        async for member in members:
            self._owners.setdefault(_text(member).removeprefix("jobs:"), user)

    def _members(self, key: bytes | str, raw: bytes | str) -> list[bytes | str]:
        try:
            value = json.loads(raw)
        except ValueError:
            value = None
        if not isinstance(value, list):
            self._broken.append((_text(key), "is no JSON list"))
            return []
        return [str(each).encode() for each in value]

    async def _read_link(self, key: bytes | str) -> None:
        if await self._kind(key) != "hash":
            return  # reported when it is wanted
        job_id = await self._redis.hget(key, "job_id")
        if job_id:
            self._videos.setdefault(_text(job_id), _text(key).partition(":")[2])
            if not await self._redis.exists(f"jobs:{_text(job_id)}"):
                self._broken.append((_text(key), f"its job {_text(job_id)} is not there"))

    async def _kind(self, key: bytes | str) -> str:
        return _text(await self._redis.type(key))


async def _each(values: list[bytes | str]) -> AsyncIterator[bytes | str]:
    for value in values:
        yield value


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
