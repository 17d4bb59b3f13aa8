"""The gateway goes on to hear of revocations, whatever becomes of the stream (A2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr

from gateway.revocations import RevocationFeed, Revocations
from t2m.auth.v1 import token_service_pb2 as pb


class Call:
    """A stream that says what it is told, then does what it is told."""

    def __init__(self, then: Callable[[], Awaitable[Any]]) -> None:
        self._messages = [pb.WatchRevocationsResponse(snapshot=True, complete=True).SerializeToString()]
        self._then = then

    async def read(self) -> Any:
        """The next message."""
        return self._messages.pop() if self._messages else await self._then()

    def cancel(self) -> bool:
        """Nothing is open."""
        return True


async def cut() -> Any:
    """How a read ends when its channel is closed: the call was cancelled, its reader was not."""
    call: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    call.cancel()
    return await call


class OneAuth:
    """Backends of which only auth is asked."""

    def __init__(self) -> None:
        self.opened = 0
        self.again = asyncio.Event()

    def stream(self, _: str) -> Any:
        """The first stream is cut after its first message."""

        def watch(request: bytes, *, metadata: Any) -> Call:
            assert dict(metadata) == {"authorization": "Bearer token"}
            self.opened += 1
            return Call(cut if self.opened == 1 else self._idle)

        return watch

    async def _idle(self) -> Any:
        self.again.set()
        await asyncio.Event().wait()

    def unary(self, _: str) -> Any:
        """A token of the gateway's own."""

        async def issue(request: bytes, *, timeout: float) -> bytes:
            ends = Timestamp(seconds=4_000_000_000)
            return pb.IssueServiceTokenResponse(token="token", expires_at=ends).SerializeToString()

        return issue


async def test_a_stream_that_its_own_channel_cuts_is_opened_anew() -> None:
    """As when the channel was replaced because its certificate was."""
    auth, revocations = OneAuth(), Revocations()
    feed: Any = RevocationFeed(auth, revocations, "gateway", SecretStr("s"), lambda: None)  # type: ignore[arg-type]
    following = asyncio.create_task(feed.run())
    async with asyncio.timeout(5):
        await auth.again.wait()
    assert revocations.followed
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert following.cancelled()
