"""The scripted backends as a process of their own: `python -m tests.bench.gateway.backend PORT`."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from tests.fakes.grpc_backends import FakeBackends


async def serve(port: int) -> None:
    """Until the process is ended."""
    backends = FakeBackends()
    backends.port = port
    await backends.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(int(sys.argv[1])))
