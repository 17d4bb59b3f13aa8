"""A real Envoy with `grpc_json_transcoder` on a socket in a folder: the peer of the gateway's transcoding."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2

from tests.envoy import Peer

_START_S = 20.0
_AS_NEAR_AS_IT_GOES = {
    "convert_grpc_status": True,
    "url_unescape_spec": "ALL_CHARACTERS_EXCEPT_SLASH",
    "query_param_unescape_plus": True,
    "request_validation_options": {
        "reject_unknown_method": True,
        "reject_unknown_query_parameters": True,
        "reject_binding_body_field_collisions": True,
    },
}
"""To the gateway: what differs now does so by construction."""


@contextlib.asynccontextmanager
async def running_envoy(file: FileDescriptor, backend_port: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an Envoy that transcodes all services of `file` for the backend; one worker, no hot restart.

    It waits for `GET /v1/shown/nothing`, whatever the answer.
    """
    with tempfile.TemporaryDirectory(prefix="t2m-envoy-") as folder:  # Short: the path of a socket has 100 bytes.
        socket = Path(folder, "envoy.sock")
        services = [service.full_name for service in file.services_by_name.values()]
        files = (file, error_details_pb2.DESCRIPTOR)  # The latter for the details of errors.
        peer = Peer(files, services, backend_port, transcoder=_AS_NEAR_AS_IT_GOES)
        process = await asyncio.create_subprocess_exec(*peer.command(socket, "error"))
        try:
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
            async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=20) as client:
                async with asyncio.timeout(_START_S):
                    while not await _answers(client):
                        assert process.returncode is None, "Envoy ended; it says why on stderr"
                        await asyncio.sleep(0.02)
                yield client
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        await client.get("/v1/shown/nothing")
    except httpx.TransportError:
        return False
    return True
