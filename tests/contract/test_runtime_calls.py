"""The four kinds of calls through the real server: identity, permission, validation, errors, request ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import grpc
import pytest
import structlog
from prometheus_client import REGISTRY

from services.runtime.errors import RpcFailure, rpc_error_details
from services.runtime.identity import Role
from t2m.job.v1 import storyboard_service_pb2, storyboard_service_pb2_grpc
from t2m.video_render.v1 import storyboard_pb2
from tests.contract.every_rpc import deployment
from tests.contract.runtime_probe import SERVICE, Running, pb, pb_grpc, running


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as started:
        yield started


async def _each(*texts: str) -> AsyncIterator[Any]:
    for text in texts:
        yield pb.EchoRequest(text=text)


async def _unary(server: Running, text: str, metadata: Any) -> Any:
    return await server.stub.Echo(pb.EchoRequest(text=text), metadata=metadata)


async def _server_stream(server: Running, text: str, metadata: Any) -> Any:
    call = server.stub.EchoStream(pb.EchoRequest(text=text), metadata=metadata)
    return [message async for message in call][-1]


async def _client_stream(server: Running, text: str, metadata: Any) -> Any:
    return await server.stub.Collect(_each(text), metadata=metadata)


async def _both_streams(server: Running, text: str, metadata: Any) -> Any:
    """By the blocking client: grpc.aio's forgets the status of a call that ends while it is writing."""

    def call() -> Any:
        with grpc.insecure_channel(f"127.0.0.1:{server.server.port}") as channel:
            requests = [pb.EchoRequest(text=each) for each in ("hello", text)]
            return list(pb_grpc.ProbeServiceStub(channel).Chat(iter(requests), metadata=metadata))[-1]

    return await asyncio.to_thread(call)


Kind = Callable[[Running, str, Any], Awaitable[Any]]
KINDS = [_unary, _server_stream, _client_stream, _both_streams]
every_kind = pytest.mark.parametrize("call", KINDS, ids=[kind.__name__ for kind in KINDS])


async def _failure(call: Awaitable[Any]) -> RpcFailure:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return rpc_error_details(cast(grpc.aio.AioRpcError, caught.value))


@every_kind
async def test_a_permitted_call_answers(server: Running, call: Kind) -> None:
    assert (await call(server, "hello", server.metadata())).text == "hello"


