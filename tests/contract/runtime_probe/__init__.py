"""A small gRPC service of the tests' own, behind the real server: every kind of call and of caller."""

from __future__ import annotations

import asyncio
import importlib
import importlib.resources
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import grpc
from grpc_tools import protoc
from joserfc.jwk import OKPKey

from services.runtime import tokens
from services.runtime.audit import AuditJournal
from services.runtime.errors import ErrorSpec, ErrorTable
from services.runtime.identity import Role, current_drain, current_principal, current_request_id
from services.runtime.server import BackgroundTask, ServiceServer, until_drained
from services.runtime.settings import ServiceSettings
from t2m.common.v1.error_reason_pb2 import ErrorReason
from tests.fakes.audit import MemoryAudit

_HERE = Path(__file__).parent
_PROTOS = _HERE.parents[2] / "protos"


def _compile() -> tuple[Any, Any]:
    out = tempfile.mkdtemp(prefix="t2m-probe-")
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    paths = [f"-I{_HERE}", f"-I{_PROTOS}", f"-I{well_known}"]
    outputs = [f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main(["protoc", *paths, *outputs, "t2m_probe.proto"]) == 0
    sys.path.insert(0, out)
    return importlib.import_module("t2m_probe_pb2"), importlib.import_module("t2m_probe_pb2_grpc")


pb, pb_grpc = _compile()
SERVICE = "t2m.probe.v1.ProbeService"


class MissingError(Exception):
    """A domain error of the probe that the table maps."""


class ThrottledError(Exception):
    """A domain error that says when to come back and what was wrong."""

    retry_after = timedelta(seconds=7)
    field_violations = (("text", "is too popular"),)
    metadata: ClassVar = {"limit": "10"}


TABLE = ErrorTable(
    {
        MissingError: ErrorSpec(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_NOT_FOUND),
        ThrottledError: ErrorSpec(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_RATE_LIMITED),
    }
)
RAISED: dict[str, Callable[[], BaseException]] = {
    "missing": lambda: MissingError("no such probe"),
    "throttled": lambda: ThrottledError("slow down"),
    "bug": lambda: KeyError("password=hunter2"),
    "refused": lambda: ConnectionRefusedError(111, "refused"),
}


class Probe(pb_grpc.ProbeServiceServicer):  # type: ignore[misc, name-defined]
    """Echoes; a text named in `RAISED` raises; `hold` waits until the server drains."""

    def __init__(self) -> None:
        self.opened: int = 0
        self.closed: int = 0

    def _answer(self, request: Any) -> Any:
        if request.text in RAISED:
            raise RAISED[request.text]()
        try:
            subject = current_principal().subject
        except LookupError:
            subject = ""
        return pb.EchoResponse(text=request.text, subject=subject, request_id=current_request_id())

    async def Echo(self, request: Any, context: Any) -> Any:
        return self._answer(request)

    Open = Administer = Internal = Echo

    async def EchoStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.opened += 1
        try:
            yield pb.EchoResponse(text="first", request_id=current_request_id())
            if request.text == "hold":
                async for number in until_drained(_forever(), current_drain()):
                    yield pb.EchoResponse(text=str(number))
                yield pb.EchoResponse(text="cursor")
                return
            yield self._answer(request)
        finally:
            self.closed += 1

    async def Collect(self, request_iterator: Any, context: Any) -> Any:
        texts = [self._answer(request).text async for request in request_iterator]
        return pb.EchoResponse(text="+".join(texts), subject=current_principal().subject)

    async def Chat(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        async for request in request_iterator:
            yield self._answer(request)


async def _forever() -> AsyncIterator[int]:
    """One item, then silence."""
    yield 1
    await asyncio.Event().wait()


@dataclass
class Running:
    """A started server and what is needed to call it."""

    server: ServiceServer
    probe: Probe
    signer: tokens.TokenSigner
    settings: ServiceSettings
    audit: MemoryAudit
    channel: grpc.aio.Channel = field(init=False)
    stub: Any = field(init=False)

    def __post_init__(self) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.stub = pb_grpc.ProbeServiceStub(self.channel)

    def metadata(self, role: Role = Role.USER, *, scopes: list[str] | None = None, **more: str) -> Any:
        """Call metadata with a token for `role`."""
        token, _ = self.signer.sign("job" if role is Role.SERVICE else "ada", role, timedelta(minutes=5), scopes)
        extra = tuple((key.replace("_", "-"), value) for key, value in more.items())
        return (("authorization", f"Bearer {token}"), *extra)


@asynccontextmanager
async def running(
    *,
    settings: ServiceSettings | None = None,
    background: tuple[BackgroundTask, ...] = (),
    on_close: Any = None,
    verifier: tokens.TokenVerifier | None = None,
) -> AsyncIterator[Running]:
    """The probe behind the real server on a free port."""
    key = OKPKey.generate_key("Ed25519", parameters={"kid": "test"}, private=True)
    probe = Probe()

    def add(server: grpc.aio.Server) -> list[str]:
        pb_grpc.add_ProbeServiceServicer_to_server(probe, server)
        return [SERVICE]

    settings = settings or ServiceSettings(environment="test", shutdown_grace_s=5)
    audit = MemoryAudit()
    server = ServiceServer(
        settings,
        table=TABLE,
        verifier=verifier or tokens.TokenVerifier(tokens.StaticKeys([key])),
        add_services=add,
        background=background,
        on_close=on_close,
        audit=AuditJournal("probe", audit),
    )
    await server.start()
    handle = Running(server, probe, tokens.TokenSigner(key), settings, audit)
    try:
        yield handle
    finally:
        await handle.channel.close()
        await server.stop()
