"""What calls through the real server leave in the audit trail (A8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.runtime.audit.entry import is_audited
from services.runtime.authorization import ContractError
from services.runtime.identity import Role
from services.runtime.interceptors.auditing import audit_methods
from t2m.common.v1 import options_pb2
from tests.contract.every_rpc import METHODS, deployment, valid_request
from tests.contract.runtime_probe import pb, running

SECRET = "hunter2-t2m_0123456789abcdef_Xyz.eyJhbGciOiJ-whsec_abc"


async def test_A8_the_entry_is_there_before_the_answer() -> None:
    async with running() as served:
        metadata = served.metadata(Role.ADMIN, x_client_address="192.0.2.1")
        await served.stub.Administer(pb.EchoRequest(text="hello"), metadata=metadata)
        (entry,) = served.audit.entries
    assert (entry.action, entry.outcome, entry.caller_id) == ("/t2m.probe.v1.ProbeService/Administer", "OK", "ada")
    assert (entry.service, entry.client_address) == ("probe", "192.0.2.1")


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("missing", "NOT_FOUND"), ("throttled", "RESOURCE_EXHAUSTED"), ("bug", "INTERNAL"), ("refused", "UNAVAILABLE")],
)
async def test_A8_a_call_that_fails_leaves_its_code(text: str, outcome: str) -> None:
    async with running() as served:
        with pytest.raises(grpc.aio.AioRpcError):
            await served.stub.Administer(pb.EchoRequest(text=text), metadata=served.metadata(Role.ADMIN))
        assert [entry.outcome for entry in served.audit.entries] == [outcome]


async def test_A8_a_refused_caller_leaves_an_entry_with_their_name() -> None:
    async with running() as served:
        with pytest.raises(grpc.aio.AioRpcError):
            await served.stub.Administer(pb.EchoRequest(text="x"), metadata=served.metadata(Role.USER))
        with pytest.raises(grpc.aio.AioRpcError):
            await served.stub.Administer(pb.EchoRequest(text="x"))
        found = [(entry.caller_kind, entry.caller_id, entry.outcome) for entry in served.audit.entries]
    assert found == [("user", "ada", "PERMISSION_DENIED"), ("anonymous", "", "UNAUTHENTICATED")]


async def test_A8_a_service_leaves_none() -> None:
    async with running() as served:
        await served.stub.Internal(pb.EchoRequest(text="x"), metadata=served.metadata(Role.SERVICE))
        assert served.audit.entries == []


async def test_A8_a_stream_tells_how_it_began_and_an_upload_how_it_ended() -> None:
    async with running() as served:
        stream = served.stub.EchoStream(pb.EchoRequest(text="hold"), metadata=served.metadata())
        await stream.read()
        assert [entry.outcome for entry in served.audit.entries] == ["OK"]
        stream.cancel()
        await served.stub.Collect(_texts("a", "b"), metadata=served.metadata())
        assert [entry.action.rpartition("/")[2] for entry in served.audit.entries] == ["EchoStream", "Collect"]


async def test_A8_a_call_whose_client_leaves_is_written_down() -> None:
    async with running() as served:
        call = served.stub.Collect(_never(), metadata=served.metadata())
        async with asyncio.timeout(10):
            await call.initial_metadata()  # it was let in
            call.cancel()
            await served.audit.wrote.wait()
        assert [entry.outcome for entry in served.audit.entries] == ["CANCELLED"]


async def test_A8_an_audit_trail_that_is_away_fails_no_call() -> None:
    async with running() as served:
        served.audit.error = ConnectionRefusedError()
        answer = await served.stub.Administer(pb.EchoRequest(text="hello"), metadata=served.metadata(Role.ADMIN))
    assert answer.text == "hello"


def test_A8_a_server_without_a_trail_serves_nothing_that_belongs_into_one() -> None:
    path = "/t2m.job.v1.JobService/CreateJob"
    with pytest.raises(ContractError, match="CreateJob leaves entries"):
        audit_methods({path: METHODS[path]}, None)


@pytest.mark.parametrize("role", [Role.USER, Role.ADMIN])
async def test_A8_every_rpc_leaves_an_entry_or_none_by_the_one_rule(role: Role) -> None:
    async with deployment() as served:
        token = served.token("ada", role)
        for path in METHODS:
            served.audit.entries.clear()
            outcome = await served.outcome(path, token)
            left = [(entry.action, entry.outcome) for entry in served.audit.entries]
            leaves = is_audited(METHODS[path]) or (role is Role.ADMIN and not _nobody_or_a_service(path))
            code = "OK" if outcome == "reached" else outcome
            assert left == ([(path, code)] if leaves else []), path


async def test_A8_no_secret_in_any_field_of_any_rpc_reaches_the_trail_or_the_logs() -> None:
    async with deployment() as served:
        with structlog.testing.capture_logs() as logs:
            for role in (Role.USER, Role.ADMIN):
                token = served.token("ada", role)
                for path, method in METHODS.items():
                    for request in (_filled(method.input_type), _filled(method.input_type, only_valid=True)):
                        await served.send(path, request, token)
        entries = [entry.as_json() for entry in served.audit.entries]
    assert len(entries) > len(METHODS)
    assert SECRET not in str(entries)
    assert SECRET not in str(logs)


def _nobody_or_a_service(path: str) -> bool:
    """Of public methods nobody looks at the credential; methods of services leave nothing."""
    access = METHODS[path].GetOptions().Extensions[options_pb2.permission].access
    return access in (options_pb2.ACCESS_PUBLIC, options_pb2.ACCESS_SERVICE)


def _filled(descriptor: Descriptor, *, only_valid: bool = False, depth: int = 3) -> Message:
    """A message with the secret in every string; `only_valid`: in those that no rule bounds, so that handlers run."""
    message: Any = valid_request(descriptor) if only_valid else GetMessageClass(descriptor)()
    for each in descriptor.fields:
        if each.message_type is not None and not each.message_type.GetOptions().map_entry:
            if depth and not each.message_type.full_name.startswith("google."):
                inner = _filled(each.message_type, only_valid=only_valid, depth=depth - 1)
                if each.is_repeated:
                    if not only_valid:
                        getattr(message, each.name).append(inner)
                elif not only_valid or message.HasField(each.name):
                    getattr(message, each.name).CopyFrom(inner)
        elif each.type == FieldDescriptor.TYPE_STRING and not each.message_type:
            if each.is_repeated:
                if not only_valid:
                    getattr(message, each.name).append(SECRET)
            elif not only_valid or not getattr(message, each.name):
                setattr(message, each.name, SECRET)
    return message  # type: ignore[no-any-return]


async def _texts(*texts: str) -> AsyncIterator[Any]:
    for text in texts:
        yield pb.EchoRequest(text=text)


async def _never() -> AsyncIterator[Any]:
    yield pb.EchoRequest(text="a")
    await asyncio.Event().wait()