@every_kind
async def test_without_a_credential(server: Running, call: Kind) -> None:
    failure = await _failure(call(server, "hello", ()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")


@every_kind
async def test_with_a_bad_credential(server: Running, call: Kind) -> None:
    for value in ("Basic abc", "Bearer", "Bearer nonsense", "Bearer a.b.c"):
        failure = await _failure(call(server, "hello", (("authorization", value),)))
        assert failure.code is grpc.StatusCode.UNAUTHENTICATED
        assert failure.reason == "CREDENTIAL_INVALID", value


@every_kind
async def test_an_invalid_message_names_its_field(server: Running, call: Kind) -> None:
    failure = await _failure(call(server, "x" * 21, server.metadata()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert failure.violations == (("text", "must have at most 20 characters"),)


async def test_nested_violations_carry_their_path(server: Running) -> None:
    request = pb.EchoRequest(parts=[pb.Part(name="ok"), pb.Part(name="NOT")])
    failure = await _failure(server.stub.Echo(request, metadata=server.metadata()))
    assert failure.violations == (("text", "must be set"), ("parts[1].name", "must match [a-z]+"))


@every_kind
async def test_a_domain_error_is_mapped(server: Running, call: Kind) -> None:
    failure = await _failure(call(server, "missing", server.metadata()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert failure.message == "no such probe"


@every_kind
async def test_details_travel_with_the_error(server: Running, call: Kind) -> None:
    failure = await _failure(call(server, "throttled", server.metadata()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert failure.violations == (("text", "is too popular"),)
    assert failure.retry_after is not None
    assert failure.retry_after.total_seconds() == 7
    assert failure.metadata == {"limit": "10"}


@every_kind
async def test_a_bug_shows_nothing_of_itself(server: Running, call: Kind) -> None:
    with structlog.testing.capture_logs() as logs:
        failure = await _failure(call(server, "bug", server.metadata()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert failure.message == "internal error"
    assert any(line["event"] == "unhandled exception" and line["exc_info"] for line in logs)


async def test_a_lost_dependency_is_unavailable_with_a_delay(server: Running) -> None:
    failure = await _failure(_unary(server, "refused", server.metadata()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert failure.retry_after is not None


CALLERS = [Role.ADMIN, Role.USER, Role.READONLY, Role.SERVICE]
ALLOWED = {
    "Echo": [Role.ADMIN, Role.USER, Role.READONLY],
    "Open": CALLERS,
    "Collect": [Role.ADMIN, Role.USER],
    "Administer": [Role.ADMIN],
    "Internal": [Role.SERVICE],
}


@pytest.mark.parametrize("role", CALLERS)
@pytest.mark.parametrize("method", list(ALLOWED))
async def test_permission_by_role(server: Running, method: str, role: Role) -> None:
    request: Any = _each("hello") if method == "Collect" else pb.EchoRequest(text="hello")
    call = getattr(server.stub, method)(request, metadata=server.metadata(role))
    if role in ALLOWED[method]:
        assert (await call).text == "hello"
    else:
        failure = await _failure(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_a_restricted_credential_needs_the_scope(server: Running) -> None:
    assert (await _unary(server, "hi", server.metadata(scopes=["probe:read"]))).text == "hi"
    failure = await _failure(_unary(server, "hi", server.metadata(scopes=["probe:write"])))
    assert failure.code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_public_method_has_no_principal(server: Running) -> None:
    answer = await server.stub.Open(pb.EchoRequest(text="hi"), metadata=server.metadata())
    assert answer.subject == ""


async def test_the_request_id_is_taken_over(server: Running) -> None:
    answer = await _unary(server, "hi", server.metadata(x_request_id="from-the-gateway-1"))
    assert answer.request_id == "from-the-gateway-1"


@pytest.mark.parametrize("sent", ["short", "x" * 200, "has spaces in it", 'quote"quote"'])
async def test_a_strange_request_id_is_replaced_and_echoed(server: Running, sent: str) -> None:
    call = server.stub.Echo(pb.EchoRequest(text="hi"), metadata=server.metadata(x_request_id=sent))
    echoed = (await call.initial_metadata())["x-request-id"]
    assert echoed == (await call).request_id
    assert echoed != sent


async def test_streams_echo_the_request_id_first(server: Running) -> None:
    metadata = server.metadata(x_request_id="from-the-gateway-2")
    call = server.stub.EchoStream(pb.EchoRequest(text="hold"), metadata=metadata)
    assert (await call.initial_metadata())["x-request-id"] == "from-the-gateway-2"
    call.cancel()


async def test_a_cancelled_stream_cleans_up_and_counts(server: Running) -> None:
    call = server.stub.EchoStream(pb.EchoRequest(text="hold"), metadata=server.metadata())
    assert (await call.read()).text == "first"
    call.cancel()
    await _until(lambda: server.probe.closed == 1)
    labels = {"method": f"/{SERVICE}/EchoStream", "code": "CANCELLED"}
    await _until(lambda: (REGISTRY.get_sample_value("t2m_rpc_server_calls_total", labels) or 0) >= 1)


async def test_a_client_stream_that_is_cut_is_not_taken_for_a_whole_one(server: Running) -> None:
    labels = {"method": f"/{SERVICE}/Collect", "code": "CANCELLED"}

    def cancelled() -> float:
        return REGISTRY.get_sample_value("t2m_rpc_server_calls_total", labels) or 0

    before = cancelled()
    for number in range(20):
        call = server.stub.Collect(metadata=server.metadata())
        for _ in range(number % 3 + 1):
            await call.write(pb.EchoRequest(text="part"))
        await _until(lambda: server.server._active._count == 1)
        call.cancel()
        await _until(lambda: server.server._active._count == 0)
    assert cancelled() - before == 20


async def test_one_access_line_per_call_without_secrets(server: Running) -> None:
    with structlog.testing.capture_logs() as logs:
        await _unary(server, "hi", server.metadata())
        await _until(lambda: any(line["event"] == "rpc" for line in logs))
    [line] = [line for line in logs if line["event"] == "rpc"]
    assert line["method"] == f"/{SERVICE}/Echo"
    assert line["code"] == "OK"
    assert line["principal"] == "user:ada"
    assert line["ms"] >= 0
    assert "Bearer" not in str(line)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition has no event of its own
            await asyncio.sleep(0.005)


async def test_o6_an_error_with_many_violations_arrives_as_what_it_is() -> None:
    """O6: trailers beyond 8 KiB would end the call with RESOURCE_EXHAUSTED instead; the rest is counted."""
    storyboard = storyboard_pb2.Storyboard(title="Bad")
    for _ in range(60):
        scene = storyboard.scenes.add(id="not an id " * 6)
        for _ in range(3):
            scene.network.nodes.add()
    request = storyboard_service_pb2.RenderStoryboardRequest(storyboard=storyboard)
    async with deployment() as served:
        metadata = (("authorization", f"Bearer {served.token('ada', Role.USER)}"),)
        stub = storyboard_service_pb2_grpc.StoryboardServiceStub(served.channel)
        failure = await _failure(stub.RenderStoryboard(request, metadata=metadata))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert len(failure.violations) > 20
    assert len(failure.violations) + int(failure.metadata["violations_omitted"]) == 240
