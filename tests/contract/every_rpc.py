"""Every rpc there is, behind the real server, with handlers that only note that they were reached.

The rpcs come from the descriptors of all stubs, so a new one takes part by itself.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from joserfc.jwk import OKPKey

import t2m
from services.runtime.audit import AuditJournal
from services.runtime.errors import ErrorTable
from services.runtime.identity import Role
from services.runtime.server import ServiceServer
from services.runtime.settings import ServiceSettings
from services.runtime.tokens import StaticKeys, TokenSigner, TokenVerifier
from t2m.common.v1 import options_pb2
from tests.fakes.audit import MemoryAudit

REACHED = "reached"


def all_services() -> list[ServiceDescriptor]:
    """Every service of every stub module."""
    found: list[ServiceDescriptor] = []
    for module in pkgutil.walk_packages(t2m.__path__, "t2m."):
        if module.name.endswith("_pb2"):
            found.extend(importlib.import_module(module.name).DESCRIPTOR.services_by_name.values())
    return found


METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method for service in all_services() for method in service.methods
}


def valid_request(descriptor: Descriptor) -> Message:
    """The smallest message that keeps its rules, so that a call gets past validation to the handler."""
    message: Message = GetMessageClass(descriptor)()
    for each in descriptor.fields:
        rules = each.GetOptions().Extensions[options_pb2.rules]
        if rules.required or rules.min_items:
            value = _value(each, rules)
            if each.is_repeated:
                getattr(message, each.name).append(value)
            elif each.message_type is not None:
                getattr(message, each.name).CopyFrom(value)
            else:
                setattr(message, each.name, value)
    return message


def _value(each: FieldDescriptor, rules: options_pb2.FieldRules) -> Any:
    if each.message_type is not None:
        return valid_request(each.message_type)
    if each.cpp_type == FieldDescriptor.CPPTYPE_STRING and each.type != FieldDescriptor.TYPE_BYTES:
        if rules.example:
            return json.loads(rules.example)
        formats = {"uuid": "01a1fb85-4555-748c-b96c-e00eee985b36", "email": "a@b.cd", "uri": "https://a.b/"}
        return formats.get(rules.format) or next(iter(getattr(rules, "in")), "x" * max(rules.min_len, 1))
    if each.type == FieldDescriptor.TYPE_BYTES:
        return b"x"
    return max(1, int(rules.gte))


@dataclass
class Deployment:
    """One server that serves every rpc with a handler that notes that it was reached."""

    channel: grpc.aio.Channel
    signer: TokenSigner
    address: str
    audit: MemoryAudit
    reached: list[str] = field(default_factory=list)

    def token(self, subject: str, role: Role, scopes: Sequence[str] | None = None) -> str:
        """A genuine token."""
        return self.signer.sign(subject, role, timedelta(minutes=5), scopes)[0]

    async def outcome(self, path: str, token: str | None, channel: grpc.aio.Channel | None = None) -> str:
        """`reached`, or the code with which the call ends before that."""
        self.reached.clear()
        metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
        code = ""
        try:
            await _call(channel or self.channel, path, metadata)
        except grpc.aio.AioRpcError as exc:
            code = exc.code().name
        assert self.reached == ([] if code else [path])
        return code or REACHED

    async def send(self, path: str, request: Message, token: str) -> None:
        """Make a call with just this request, whatever becomes of it."""
        with suppress(grpc.aio.AioRpcError):
            await _call(self.channel, path, (("authorization", f"Bearer {token}"),), request)


async def _call(channel: grpc.aio.Channel, path: str, metadata: Any, request: Any = None) -> None:
    method = METHODS[path]
    coders = {
        "request_serializer": lambda message: message.SerializeToString(),
        "response_deserializer": GetMessageClass(method.output_type).FromString,
    }
    request = valid_request(method.input_type) if request is None else request
    if method.client_streaming:
        request = _once(request)
    kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}"
    call = getattr(channel, kind)(path, **coders)(request, metadata=metadata, timeout=10)
    if method.server_streaming:
        async for _ in call:
            pass
    else:
        await call


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"


async def _once(message: Message) -> AsyncIterator[Message]:
    yield message


def _handler(path: str, method: MethodDescriptor, reached: list[str]) -> grpc.RpcMethodHandler[Any, Any]:
    answer = GetMessageClass(method.output_type)()

    async def unary(_request: Any, _context: Any) -> Any:
        reached.append(path)
        return answer

    async def stream(_request: Any, _context: Any) -> AsyncIterator[Any]:
        reached.append(path)
        yield answer

    kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}_rpc_method_handler"
    handler: grpc.RpcMethodHandler[Any, Any] = getattr(grpc, kind)(
        stream if method.server_streaming else unary,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    return handler


def _add_all(reached: list[str], server: grpc.aio.Server) -> Sequence[str]:
    names = []
    for service in all_services():
        handlers = {
            method.name: _handler(f"/{service.full_name}/{method.name}", method, reached) for method in service.methods
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
        names.append(service.full_name)
    return names


@asynccontextmanager
async def deployment(
    settings: ServiceSettings | None = None, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Deployment]:
    """All rpcs of all services behind the real interceptors; `credentials` are the client's, where there is TLS."""
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    reached: list[str] = []
    audit = MemoryAudit()
    server = ServiceServer(
        settings or ServiceSettings(environment="test"),
        table=ErrorTable(),
        verifier=TokenVerifier(StaticKeys([key])),
        add_services=partial(_add_all, reached),
        audit=AuditJournal("every", audit),
    )
    await server.start()
    address = f"127.0.0.1:{server.port}"
    opened = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
    async with opened as channel:
        yield Deployment(channel, TokenSigner(key), address, audit, reached)
    await server.stop()
