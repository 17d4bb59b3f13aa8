"""Composes the wrapper of each method, for the four kinds of calls.

One interceptor with one wrapper per method, instead of a chain of interceptors: each layer of grpc.aio's
chain would add a coroutine and a new handler object to every call. Concerns live in their own modules; this
one only orders them: request id, permission, validation, the handler, errors, and at the end metrics and the
access log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc
import structlog
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

from services.runtime.authorization import EXEMPT_SERVICES, MethodRule
from services.runtime.interceptors.auditing import audit_methods
from services.runtime.interceptors.method import Collaborators, Context, ServedCall, ServedMethod
from services.runtime.validation import compile_message

_log = structlog.get_logger(__name__)


class CallPipeline(grpc.aio.ServerInterceptor):
    """The only interceptor of a server."""

    def __init__(self, shared: Collaborators) -> None:
        self._shared = shared
        self._methods: dict[str, ServedMethod] = {}
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def compile(self, rules: Mapping[str, MethodRule]) -> None:
        """Prepare the methods of these rules; any other is answered with UNIMPLEMENTED.

        Raises ContractError when a validation rule of a request makes no sense, or a method is to be audited and
        there is no journal.
        """
        descriptors = {path: _method(path) for path in rules}
        audits = audit_methods(descriptors, self._shared.journal)
        for path, rule in rules.items():
            check = compile_message(descriptors[path].input_type)
            self._methods[path] = ServedMethod(rule, check, self._shared, audits.get(path))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The wrapped handler of the called method; None makes grpc answer UNIMPLEMENTED."""
        path = handler_call_details.method
        wrapped = self._wrapped.get(path)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or path[1:].partition("/")[0] in EXEMPT_SERVICES:
            return handler
        method = self._methods.get(path)
        if method is None:  # registered but not named by `add_services`: not served without a rule
            _log.error("method without a rule is not served", method=path)
            return None
        wrapped = self._wrapped[path] = wrap(method, handler)
        return wrapped


def _method(path: str) -> MethodDescriptor:
    service, _, name = path[1:].partition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]


def wrap(method: ServedMethod, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler with everything around it that a call of the method needs."""
    coders = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.request_streaming and handler.response_streaming:
        behaviour = _stream_stream(method, handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(behaviour, **coders)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(_stream_unary(method, handler.stream_unary), **coders)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(_unary_stream(method, handler.unary_stream), **coders)
    return grpc.unary_unary_rpc_method_handler(_unary_unary(method, handler.unary_unary), **coders)


def _unary_unary(method: ServedMethod, handler: Any) -> Any:
    async def serve(request: Any, context: Context) -> Any:
        call = ServedCall(method, context, request)
        try:
            await call.admit(streaming=False)
            method.validate(request)
            return await call.succeed(await handler(request, context))
        except BaseException as exc:
            await call.fail(exc)
        finally:
            call.end()

    return serve


def _stream_unary(method: ServedMethod, handler: Any) -> Any:
    async def serve(requests: AsyncIterator[Any], context: Context) -> Any:
        call = ServedCall(method, context)
        try:
            await call.admit(streaming=False)
            with call.cut_when_revoked():
                answer = await handler(call.requests(requests), context)
            return await call.succeed(answer)
        except BaseException as exc:
            await call.fail(exc)
        finally:
            call.end()

    return serve


def _unary_stream(method: ServedMethod, handler: Any) -> Any:
    async def serve(request: Any, context: Context) -> None:
        call = ServedCall(method, context, request)
        try:
            await call.admit(streaming=True)
            method.validate(request)
            with call.cut_when_revoked():
                await _send(call, handler(request, context), context)
        except BaseException as exc:
            await call.fail(exc)
        finally:
            call.end()

    return serve


def _stream_stream(method: ServedMethod, handler: Any) -> Any:
    async def serve(requests: AsyncIterator[Any], context: Context) -> None:
        call = ServedCall(method, context)
        try:
            await call.admit(streaming=True)
            with call.cut_when_revoked():
                await _send(call, handler(call.requests(requests), context), context)
        except BaseException as exc:
            await call.fail(exc)
        finally:
            call.end()

    return serve


async def _send(call: ServedCall, responses: Any, context: Context) -> None:
    """Iterate the handler here, so that its errors are mapped and its clean-up runs before the call ends.

    (Handing the generator on to grpc would leave it suspended until garbage collection when the client goes
    away.)
    """
    async with aclosing(responses) as stream:
        async for response in stream:
            if not call.sent:
                await call.succeed(response)
            await context.write(response)
            call.sent += 1
    await call.succeed()
