"""Which calls leave an entry, what is in it, and how entries are grouped (A8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from services.runtime.audit import AuditEntry, AuditJournal, CallerKind, mention
from services.runtime.audit.entry import UNREADABLE, entry_of, id_fields, is_audited, leaves_entry
from services.runtime.identity import CallContext, Principal, Role, bind_call
from t2m.auth.v1 import api_key_service_pb2, credit_service_pb2, session_service_pb2, token_service_pb2
from t2m.common.v1 import options_pb2
from t2m.job.v1 import job_pb2, job_service_pb2
from t2m.storage.v1 import file_service_pb2
from tests.contract.every_rpc import METHODS
from tests.fakes.audit import MemoryAudit

JOB_ID = "01890000-0000-7000-8000-000000000001"
KEY_ID = "0123456789abcdef"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def caller(role: Role) -> Principal:
    """Somebody with a token."""
    return Principal("0a" * 16, role, None, "secret token", NOW, session_id="s", api_key_id="k")


def entry(number: int = 1) -> AuditEntry:
    """Any entry."""
    return AuditEntry(f"{number:032x}", NOW, "job", "/x.Y/Z", "OK", CallerKind.USER, resources={"job_id": JOB_ID})


def test_A8_every_rpc_that_may_change_something_or_asks_for_more_than_the_right_to_read_is_audited() -> None:
    unaudited = {path for path, method in METHODS.items() if not is_audited(method)}
    for path in unaudited:
        options = METHODS[path].GetOptions()
        access = options.Extensions[options_pb2.permission].access
        reads = options.idempotency_level == options.NO_SIDE_EFFECTS
        is_read = reads and access in (options_pb2.ACCESS_READ, options_pb2.ACCESS_PUBLIC)
        assert is_read or access == options_pb2.ACCESS_SERVICE, path
    assert {"/t2m.job.v1.JobService/GetJob", "/t2m.auth.v1.TokenService/ExchangeCredential"} <= unaudited
    audited = set(METHODS) - unaudited
    assert {
        "/t2m.auth.v1.SessionService/Login",
        "/t2m.auth.v1.ErasureService/GetErasure",
        "/t2m.job.v1.WebhookService/GetWebhookSecret",
        "/t2m.job.v1.ExportService/ExportUserData",
        "/t2m.job.v1.JobService/CreateJob",
        "/t2m.storage.v1.FileService/UploadFile",
    } <= audited


@pytest.mark.parametrize(
    ("role", "audited", "leaves"),
    [
        (None, True, True),
        (None, False, False),
        (Role.USER, True, True),
        (Role.USER, False, False),
        (Role.READONLY, False, False),
        (Role.ADMIN, True, True),
        (Role.ADMIN, False, True),
        (Role.SERVICE, True, False),
        (Role.SERVICE, False, False),
    ],
)
def test_A8_admins_leave_an_entry_whatever_they_do_and_services_none(
    role: Role | None, audited: bool, leaves: bool
) -> None:
    assert leaves_entry(audited, caller(role) if role else None) is leaves


@pytest.mark.parametrize(
    ("message", "nested", "found"),
    [
        (job_service_pb2.CancelJobRequest(job_id=JOB_ID.upper()), False, {"job_id": JOB_ID}),
        (job_service_pb2.CancelJobRequest(job_id="hunter2"), False, {"job_id": UNREADABLE}),
        (job_service_pb2.CreateJobRequest(topic="t", request_id=JOB_ID), False, {}),
        (job_service_pb2.CreateJobResponse(job=job_pb2.Job(job_id=JOB_ID)), False, {}),
        (job_service_pb2.CreateJobResponse(job=job_pb2.Job(job_id=JOB_ID)), True, {"job_id": JOB_ID}),
        (
            api_key_service_pb2.RevokeApiKeyRequest(api_key_id="0123456789abcdef"),
            False,
            {"api_key_id": "0123456789abcdef"},
        ),
        (api_key_service_pb2.RevokeApiKeyRequest(api_key_id="t2m_0123_secret"), False, {"api_key_id": UNREADABLE}),
        (credit_service_pb2.GrantCreditsRequest(user_id=JOB_ID, amount=3), False, {"user_id": JOB_ID}),
        (session_service_pb2.LoginRequest(email="a@b.c", password=JOB_ID), True, {}),
        (
            file_service_pb2.UploadFilePartRequest(header=file_service_pb2.UploadFilePartHeader(upload_id=JOB_ID)),
            True,
            {"upload_id": JOB_ID},
        ),
        (token_service_pb2.IssueServiceTokenRequest(service_id="job"), False, {"service_id": UNREADABLE}),
    ],
)
def test_A8_only_ids_are_read_off_messages(message: Any, nested: bool, found: dict[str, str]) -> None:
    assert dict(id_fields(message.DESCRIPTOR, nested=nested)(message)) == found


def test_A8_an_entry_says_who_called_from_where_and_what_a_handler_mentioned() -> None:
    call = CallContext("/x.Y/Z", "request-1", caller(Role.USER), client_address="192.0.2.7")
    token = bind_call(call)
    try:
        mention(user_id=JOB_ID, other_id="hunter2")
    finally:
        token.var.reset(token)
    made = entry_of(call, "auth", "OK", {"job_id": JOB_ID})
    assert made.resources == {"job_id": JOB_ID, "user_id": JOB_ID, "other_id": UNREADABLE}
    assert (made.caller_kind, made.caller_role, made.session_id, made.api_key_id) == (CallerKind.USER, "user", "s", "k")
    assert (made.client_address, made.request_id, made.action) == ("192.0.2.7", "request-1", "/x.Y/Z")
    assert AuditEntry.from_json(made.as_json()) == made
    assert "secret token" not in str(made.as_json())


def test_A8_a_caller_that_is_not_known_is_anonymous() -> None:
    made = entry_of(CallContext("/x.Y/Z", "r"), "auth", "UNAUTHENTICATED", {})
    assert (made.caller_kind, made.caller_id) == (CallerKind.ANONYMOUS, "")


async def test_A8_entries_that_come_while_one_statement_is_under_way_share_the_next() -> None:
    writing, go_on = asyncio.Event(), asyncio.Event()

    class Slow(MemoryAudit):
        async def write(self, entries: Sequence[AuditEntry]) -> None:
            writing.set()
            await go_on.wait()
            await super().write(entries)

    sink = Slow()
    journal = AuditJournal("job", sink)
    first = asyncio.create_task(journal.record(entry()))
    await writing.wait()
    rest = [asyncio.create_task(journal.record(entry(number))) for number in range(2, 12)]
    await asyncio.sleep(0)
    assert not first.done()
    go_on.set()
    await asyncio.gather(first, *rest)
    assert (sink.statements, len(sink.entries)) == (2, 11)


async def test_A8_a_call_that_is_cancelled_leaves_its_entry_all_the_same() -> None:
    sink = MemoryAudit()
    journal = AuditJournal("job", sink)
    waiting = asyncio.create_task(journal.record(entry()))
    await asyncio.sleep(0)
    waiting.cancel()
    journal.leave(entry(2))
    await journal.close()
    assert len(sink.entries) == 2


async def test_A8_an_entry_that_cannot_be_written_fails_no_call_and_is_in_the_error_log() -> None:
    sink = MemoryAudit()
    sink.error = ConnectionRefusedError()
    journal = AuditJournal("job", sink)
    with structlog.testing.capture_logs() as logs:
        await journal.record(entry())
    (line,) = logs
    assert (line["log_level"], AuditEntry.from_json(json.loads(line["entry"]))) == ("error", entry())
    sink.error = None
    await journal.record(entry(2))
    assert len(sink.entries) == 1
