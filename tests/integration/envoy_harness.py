"""A real Envoy with `grpc_json_transcoder` on a socket in a folder: the peer of the gateway's transcoding."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from google.api import annotations_pb2
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.rpc import error_details_pb2

_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_START_S = 20.0


@contextlib.asynccontextmanager
async def running_envoy(file: FileDescriptor, backend_port: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an Envoy that transcodes all services of `file` for the backend; one worker, no hot restart.

    It waits for `GET /v1/shown/nothing`, whatever the answer.
    """
    with tempfile.TemporaryDirectory(prefix="t2m-envoy-") as folder:  # Short: the path of a socket has 100 bytes.
        socket = Path(folder, "envoy.sock")
        config = json.dumps(_bootstrap(socket, file, backend_port))
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        binary = shutil.which("envoy", path=sysconfig.get_path("scripts")) or "envoy"
        process = await asyncio.create_subprocess_exec(binary, "--config-yaml", config, *options)
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


def descriptor_set(file: FileDescriptor) -> bytes:
    """The file and all that it imports, each after its imports.

    Without the `response_body` that Envoy refuses to start with: it knows it of `google.api.HttpBody` only.
    """
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(one: FileDescriptor) -> None:
        if one.name in found:
            return
        for imported in one.dependencies:
            add(imported)
        proto = found[one.name] = descriptor_pb2.FileDescriptorProto()
        one.CopyToProto(proto)
        for service, described in zip(proto.service, one.services_by_name.values(), strict=True):
            for method, original in zip(service.method, described.methods, strict=True):
                rule = method.options.Extensions[annotations_pb2.http]
                for binding in (rule, *rule.additional_bindings):
                    if not _selects_a_file(original, binding.response_body):
                        binding.response_body = ""

    add(file)
    add(error_details_pb2.DESCRIPTOR)  # For the details of errors.
    return descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString()


def _selects_a_file(method: MethodDescriptor, name: str) -> bool:
    field = method.output_type.fields_by_name.get(name)
    return (
        field is not None
        and field.message_type is not None
        and field.message_type.full_name == HttpBody.DESCRIPTOR.full_name
    )


def _bootstrap(socket: Path, file: FileDescriptor, backend_port: int) -> dict[str, Any]:
    transcoder = {
        "proto_descriptor_bin": base64.b64encode(descriptor_set(file)).decode(),
        "services": [service.full_name for service in file.services_by_name.values()],
        # As near to the gateway as its options go: what differs now does so by construction.
        "print_options": {"preserve_proto_field_names": True, "always_print_primitive_fields": True},
        "convert_grpc_status": True,
        "url_unescape_spec": "ALL_CHARACTERS_EXCEPT_SLASH",
        "query_param_unescape_plus": True,
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }
    manager = {
        "stat_prefix": "rest",
        "codec_type": "HTTP1",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "backend",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "15s"}}],
                }
            ]
        },
        "http_filters": [
            _filter("http", "grpc_json_transcoder", "GrpcJsonTranscoder", transcoder),
            _filter("http", "router", "Router", {}),
        ],
    }
    http = _filter("network", "http_connection_manager", "HttpConnectionManager", manager)
    listener = {
        "name": "rest",
        "address": {"pipe": {"path": str(socket)}},
        "filter_chains": [{"filters": [http]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(backend_port)]}}


def _cluster(port: int) -> dict[str, Any]:
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {"@type": f"type.googleapis.com/{protocol}", "explicit_http_config": {"http2_protocol_options": {}}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": "backend",
        "type": "STATIC",
        "typed_extension_protocol_options": {protocol: options},
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _filter(layer: str, name: str, message: str, options: dict[str, Any]) -> dict[str, Any]:
    kind = f"{_EXTENSIONS}.filters.{layer}.{name}.v3.{message}"
    return {"name": f"envoy.filters.{layer}.{name}", "typed_config": {"@type": kind, **options}}
