"""What the gateway serves: every rpc of the stub packages, read from the descriptors once at start-up.

The descriptors are the only route table (DESIGN §2). Nothing here runs per request.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor, ServiceDescriptor

from t2m.common.v1 import options_pb2

STUB_PACKAGES = ("t2m.auth.v1", "t2m.job.v1", "t2m.video_render.v1", "t2m.storage.v1")
"""Stub packages that are searched for services. A new domain is one more line here."""

FILE_RESPONSE_TYPE = "t2m.storage.v1.ObjectLocation"
BODY_TYPE = "google.api.HttpBody"
_BODILESS = frozenset({"GET", "HEAD", "DELETE"})


class CatalogError(Exception):
    """The contract cannot be served as it stands; raised at start-up, never per request."""


@dataclass(frozen=True, slots=True)
class HttpBinding:
    """One `google.api.http` binding of an rpc; `additional_bindings` give one each."""

    verb: str
    template: str
    body: str
    response_body: str


@dataclass(frozen=True, slots=True)
class Rpc:
    """An rpc and everything its options say."""

    descriptor: MethodDescriptor
    bindings: tuple[HttpBinding, ...]
    permission: options_pb2.Permission
    rate_class: int
    extras: options_pb2.HttpExtras

    @property
    def path(self) -> str:
        """`/package.Service/Method`, as gRPC spells it on the wire."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def package(self) -> str:
        """Proto package of the service."""
        package: str = self.descriptor.containing_service.file.package
        return package

    @property
    def input(self) -> Descriptor:
        """What a request is bound to: the request message, or of an upload the header that begins its stream."""
        message: Descriptor = self.descriptor.input_type
        header = message.fields_by_name.get(self.extras.upload.header_field)
        return message if header is None or header.message_type is None else header.message_type

    @property
    def output(self) -> Descriptor:
        """Response (or streamed) message."""
        return self.descriptor.output_type

    @property
    def public(self) -> bool:
        """Whether a caller without a credential passes."""
        return self.permission.access == options_pb2.ACCESS_PUBLIC


def answers_body(rpc: Rpc, binding: HttpBinding) -> bool:
    """Whether the answer, or each message of it, is a body of the rpc's own making."""
    selected = rpc.output
    if binding.response_body and (field := rpc.output.fields_by_name.get(binding.response_body)) is not None:
        selected = field.message_type or selected
    return bool(selected.full_name == BODY_TYPE)


def stub_modules(packages: Iterable[str] = STUB_PACKAGES) -> list[ModuleType]:
    """Import every `*_pb2` module of the packages."""
    modules: list[ModuleType] = []
    for package_name in packages:
        package = importlib.import_module(package_name)
        names = [info.name for info in pkgutil.iter_modules(package.__path__, package_name + ".")]
        modules += [importlib.import_module(name) for name in names if name.endswith("_pb2")]
    return modules


def load_catalog(modules: Iterable[ModuleType]) -> list[Rpc]:
    """Every rpc with an HTTP binding, in the order of the protos.

    Raises CatalogError for an rpc that has no permission option or an HTTP face that cannot be served.
    """
    rpcs: list[Rpc] = []
    for module in modules:
        file: FileDescriptor = module.DESCRIPTOR
        for service in file.services_by_name.values():
            rpcs.extend(_service_rpcs(service))
    return rpcs


def _service_rpcs(service: ServiceDescriptor) -> Iterator[Rpc]:
    for method in service.methods:
        options = method.GetOptions()
        if not options.HasExtension(annotations_pb2.http):
            continue
        rpc = Rpc(
            descriptor=method,
            bindings=tuple(_bindings(options.Extensions[annotations_pb2.http])),
            permission=options.Extensions[options_pb2.permission],
            rate_class=options.Extensions[options_pb2.rate_class],
            extras=options.Extensions[options_pb2.http_extras],
        )
        _check(rpc)
        yield rpc


def _bindings(rule: http_pb2.HttpRule, *, nested: bool = False) -> Iterator[HttpBinding]:
    if nested and rule.additional_bindings:
        raise CatalogError("google.api.http: additional_bindings within additional_bindings")
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise CatalogError("google.api.http without a pattern")
    if kind == "custom":
        verb, template = rule.custom.kind.upper(), rule.custom.path
    else:
        verb, template = kind.upper(), getattr(rule, kind)
    if rule.body and verb in _BODILESS:
        raise CatalogError(f"{verb} {template}: content of {verb} has no meaning (RFC 9110 section 9.3)")
    yield HttpBinding(verb, template, rule.body, rule.response_body)
    for extra in rule.additional_bindings:
        yield from _bindings(extra, nested=True)


def _check(rpc: Rpc) -> None:
    method = rpc.descriptor
    if rpc.permission.access == options_pb2.ACCESS_UNSPECIFIED:
        raise CatalogError(f"{method.full_name}: no permission option")
    if method.client_streaming != rpc.extras.HasField("upload"):
        raise CatalogError(f"{method.full_name}: http_extras.upload belongs to client streams, and only there")
    if method.client_streaming:
        _check_upload(rpc)
    if method.server_streaming and any(answers_body(rpc, binding) for binding in rpc.bindings):
        return
    if method.server_streaming != rpc.extras.HasField("event_stream"):
        raise CatalogError(f"{method.full_name}: http_extras.event_stream belongs to server streams, and only there")


def _check_upload(rpc: Rpc) -> None:
    method, upload = rpc.descriptor, rpc.extras.upload
    header = method.input_type.fields_by_name.get(upload.header_field)
    chunk = method.input_type.fields_by_name.get(upload.chunk_field)
    if header is None or header.message_type is None or chunk is None or chunk.type != FieldDescriptor.TYPE_BYTES:
        raise CatalogError(f"{method.full_name}: http_extras.upload names a message field and a bytes field")
    if method.server_streaming or any(binding.body for binding in rpc.bindings):
        raise CatalogError(f"{method.full_name}: an upload has one answer, and no other body than its bytes")
