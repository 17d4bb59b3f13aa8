"""What stands beside job in the fan-out bench: an auth that exchanges tokens, and a video_render that reports progress.

    python -m tests.bench.fanout.neighbours PORT

Reads commands from its input, a line each: `emit RATE COUNT` has every render report so often a second, so many times,
evenly spread over time and renders. Says `done` after the last.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from t2m.auth.v1 import token_service_pb2, token_service_pb2_grpc, user_pb2
from t2m.video_render.v1 import render_pb2, render_service_pb2_grpc
from t2m.video_render.v1 import render_service_pb2 as pb
from tests.bench.fanout.tokens import internal_token, jwks_json
from tests.fakes.record_server import Record
from tests.fakes.render_server import Tokens, drawn, planned, running


class Exchange(Tokens):
    """An access token is the name of its owner."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    async def GetJwks(
        self, request: token_service_pb2.GetJwksRequest, context: Any
    ) -> token_service_pb2.GetJwksResponse:
        """The bench's key."""
        return token_service_pb2.GetJwksResponse(jwks_json=jwks_json())

    async def ExchangeCredential(
        self, request: token_service_pb2.ExchangeCredentialRequest, context: Any
    ) -> token_service_pb2.ExchangeCredentialResponse:
        """An internal token of that owner, the same one each time."""
        owner = request.access_token
        if owner not in self._known:
            self._known[owner] = internal_token(owner)
        return token_service_pb2.ExchangeCredentialResponse(
            internal_token=self._known[owner], user_id=owner, role=user_pb2.ROLE_USER
        )


class Renders(render_service_pb2_grpc.RenderServiceServicer):
    """Renders that report when they are told to; each wakes its own watchers only."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[pb.WatchRenderResponse]] = {}
        self._seqs: dict[str, int] = {}

    async def StartRender(self, request: pb.StartRenderRequest, context: Any) -> pb.StartRenderResponse:
        """Accept it, and be drawing at once."""
        render_id = request.render_id
        if render_id not in self._queues:
            self._queues[render_id] = asyncio.Queue()
            self._seqs[render_id] = 0
            self._report(render_id, state_changed=running(render_pb2.RENDER_STAGE_PLANNING))
            self._report(render_id, planned=planned("One"))
            self._report(render_id, state_changed=running(render_pb2.RENDER_STAGE_RENDERING))
        return pb.StartRenderResponse(render=render_pb2.Render(render_id=render_id))

    def _report(self, render_id: str, **body: Any) -> None:
        self._seqs[render_id] += 1
        event = render_pb2.RenderEvent(seq=self._seqs[render_id], render_id=render_id, **body)
        event.occurred_at.GetCurrentTime()
        self._queues[render_id].put_nowait(pb.WatchRenderResponse(event=event))

    async def WatchRender(self, request: pb.WatchRenderRequest, context: Any) -> AsyncIterator[pb.WatchRenderResponse]:
        """What comes; there is one follower, which never goes back."""
        queue = self._queues[request.render_id]
        while True:
            yield await queue.get()

    async def emit(self, rate: float, count: int) -> None:
        """Report `count` times for each render, `rate` times a second."""
        renders = list(self._queues)
        loop = asyncio.get_running_loop()
        start, step_s = loop.time(), 1 / (rate * len(renders))
        for turn in range(count):
            for index, render_id in enumerate(renders):
                due = start + (turn * len(renders) + index) * step_s
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                # Always further, never there: rounds may follow.
                done = 1 - 0.995 ** self._seqs[render_id]
                self._report(render_id, progress=drawn(90 * done, frames_done=round(99 * done)))


async def serve(port: int) -> None:
    """Serve until the input ends."""
    renders = Renders()  # type: ignore[abstract]  # Job calls no other method here.
    server = grpc.aio.server()
    token_service_pb2_grpc.add_TokenServiceServicer_to_server(Exchange(), server)  # type: ignore[abstract]
    render_service_pb2_grpc.add_RenderServiceServicer_to_server(renders, server)
    Record().add_to(server)  # type: ignore[abstract]
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        _, rate, count = line.split()
        await renders.emit(float(rate), int(count))
        print(json.dumps("done"), flush=True)
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
