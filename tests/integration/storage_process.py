"""The storage service in a process of its own, and its commands."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from deploy.local.ports import LOOPBACK
from services.storage.settings import StorageSettings
from t2m.auth.v1 import token_service_pb2
from tests.integration.storage_harness import KEY, Running

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def auth_server() -> AsyncGenerator[str]:
    """Where the public key of the tests' tokens is published, as auth does."""

    async def get_jwks(*_: object) -> token_service_pb2.GetJwksResponse:
        document = {"keys": [KEY.as_dict(private=False)]}
        return token_service_pb2.GetJwksResponse(jwks_json=json.dumps(document))

    handler = grpc.unary_unary_rpc_method_handler(
        get_jwks,
        request_deserializer=token_service_pb2.GetJwksRequest.FromString,
        response_serializer=token_service_pb2.GetJwksResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("t2m.auth.v1.TokenService", {"GetJwks": handler})]
    )
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    yield f"{LOOPBACK}:{port}"
    await server.stop(0)


def environment(settings: StorageSettings, auth_address: str = "") -> dict[str, str]:
    """Of a process with these settings; credentials are those of this process."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("T2M_")},
        "T2M_ENVIRONMENT": "test",
        "T2M_BIND": f"{LOOPBACK}:0",
        "T2M_DATABASE_URL": settings.database_url,
        "T2M_AUTH_ADDRESS": auth_address,
        "T2M_STORAGE_ROOT": str(settings.storage_root),
        "T2M_PUBLIC_URL": settings.public_url,
        "T2M_URL_SIGNING_KEY": settings.url_signing_key.get_secret_value(),
        "T2M_STORAGE_BACKEND": settings.storage_backend,
        "T2M_STORAGE_REGION": settings.storage_region,
        "T2M_STORAGE_ACCOUNT": settings.storage_account,
        "T2M_S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "T2M_S3_PATH_STYLE": str(settings.s3_path_style),
    }


async def command(settings: StorageSettings, auth_address: str, *arguments: str) -> asyncio.subprocess.Process:
    """`python -m services.storage` with these arguments, started."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.storage", *arguments),
        cwd=ROOT,
        env=environment(settings, auth_address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _port(process: asyncio.subprocess.Process) -> int:
    """The port that the process says it serves on."""
    assert process.stdout is not None
    printed: list[str] = []
    async with asyncio.timeout(60):
        async for line in process.stdout:
            printed.append(line.decode())
            if '"event":"serving"' in printed[-1]:
                return int(json.loads(printed[-1])["port"])
    pytest.fail("".join(printed))


@asynccontextmanager
async def serving(
    settings: StorageSettings, auth_address: str
) -> AsyncGenerator[tuple[asyncio.subprocess.Process, Running]]:
    """The service in a process of its own; ended at the latest with the block."""
    process = await command(settings, auth_address)
    channel = None
    try:
        address = f"{LOOPBACK}:{await _port(process)}"
        channel = grpc.aio.insecure_channel(address)
        yield process, Running(settings, channel, address)
    finally:
        if channel is not None:
            await channel.close()
        if process.returncode is None:
            process.kill()
        await process.communicate()
