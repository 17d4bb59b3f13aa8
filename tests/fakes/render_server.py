"""A real gRPC server that plays the neighbours of the job service: video_render by script, storage and auth.

A test decides what a render does: `emit` appends its next events, `autoplay` a whole render at once. The renders
outlive a restart of the server, as rows in a database would; `lose` takes them away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from joserfc.jwk import KeySet, OKPKey

from services.runtime.identity import Role
from services.runtime.tokens import TokenSigner
from t2m.auth.v1 import credit_service_pb2_grpc, token_service_pb2, token_service_pb2_grpc
from t2m.storage.v1 import object_pb2, object_service_pb2, object_service_pb2_grpc
from t2m.video_render.v1 import render_pb2, render_service_pb2_grpc
from t2m.video_render.v1 import render_service_pb2 as pb
from tests.fakes.job_credits import ScriptedCredits
from tests.fakes.record_server import Record

KEY = OKPKey.generate_key("Ed25519", parameters={"kid": "test"}, private=True)
SIGNER = TokenSigner(KEY)
DEADLINE_S = 20.0
Body = render_pb2.RenderStateChanged | render_pb2.RenderProgressed | render_pb2.RenderPlanned | render_pb2.SceneChanged
_FIELDS: dict[type[Message], str] = {
    render_pb2.RenderStateChanged: "state_changed",
    render_pb2.RenderProgressed: "progress",
    render_pb2.RenderPlanned: "planned",
    render_pb2.SceneChanged: "scene",
    render_pb2.RenderLogged: "log",
}
_TERMINAL = (render_pb2.RENDER_STATE_SUCCEEDED, render_pb2.RENDER_STATE_FAILED, render_pb2.RENDER_STATE_CANCELLED)


@dataclass
class ScriptedRender:
    """One render: what was asked for, and what has happened so far."""

    request: pb.StartRenderRequest
    events: list[render_pb2.RenderEvent] = field(default_factory=list)
    starts: int = 1
    cancels: int = 0
    forgotten: bool = False
    watches: list[int] = field(default_factory=list)
    """The position of every watch that was opened."""

    @property
    def ended(self) -> bool:
        """Whether the render has reached a terminal state."""
        last = self.events[-1] if self.events else None
        return last is not None and last.state_changed.state in _TERMINAL


def running(stage: Any, progress: float = 0.0) -> render_pb2.RenderStateChanged:
    """The render works on a stage."""
    return render_pb2.RenderStateChanged(state=render_pb2.RENDER_STATE_RUNNING, stage=stage, progress=progress)


def planned(*titles: str) -> render_pb2.RenderPlanned:
    """The scenes are known."""
    scenes = [
        render_pb2.SceneProgress(index=index, title=title, state=render_pb2.SCENE_STATE_QUEUED, frames_total=100)
        for index, title in enumerate(titles)
    ]
    return render_pb2.RenderPlanned(title="A title", scenes=scenes)


def drawn(progress: float, scene_index: int = 0, frames_done: int = 10) -> render_pb2.RenderProgressed:
    """Frames of a scene were drawn."""
    return render_pb2.RenderProgressed(
        progress=progress, scene_index=scene_index, frames_done=frames_done, frames_total=100
    )


def scene_done(index: int, progress: float) -> render_pb2.SceneChanged:
    """A scene is finished."""
    scene = render_pb2.SceneProgress(
        index=index,
        title=f"Scene {index}",
        state=render_pb2.SCENE_STATE_SUCCEEDED,
        frames_done=100,
        frames_total=100,
        attempts=1,
    )
    return render_pb2.SceneChanged(scene=scene, progress=progress)


def succeeded(video_object_id: str, thumbnail_object_id: str) -> render_pb2.RenderStateChanged:
    """The video is published."""
    video = render_pb2.RenderedVideo(
        video_object_id=video_object_id,
        thumbnail_object_id=thumbnail_object_id,
        size_bytes=4,
        sha256="a" * 64,
        duration=duration_pb2.Duration(seconds=12, nanos=500_000_000),
        width=1280,
        height=720,
        frame_rate=30.0,
        video_codec="h264",
        frame_count=375,
        title="A title: ½ done?",
        chapters=[
            render_pb2.Chapter(scene_index=0, title="One", kind="bullets", duration=duration_pb2.Duration(seconds=6)),
            render_pb2.Chapter(scene_index=1, title="Two", kind="equation", start=duration_pb2.Duration(seconds=6)),
        ],
    )
    return render_pb2.RenderStateChanged(
        state=render_pb2.RENDER_STATE_SUCCEEDED,
        stage=render_pb2.RENDER_STAGE_PUBLISHING,
        video=video,
        progress=100.0,
    )


def failed(code: str = "SCENE_RENDER_FAILED", *, retryable: bool = True) -> render_pb2.RenderStateChanged:
    """The render gave up in its second scene."""
    error = render_pb2.RenderError(
        code=code,
        message="it broke",
        stage=render_pb2.RENDER_STAGE_RENDERING,
        scene_index=1,
        retryable=retryable,
    )
    return render_pb2.RenderStateChanged(
        state=render_pb2.RENDER_STATE_FAILED, stage=render_pb2.RENDER_STAGE_RENDERING, error=error, progress=50.0
    )


class RenderScript(render_service_pb2_grpc.RenderServiceServicer):
    """`RenderService` whose renders do what the test says."""

    def __init__(self) -> None:
        self.renders: dict[str, ScriptedRender] = {}
        self.autoplay: Callable[[pb.StartRenderRequest], Sequence[Body]] | None = None
        """What a render does at once when it is started."""
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        """How StartRender is answered, instead of being served."""
        self._changed = asyncio.Condition()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; looked at after every call and event."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(condition)

    async def started(self, render_id: str) -> ScriptedRender:
        """The render, once it was asked for."""
        await self.wait_for(lambda: render_id in self.renders)
        return self.renders[render_id]

    async def emit(self, render_id: str, *bodies: Body) -> None:
        """Append events to the render."""
        async with self._changed:
            self._append(self.renders[render_id], bodies)
            self._changed.notify_all()

    async def lose(self) -> None:
        """Lose the database."""
        async with self._changed:
            self.renders.clear()
            self._changed.notify_all()

    def _append(self, render: ScriptedRender, bodies: Sequence[Body]) -> None:
        for body in bodies:
            event = render_pb2.RenderEvent(seq=len(render.events) + 1, render_id=render.request.render_id)
            event.occurred_at.GetCurrentTime()
            getattr(event, _FIELDS[type(body)]).CopyFrom(body)
            render.events.append(event)

    async def StartRender(self, request: pb.StartRenderRequest, context: Any) -> pb.StartRenderResponse:
        """Accept a render."""
        if self.refuse is not None:
            await context.abort(*self.refuse)
        async with self._changed:
            known = self.renders.get(request.render_id)
            if known is None:
                known = self.renders[request.render_id] = ScriptedRender(request)
                self._append(known, self.autoplay(request) if self.autoplay else ())
            else:
                known.starts += 1
            self._changed.notify_all()
        return pb.StartRenderResponse(render=render_pb2.Render(render_id=request.render_id))

    async def DeleteRenders(self, request: pb.DeleteRendersRequest, context: Any) -> pb.DeleteRendersResponse:
        """Forget the renders of a job; tests may still look at them."""
        async with self._changed:
            mine = [render for render in self.renders.values() if render.request.job_id == request.job_id]
            for render in mine:
                if not render.ended:
                    render.cancels += 1
                    self._append(render, [render_pb2.RenderStateChanged(state=render_pb2.RENDER_STATE_CANCELLED)])
                render.forgotten = True
            self._changed.notify_all()
        return pb.DeleteRendersResponse(render_count=len(mine))

    async def CancelRender(self, request: pb.CancelRenderRequest, context: Any) -> pb.CancelRenderResponse:
        """Stop a render."""
        async with self._changed:
            render = self.renders.get(request.render_id)
            if render is not None and render.forgotten:
                render = None
            if render is not None:
                render.cancels += 1
                if not render.ended:
                    self._append(render, [render_pb2.RenderStateChanged(state=render_pb2.RENDER_STATE_CANCELLED)])
                self._changed.notify_all()
        if render is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such render")
        return pb.CancelRenderResponse(render=render_pb2.Render(render_id=request.render_id))

    async def WatchRender(self, request: pb.WatchRenderRequest, context: Any) -> AsyncIterator[pb.WatchRenderResponse]:
        """The events of a render, as they come."""
        render = self.renders.get(request.render_id)
        if render is None or render.forgotten:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such render")
            return
        if request.after_seq > len(render.events):
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, "beyond the newest event")
        position = request.after_seq
        async with self._changed:
            render.watches.append(position)
            self._changed.notify_all()
        while True:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: len(render.events) > position or render.ended  # noqa: B023
                )
            for event in render.events[position:]:
                yield pb.WatchRenderResponse(event=event)
            position = len(render.events)
            if render.ended:
                return


class Objects(object_service_pb2_grpc.ObjectServiceServicer):
    """`ObjectService` as far as the job service calls it."""

    def __init__(self) -> None:
        self.objects: dict[str, object_pb2.Object] = {}
        self.contents: dict[str, bytes] = {}
        self.may_end_reads = asyncio.Event()
        self.may_end_reads.set()
        self.breaks_reads = False
        self.may_delete = asyncio.Event()
        self.may_delete.set()
        self.deleting = asyncio.Event()

    def add(self, object_id: str, owner_id: str, job_id: str, kind: Any, content_type: str) -> None:
        """Store an object's metadata."""
        self.objects[object_id] = object_pb2.Object(
            object_id=object_id,
            owner_id=owner_id,
            job_id=job_id,
            kind=kind,
            key=f"users/{owner_id}/jobs/{job_id}/{object_id}",
            content_type=content_type,
            size_bytes=4,
            sha256="a" * 64,
        )

    async def CreateObjectLocation(
        self, request: object_service_pb2.CreateObjectLocationRequest, context: Any
    ) -> object_service_pb2.CreateObjectLocationResponse:
        """Where an object of the owner can be fetched."""
        found = self.objects.get(request.object_id)
        if found is None or found.owner_id != request.owner_id:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such object")
        assert found is not None
        location = object_pb2.ObjectLocation(
            object_id=found.object_id,
            url=f"https://files.example/{found.object_id}",
            read_ticket=f"ticket-{found.object_id}",
            content_type=found.content_type,
            size_bytes=found.size_bytes,
            etag=found.sha256,
            filename=request.filename,
            inline=request.inline,
            cache_control=request.cache_control,
        )
        location.expires_at.GetCurrentTime()
        location.expires_at.seconds += request.lifetime.seconds
        return object_service_pb2.CreateObjectLocationResponse(location=location)

    async def DeleteJobObjects(
        self, request: object_service_pb2.DeleteJobObjectsRequest, context: Any
    ) -> object_service_pb2.DeleteJobObjectsResponse:
        """Remove the objects of a job."""
        self.deleting.set()
        await self.may_delete.wait()
        place = (request.owner_id, request.job_id)
        gone = [
            item
            for item in self.objects.values()
            if (item.owner_id, item.job_id) == place and (not request.kinds or item.kind in request.kinds)
        ]
        for item in gone:
            del self.objects[item.object_id]
        size = sum(item.size_bytes for item in gone)
        return object_service_pb2.DeleteJobObjectsResponse(object_count=len(gone), total_bytes=size)

    async def ListObjects(
        self, request: object_service_pb2.ListObjectsRequest, context: Any
    ) -> object_service_pb2.ListObjectsResponse:
        """The objects of a job."""
        found = [
            item
            for item in self.objects.values()
            if item.owner_id == request.owner_id and request.job_id in ("", item.job_id)
        ]
        return object_service_pb2.ListObjectsResponse(objects=found)

    async def ReadObject(
        self, request: object_service_pb2.ReadObjectRequest, context: Any
    ) -> AsyncIterator[object_service_pb2.ReadObjectResponse]:
        """The bytes of an object of the owner, or as many of them as the test allows."""
        found = self.objects.get(request.object_id)
        if found is None or found.owner_id != request.owner_id:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such object")
        yield object_service_pb2.ReadObjectResponse(chunk=self.contents[request.object_id])
        await self.may_end_reads.wait()
        if self.breaks_reads:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the store is away")


