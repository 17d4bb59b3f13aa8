"""A gRPC server of tests/fakes/protos/transcoding.proto: it says what reached it, or gives it back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import any_pb2, empty_pb2, message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2

from tests.fakes.contracts import modules

Handler = Callable[[Any, Any], Awaitable[Any]]


class EchoBackend:
    """Started on a free port of the loopback."""

    def __init__(self) -> None:
        self.port = 0
        self.waiting = asyncio.Event()
        """Somebody waits for an answer that never comes."""
        self.left = asyncio.Event()
        """Whoever waited was cancelled, or its time was up."""
        self.metadata: dict[str, str] = {}
        """Of the last call of `ShowMetadata`."""
        self.deadline_s: float | None = None
        """Time that the last `Wait` was given."""
        self._server: grpc.aio.Server

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        self._server = grpc.aio.server()
        services = modules()["transcoding"].DESCRIPTOR.services_by_name.values()
        self._server.add_generic_rpc_handlers(tuple(self._handlers(service) for service in services))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def stop(self) -> None:
        """Stop at once."""
        await self._server.stop(0)

    def _handlers(self, service: ServiceDescriptor) -> grpc.GenericRpcHandler:
        answers: dict[str, Handler] = {
            "Show": _same,
            "ShowParcel": _same,
            "ShowNothing": _same,
            "ShowDish": _wrapped,
            "ShowFile": _file,
            "ShowWrappedFile": _wrapped_file,
            "Fail": _fail,
            "Wait": self._wait,
            "ShowMetadata": self._show_metadata,
        }
        return grpc.method_handlers_generic_handler(
            service.full_name,
            {
                method.name: grpc.unary_unary_rpc_method_handler(
                    answers.get(method.name) or _bound(method),
                    request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
                    response_serializer=_serialised,
                )
                for method in service.methods
            },
        )

    async def _wait(self, _request: Any, context: Any) -> Any:
        self.deadline_s = context.time_remaining()
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()

    async def _show_metadata(self, _request: Any, context: Any) -> Any:
        self.metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        await context.send_initial_metadata((("retry-after", "7"), ("x-internal-hint", "secret")))
        return modules()["transcoding"].Metadata(values=self.metadata)


def _bound(method: MethodDescriptor) -> Handler:
    answer = message_factory.GetMessageClass(method.output_type)

    async def handler(request: Any, _context: Any) -> Any:
        return answer(rpc=method.name, message=request.SerializeToString(deterministic=True).hex())

    return handler


def _serialised(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


async def _same(request: Any, _context: Any) -> Any:
    return request


async def _wrapped(request: Any, _context: Any) -> Any:
    return modules()["transcoding"].Shown(dish=request, texts=request.texts)


async def _file(request: Any, _context: Any) -> Any:
    return httpbody_pb2.HttpBody(content_type="text/csv", data=request.text.encode())


async def _wrapped_file(request: Any, context: Any) -> Any:
    return modules()["transcoding"].WrappedFile(content=await _file(request, context))


async def _fail(request: Any, context: Any) -> Any:
    """As the services do: with a reason of our domain. Code 0 answers what is no message."""
    if not request.code:
        return b"\xff"
    [code] = [code for code in grpc.StatusCode if code.value[0] == request.code]
    status = status_pb2.Status(code=request.code, message="as asked")
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="AS_ASKED", domain="t2m"))
    status.details.append(detail)
    await context.abort(code, "as asked", (("grpc-status-details-bin", status.SerializeToString()),))
    return empty_pb2.Empty()
