"""A gRPC proxy that a test stands between two services: it passes calls on until it is told otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc


class Gate(grpc.GenericRpcHandler):
    """Calls with one request, byte for byte, to one address."""

    def __init__(self, target: str) -> None:
        self.target = target
        """Where calls go; to be changed when the other side comes back elsewhere."""
        self.closed: set[str] = set()
        """Names of methods that find nobody."""
        self.answered: Callable[[str], Awaitable[bool]] | None = None
        """Called with the method's name when the other side has answered: whether the caller hears of it."""
        self.address = ""
        self._channel: grpc.aio.Channel | None = None
        self._to = ""

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Every method; those called Watch… as a stream."""
        path: str = handler_call_details.method
        name = path.rpartition("/")[2]

        async def answer(request: bytes, context: Any) -> bytes:
            call = await self._call("unary_unary", path, request, context)
            try:
                found: bytes = await call
            except grpc.aio.AioRpcError as error:
                raise await _passed_on(error, context) from error
            if self.answered is not None and not await self.answered(name):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the other side vanished")
            return found

        async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            call = await self._call("unary_stream", path, request, context)
            try:
                async for message in call:
                    yield message
            except grpc.aio.AioRpcError as error:
                raise await _passed_on(error, context) from error

        if name.startswith("Watch"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)

    async def _call(self, kind: str, path: str, request: bytes, context: Any) -> Any:
        if path.rpartition("/")[2] in self.closed:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the gate is closed")
        if self._channel is None or self._to != self.target:
            await self.close()
            self._channel, self._to = grpc.aio.insecure_channel(self.target), self.target
        own = [(key, value) for key, value in context.invocation_metadata() or () if not key.startswith("grpc-")]
        method: Any = getattr(self._channel, kind)(path)
        return method(request, metadata=own)

    async def close(self) -> None:
        """End the connection."""
        if self._channel is not None:
            await self._channel.close()


async def _passed_on(error: grpc.aio.AioRpcError, context: Any) -> Exception:
    """End the call as the other side has ended it."""
    context.set_trailing_metadata(tuple(error.trailing_metadata() or ()))
    await context.abort(error.code(), error.details() or "")
    return error  # not reached: abort raises


@asynccontextmanager
async def gate_to(target: str) -> AsyncIterator[Gate]:
    """A gate that listens."""
    gate = Gate(target)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((gate,))
    gate.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield gate
    finally:
        await server.stop(None)
        await gate.close()
