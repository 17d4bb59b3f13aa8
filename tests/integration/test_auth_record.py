"""The record at a real auth with a real storage beside it: the trail of both, and the end of an account (A8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from sqlalchemy import text

from services.runtime.db import create_engine
from services.runtime.ids import new_id
from t2m.auth.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    erasure_service_pb2,
    erasure_service_pb2_grpc,
    user_service_pb2,
)
from t2m.storage.v1 import file_service_pb2, file_service_pb2_grpc
from tests.integration.credentials_harness import (
    DEADLINE_S,
    REVOKED,
    Replica,
    Trusting,
    auth_database,
    auth_replica,
    auth_settings,
    bearer,
    new_admin,
    refusal,
    trusting,
)

DELETE = "/t2m.storage.v1.FileService/DeleteFile"


@dataclass
class World:
    """Auth, storage, and an admin who has just logged in."""

    auth: Replica
    storage: Trusting
    email: str
    user_id: str
    token: str

    def __post_init__(self) -> None:
        self.audit: Any = audit_service_pb2_grpc.AuditServiceStub(self.auth.channel)
        self.erasures: Any = erasure_service_pb2_grpc.ErasureServiceStub(self.auth.channel)
        self.files: Any = file_service_pb2_grpc.FileServiceStub(self.storage.channel)

    async def entries(self, **wanted: Any) -> list[audit_service_pb2.AuditEntry]:
        """A page of the trail, for the admin."""
        request = audit_service_pb2.ListAuditEntriesRequest(**wanted)
        answer = await self.audit.ListAuditEntries(request, metadata=bearer(self.token))
        return list(answer.entries)

    async def arrived(self, **wanted: Any) -> list[audit_service_pb2.AuditEntry]:
        """The same, once there is one."""
        return await self.at_least(1, **wanted)

    async def at_least(self, count: int, **wanted: Any) -> list[audit_service_pb2.AuditEntry]:
        """The same, once there are so many."""
        async with asyncio.timeout(DEADLINE_S):
            while len(found := await self.entries(**wanted)) < count:  # noqa: ASYNC110 - they come from another service
                await asyncio.sleep(0.05)
        return found

    async def delete_file(self, file_id: str) -> None:
        """A call to storage that changes something, if there is such a file."""
        request = file_service_pb2.DeleteFileRequest(file_id=file_id)
        metadata = (*bearer(self.token), ("x-client-address", "192.0.2.7"))
        with pytest.raises(grpc.aio.AioRpcError):
            await self.files.DeleteFile(request, metadata=metadata)

    async def erase(self, token: str) -> erasure_service_pb2.Erasure:
        """Ask for the end of an account."""
        answer = await self.erasures.EraseAccount(erasure_service_pb2.EraseAccountRequest(), metadata=bearer(token))
        erasure: erasure_service_pb2.Erasure = answer.erasure
        return erasure


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    url = await asyncio.to_thread(auth_database)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE users, erasures CASCADE"))
    await engine.dispose()
    settings = auth_settings(tmp_path, erasure_services=["storage"], shutdown_grace_s=1.0)
    email = f"{new_id()}@example.com"
    async with auth_replica(settings) as auth, trusting(tmp_path, auth.address) as storage:
        user_id = await new_admin(settings, email)
        tokens = await auth.login(email)
        yield World(auth, storage, email, user_id, tokens.access_token)


async def test_A8_calls_to_other_services_arrive_in_the_trail_with_caller_address_and_outcome(world: World) -> None:
    file_id = new_id()
    await world.delete_file(file_id)
    (entry,) = await world.arrived(resource_id=file_id, method=DELETE)
    assert (entry.service, entry.action, entry.outcome) == ("storage", DELETE, "NOT_FOUND")
    assert (entry.caller_kind, entry.caller_id, entry.caller_role) == ("user", world.user_id, "admin")
    assert (entry.client_address, dict(entry.resources)) == ("192.0.2.7", {"file_id": file_id})
    assert entry.session_id


async def test_A8_a_login_is_found_under_the_user_and_a_refused_one_leaves_no_password(world: World) -> None:
    logins = await world.entries(resource_id=world.user_id, method="/t2m.auth.v1.SessionService/Login")
    assert [entry.outcome for entry in logins] == ["OK"]
    assert set(logins[0].resources) == {"user_id", "session_id"}
    own = await world.audit.ListOwnAuditEntries(
        audit_service_pb2.ListOwnAuditEntriesRequest(), metadata=bearer(world.token)
    )
    assert {entry.entry_id for entry in logins} <= {entry.entry_id for entry in own.entries}


async def test_A8_the_trail_is_read_in_pages_and_a_token_belongs_to_its_list(world: World) -> None:
    for _ in range(3):
        await world.delete_file(new_id())
    everything = await world.at_least(3, method=DELETE, caller_id=world.user_id)
    request = audit_service_pb2.ListAuditEntriesRequest(page_size=2, method=DELETE, caller_id=world.user_id)
    first = await world.audit.ListAuditEntries(request, metadata=bearer(world.token))
    request.page_token = first.next_page_token
    second = await world.audit.ListAuditEntries(request, metadata=bearer(world.token))
    assert ([*first.entries, *second.entries], second.next_page_token) == (everything, "")
    request.outcome = "OK"
    foreign = await refusal(world.audit.ListAuditEntries(request, metadata=bearer(world.token)))
    assert foreign == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
    late = timestamp_pb2.Timestamp()
    late.FromMilliseconds(everything[0].occurred_at.ToMilliseconds() + 1000)
    assert await world.entries(method=DELETE, caller_id=world.user_id, start_time=late) == []


async def test_A8_an_account_is_erased_by_its_owner_who_has_just_logged_in_and_not_by_a_key(world: World) -> None:
    key = await world.auth.create_key(world.token)
    assert await refusal(world.erase(world.token)) == ("FAILED_PRECONDITION", "STATE_CONFLICT")  # the last admin
    internal = (await world.auth.exchange(api_key=key.secret)).internal_token
    assert await refusal(world.erase(internal)) == ("PERMISSION_DENIED", "PERMISSION_DENIED")


async def test_A8_the_last_token_of_an_erased_account_is_refused_everywhere_and_nothing_is_left(
    world: World, tmp_path: Path
) -> None:
    email = f"{new_id()}@example.com"
    user_id = await new_admin(auth_settings(tmp_path), email)
    tokens = await world.auth.login(email)
    await world.storage.until_accepted(tokens.access_token)
    begun = await world.erase(tokens.access_token)
    assert (begun.user_id, list(begun.waiting_for)) == (user_id, ["storage"])
    assert await world.storage.seconds_until_refused(tokens.access_token) < 3
    profile = user_service_pb2.GetProfileRequest()
    assert await refusal(world.auth.users.GetProfile(profile, metadata=bearer(tokens.access_token))) == REVOKED
    request = erasure_service_pb2.GetErasureRequest(erasure_id=begun.erasure_id)
    answer = erasure_service_pb2.GetErasureResponse()
    async with asyncio.timeout(40):
        while not answer.erasure.HasField("completed_at"):
            await asyncio.sleep(0.1)
            answer = await world.erasures.GetErasure(request, metadata=bearer(world.token))
    for event in ("account.erasure_requested", "account.erased"):
        (noted,) = await world.entries(resource_id=user_id, method=event)
        assert (noted.caller_kind, noted.client_address, noted.request_id) == ("system", "", "")
    unknown = erasure_service_pb2.GetErasureRequest(erasure_id=new_id())
    assert (await refusal(world.erasures.GetErasure(unknown, metadata=bearer(world.token))))[0] == "NOT_FOUND"
