"""Looks for traces in everything that the embedded stack keeps: rows, files, logs, Redis."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import redis

from tests.e2e.local_stack import LocalStack

DATABASES = ("auth", "job", "video_render", "storage")
_NOT_OURS = ("postgres", "redis", "run")
"""Folders of the servers, whose pages and journals hold what was deleted until it is overwritten."""


def traces(stack: LocalStack, markers: Sequence[str]) -> set[tuple[str, str]]:
    """(where, marker) of every marker that is found: `auth.users`, `redis job:…`, `logs/job.log`."""
    needles = {marker: _forms(marker) for marker in markers}
    return {
        (place, marker)
        for place, content in _everything(stack)
        for marker, forms in needles.items()
        if any(form in content for form in forms)
    }


def _forms(marker: str) -> tuple[bytes, ...]:
    """As it is, and as it looks in base64 at any offset and in text that was encoded as hexadecimal digits."""
    raw = marker.encode()
    inner = [base64.b64encode(b"\0" * pad + raw)[4 if pad else 0 : -4] for pad in range(3)]
    return (raw, raw.hex().encode(), *inner)


def _everything(stack: LocalStack) -> Iterator[tuple[str, bytes]]:
    for service in DATABASES:
        yield from asyncio.run(_tables(service, stack.database(service)))
    yield from _redis(str(stack.state()["connections"]["redis"]))
    yield from _files(stack.folder)


async def _tables(service: str, url: str) -> list[tuple[str, bytes]]:
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))
    try:
        names = await connection.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        found = []
        for (name,) in names:
            rows = await connection.fetch(f'SELECT * FROM "{name}"')
            found += [(f"{service}.{name}", b"\0".join(_bytes(value) for value in row.values())) for row in rows]
        return found
    finally:
        await connection.close()


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _redis(url: str) -> Iterator[tuple[str, bytes]]:
    client: Any = redis.Redis.from_url(url)
    for key in client.scan_iter(count=1000):
        read = {
            b"string": client.get,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"stream": client.xrange,
        }.get(client.type(key), lambda _: b"")
        yield f"redis {key.decode(errors='replace')}", key + b"\0" + _flat(read(key))
    client.close()


def _flat(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple | set):
        return b"\0".join(_flat(part) for part in value)
    return str(value).encode()


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] not in _NOT_OURS:
            yield str(name), str(name).encode() + b"\0" + (path.read_bytes() if path.is_file() else b"")
