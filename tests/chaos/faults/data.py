"""Data that is gone."""

from __future__ import annotations

from redis.asyncio import Redis

from tests.chaos.arena import Arena
from tests.chaos.faults.base import FaultKind
from tests.chaos.schedule import Kind


def kinds(_: Arena) -> list[FaultKind]:
    """Redis may forget; Postgres may not."""
    return [FaultKind(Kind("redis forgets", ("redis",), weight=2, light=True), ForgetfulRedis)]


class ForgetfulRedis:
    """FLUSHALL: queue, event streams and whatever else is there. It holds nothing that cannot be rebuilt."""

    def __init__(self, arena: Arena, _: str) -> None:
        self._arena = arena

    async def inject(self) -> str:
        """Empty it, at its own address; how many keys it had."""
        redis = Redis.from_url(str(self._arena.stack.state()["connections"]["redis"]))
        try:
            keys = await redis.dbsize()
            await redis.flushall()
        except OSError:
            return "was down"
        finally:
            await redis.aclose()
        return f"{keys} keys"

    async def recover(self) -> None:
        """The services' work."""

    async def ready(self) -> bool:
        """It never was away."""
        return await self._arena.serves("redis")