class Tokens(token_service_pb2_grpc.TokenServiceServicer):
    """`TokenService` as far as services call it."""

    async def GetJwks(
        self, request: token_service_pb2.GetJwksRequest, context: Any
    ) -> token_service_pb2.GetJwksResponse:
        """The public key."""
        document = json.dumps(KeySet([KEY]).as_dict(private=False))
        return token_service_pb2.GetJwksResponse(jwks_json=document)

    async def IssueServiceToken(
        self, request: token_service_pb2.IssueServiceTokenRequest, context: Any
    ) -> token_service_pb2.IssueServiceTokenResponse:
        """A service's token."""
        token, expires = SIGNER.sign(request.service_id, Role.SERVICE, timedelta(minutes=5))
        answer = token_service_pb2.IssueServiceTokenResponse(token=token)
        answer.expires_at.FromDatetime(expires)
        return answer


class Neighbours:
    """The server; stop and start it as often as the test likes, the address stays."""

    def __init__(self) -> None:
        self.renders = RenderScript()  # type: ignore[abstract]
        self.objects = Objects()  # type: ignore[abstract]
        self.credits = ScriptedCredits()  # type: ignore[abstract]
        self.record = Record()  # type: ignore[abstract]
        self.address = "127.0.0.1:0"
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        render_service_pb2_grpc.add_RenderServiceServicer_to_server(self.renders, server)
        object_service_pb2_grpc.add_ObjectServiceServicer_to_server(self.objects, server)
        credit_service_pb2_grpc.add_CreditServiceServicer_to_server(self.credits, server)
        token_service_pb2_grpc.add_TokenServiceServicer_to_server(Tokens(), server)  # type: ignore[abstract]
        self.record.add_to(server)
        self.address = f"127.0.0.1:{server.add_insecure_port(self.address)}"
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Vanish, with every open stream."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
