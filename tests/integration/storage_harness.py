"""A real storage server over a real Postgres and a real folder, and what tests need to call it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from joserfc.jwk import OKPKey

from services.runtime.clock import Clock, SystemClock
from services.runtime.db import create_engine
from services.runtime.errors import RpcFailure, rpc_error_details
from services.runtime.identity import Role
from services.runtime.tokens import StaticKeys, TokenSigner
from services.storage.bootstrap import build_server
from services.storage.settings import StorageSettings
from t2m.storage.v1 import object_pb2, object_service_pb2_grpc
from t2m.storage.v1 import object_service_pb2 as pb
from tests import stack

MIB = 1024 * 1024
DEADLINE_S = 20.0
SIGNING_KEY = "0123456789abcdef0123456789abcdef"
KEY = OKPKey.generate_key("Ed25519", parameters={"kid": "test"}, private=True)


def metadata(role: Role = Role.SERVICE, service: str = "worker") -> tuple[tuple[str, str], ...]:
    """Call metadata with a token for the role; a service's own methods are open to some services only."""
    token, _ = TokenSigner(KEY).sign(service, role, timedelta(days=2))
    return (("authorization", f"Bearer {token}"),)


def as_job() -> tuple[tuple[str, str], ...]:
    """Call metadata of the order service."""
    return metadata(service="job")


def make_settings(database_url: str, root: Path, **overrides: Any) -> StorageSettings:
    """Settings of a server on a free port."""
    values: dict[str, Any] = {
        "environment": "test",
        "database_url": database_url,
        "storage_root": root,
        "public_url": "https://videos.example/",
        "url_signing_key": SIGNING_KEY,
        "shutdown_grace_s": 5.0,
        "sweep_interval_s": 3600.0,
        **overrides,
    }
    return StorageSettings(**values)


@dataclass
class Running:
    """A server that runs, and a stub that calls it with a service token."""

    settings: StorageSettings
    channel: grpc.aio.Channel
    address: str = ""

    def __post_init__(self) -> None:
        self.stub = object_service_pb2_grpc.ObjectServiceStub(self.channel)

    async def write(self, data: bytes, *, chunk_bytes: int = 256 * 1024, **fields: Any) -> object_pb2.Object:
        """Upload the bytes; `fields` replace those of the default header."""

        async def parts() -> AsyncIterator[pb.WriteObjectRequest]:
            yield pb.WriteObjectRequest(header=header(**{"size_bytes": len(data), **fields}))
            for start in range(0, len(data), chunk_bytes):
                yield pb.WriteObjectRequest(chunk=data[start : start + chunk_bytes])

        answer = await self.stub.WriteObject(parts(), metadata=metadata(), timeout=60)
        return answer.object

    async def read(self, call_metadata: Any = None, **fields: Any) -> bytes:
        """Everything that `ReadObject` streams."""
        call = self.stub.ReadObject(
            pb.ReadObjectRequest(**fields), metadata=metadata() if call_metadata is None else call_metadata
        )
        return b"".join([part.chunk async for part in call])

    async def locate(self, object_id: str, owner_id: str = "u1", **fields: Any) -> object_pb2.ObjectLocation:
        """A location of the object."""
        request = pb.CreateObjectLocationRequest(object_id=object_id, owner_id=owner_id, **fields)
        return (await self.stub.CreateObjectLocation(request, metadata=metadata())).location

    async def rows(self) -> list[tuple[str, str]]:
        """State and request id of every row."""
        engine = create_engine(self.settings.database_url, pool_size=1)
        try:
            async with engine.connect() as connection:
                found = await connection.execute(sa.text("SELECT state, request_id FROM objects"))
                return [(row.state, row.request_id) for row in found]
        finally:
            await engine.dispose()

    def files(self) -> list[Path]:
        """Every file under the root; folders may vanish meanwhile, which `os.walk` takes calmly."""
        return [Path(folder, name) for folder, _, names in os.walk(self.settings.storage_root) for name in names]

    async def has_nothing(self) -> bool:
        """Whether neither a row nor a file is left."""
        return not self.files() and not await self.rows()


def header(**fields: Any) -> pb.WriteObjectHeader:
    """A header with sensible values for whatever is not given."""
    values: dict[str, Any] = {
        "request_id": "write-1",
        "owner_id": "u1",
        "job_id": "j1",
        "bucket": object_pb2.BUCKET_VIDEOS,
        "kind": object_pb2.ARTIFACT_KIND_SEGMENT,
        "scene_index": 2,
        "fence": 7,
        "content_type": "video/mp4",
        "filename": "scene.mp4",
        **fields,
    }
    return pb.WriteObjectHeader(**values)


@asynccontextmanager
async def running(
    database_url: str, root: Path, *, clock: Clock | None = None, **overrides: Any
) -> AsyncGenerator[Running]:
    """A migrated, started server in this process."""
    settings = make_settings(database_url, root, **overrides)
    await stack.migrate("storage", settings.database_url)
    server = build_server(settings, clock or SystemClock(), StaticKeys([KEY]))
    await server.start()
    address = f"127.0.0.1:{server.port}"
    channel = grpc.aio.insecure_channel(address)
    try:
        yield Running(settings, channel, address)
    finally:
        await channel.close()
        await server.stop()


async def failure(call: Awaitable[Any]) -> RpcFailure:
    """How the call failed; it must."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return rpc_error_details(caught.value)


async def eventually(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the condition holds; the test fails when it does not within the deadline."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await check():  # noqa: ASYNC110  # the condition lies in another process or on the disk
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within {DEADLINE_S:g} s: {what}")


def sha256(data: bytes) -> str:
    """Lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()
