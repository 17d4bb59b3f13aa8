"""The monolith's side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from tests import stack
from tests.bench.submission.servers import Side


class Peer(Side):
    """One process, its Postgres and its Redis."""

    def __init__(self, folder: Path) -> None:
        super().__init__("monolith", folder)
        self.port = stack.free_port()
        self._database = ""

    async def start(self) -> None:
        """Start everything."""
        await asyncio.to_thread(self.start_servers)
        self._database = await asyncio.to_thread(self.postgres.create_database, "monolith")
        environment = {
            "MONOLITH_DATABASE_URL": self._database.replace("postgresql://", "postgresql+asyncpg://"),
            "MONOLITH_REDIS_URL": self.redis.url,
        }
        arguments = ["-m", "tests.bench.submission.monolith", str(self.port)]
        await asyncio.to_thread(self.run, "monolith", arguments, self.port, environment)

    async def check(self, jobs: int) -> None:
        """Every accepted job is there. Raises AssertionError."""
        connection = await asyncpg.connect(self._database)
        stored = await connection.fetchval("SELECT count(*) FROM jobs")
        await connection.close()
        assert stored == jobs, (jobs, stored)
