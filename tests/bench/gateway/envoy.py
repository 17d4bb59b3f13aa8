"""Envoy as a gateway: `grpc_json_transcoder` with our descriptors. The peer of `unary.py`.

One worker, no access log, no admin port, no request ids, no tracing; connections to the backend are kept. It translates
and no more: callers, limits, log lines and metrics by route are the gateway's alone, so clients send it the internal
token that the gateway would exchange their credential for.
"""

from __future__ import annotations

import base64
import json
import shutil
import sysconfig
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from t2m.job.v1 import job_service_pb2

SERVICES = ("t2m.job.v1.JobService",)
_TYPES = "type.googleapis.com/envoy.extensions"


def command(port: int, backend: int) -> list[str]:
    """The command line of an Envoy that listens on `port` in front of the backend."""
    binary = shutil.which("envoy", path=sysconfig.get_path("scripts")) or "envoy"
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "off"]
    return [binary, "--config-yaml", json.dumps(configuration(port, backend)), *options]


def configuration(port: int, backend: int) -> dict[str, Any]:
    """Its bootstrap, as Envoy's v3 API writes it."""
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "rest",
                    "address": _socket(port),
                    "filter_chains": [{"filters": [_filter("network", "http_connection_manager", **_http())]}],
                }
            ],
            "clusters": [_cluster(backend)],
        }
    }


def descriptor_set(*files: FileDescriptor) -> bytes:
    """The files and everything that they import, each after its imports, as protoc would write them."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in found:
            return
        for imported in file.dependencies:
            add(imported)
        proto = found[file.name] = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        for service in proto.service:
            for method in service.method:
                # Envoy starts with none: it answers the whole message, `{"job": …}`.
                method.options.Extensions[annotations_pb2.http].ClearField("response_body")

    for file in files:
        add(file)
    return descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString()


def _http() -> dict[str, Any]:
    return {
        "stat_prefix": "rest",
        "codec_type": "HTTP1",
        "generate_request_id": False,
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
            _filter("http", "grpc_json_transcoder", **_transcoder()),
            _filter("http", "router", dynamic_stats=False, suppress_envoy_headers=True),
        ],
    }


def _transcoder() -> dict[str, Any]:
    return {
        "proto_descriptor_bin": base64.b64encode(descriptor_set(job_service_pb2.DESCRIPTOR)).decode(),
        "services": list(SERVICES),
        "print_options": {"preserve_proto_field_names": True, "always_print_primitive_fields": True},
    }


def _cluster(backend: int) -> dict[str, Any]:
    protocol = f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": "backend",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            protocol.rpartition("/")[2].removeprefix("type.googleapis.com/"): {
                "@type": protocol,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(backend)}}]}],
        },
    }


def _filter(layer: str, name: str, **options: Any) -> dict[str, Any]:
    messages = {
        "http_connection_manager": "HttpConnectionManager",
        "grpc_json_transcoder": "GrpcJsonTranscoder",
        "router": "Router",
    }
    kind = f"{_TYPES}.filters.{layer}.{name}.v3.{messages[name]}"
    return {"name": f"envoy.filters.{layer}.{name}", "typed_config": {"@type": kind, **options}}


def _socket(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
