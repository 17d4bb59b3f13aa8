"""One suite for the audit trail and erasures, in memory and on Postgres; and what only Postgres can promise (A8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.account_data import PostgresAccountData
from services.auth.adapters.postgres.audit import PostgresAudit, first_id_at, page_statement
from services.auth.adapters.postgres.personal_data import IMPERSONAL, PERSONAL
from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.application.audit import Audit, AuditStore
from services.auth.application.erasure import Erasures
from services.auth.domain.audit import AuditEntry, AuditFilter, CallerKind
from services.auth.domain.errors import (
    ErasureByKey,
    ErasureNotFound,
    InvalidValue,
    LastAdmin,
    LoginTooOld,
    UserNotFound,
)
from services.auth.domain.revocation import RevocationKind
from services.auth.domain.user import Role, User
from services.runtime.db import create_engine
from tests import stack
from tests.fakes.auth import START, CountingIds, FakeClock, FakeUnits
from tests.fakes.auth_audit import FakeAuditStore

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ADA, EVE = str(UUID(int=0xADA)), str(UUID(int=0xE5E))
CREATE, CANCEL = "/t2m.job.v1.JobService/CreateJob", "/t2m.job.v1.JobService/CancelJob"


@cache
def database() -> str:
    """One migrated database for the module."""
    url = stack.postgres_url("auth_record")
    asyncio.run(stack.migrate("auth", url))
    return url


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    """On an empty database: only who owns the tables can switch the triggers off."""
    engine = create_engine(await asyncio.to_thread(database))
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        await connection.execute(text("TRUNCATE users, erasures, audit_entries, revocations, credit_entries CASCADE"))
        await connection.execute(text("ALTER TABLE audit_entries ENABLE TRIGGER USER"))
    yield engine
    await engine.dispose()


@pytest.fixture(params=["fake", "postgres"])
def trail(request: pytest.FixtureRequest) -> AuditStore:
    """An empty trail of both makes."""
    if request.param == "fake":
        return FakeAuditStore(lambda: datetime.now(UTC))
    return PostgresAudit(request.getfixturevalue("engine"))


@pytest.fixture(params=["fake", "postgres"])
def units(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[Any]]:
    """Empty tables of both makes."""
    return FakeUnits() if request.param == "fake" else postgres_units(request.getfixturevalue("engine"))


def entry(minute: float = 0, serial: int = 1, **values: Any) -> AuditEntry:
    """An entry of a minute."""
    moment = START + minute * MINUTE
    entry_id = str(UUID(int=first_id_at(moment).int | 0x7 << 76 | 0x2 << 62 | serial))
    known: dict[str, Any] = {
        "service": "job",
        "action": CREATE,
        "outcome": "OK",
        "caller_kind": CallerKind.USER,
        "caller_id": ADA,
        "client_address": "192.0.2.1",
        "request_id": "request",
    }
    return AuditEntry(entry_id, moment, **{**known, **values})


async def test_A8_entries_are_known_by_their_id_and_come_newest_first(trail: AuditStore) -> None:
    first, second = entry(1), entry(2)
    await trail.add([second, first])
    await trail.add([replace(first, outcome="INTERNAL"), entry(3)])
    await trail.add([])
    assert await trail.page(AuditFilter(), None, 10) == [entry(3), second, first]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AuditFilter(), [4, 3, 2, 1]),
        (AuditFilter(caller_id=EVE), [2]),
        (AuditFilter(action=CANCEL), [3]),
        (AuditFilter(outcome="NOT_FOUND"), [3, 2]),
        (AuditFilter(resource_id="job-1"), [4, 3]),
        (AuditFilter(since=START + 2 * MINUTE, until=START + 4 * MINUTE), [3, 2]),
        (AuditFilter(caller_id=ADA, outcome="OK", since=START + 2 * MINUTE), [4]),
        (AuditFilter(resource_id="no such"), []),
    ],
)
async def test_A8_filters_apply_together(trail: AuditStore, wanted: AuditFilter, found: list[int]) -> None:
    await trail.add(
        [
            entry(1),
            entry(2, caller_id=EVE, outcome="NOT_FOUND"),
            entry(3, action=CANCEL, outcome="NOT_FOUND", resources={"job_id": "job-1"}),
            entry(4, resources={"job_id": "job-1", "owner_id": ADA}),
        ]
    )
    entries = await trail.page(wanted, None, 10)
    assert [(each.occurred_at - START) // MINUTE for each in entries] == found


async def test_A8_pages_go_on_where_they_ended_also_within_a_moment(trail: AuditStore) -> None:
    everything = [entry(1, serial) for serial in range(1, 8)]
    await trail.add(everything)
    audit, found, before = Audit(trail, 400 * DAY), [], None
    while True:
        page, before = await audit.page(AuditFilter(), before, 3)
        found += page
        if before is None:
            break
    assert found == everything[::-1]


async def test_A8_a_user_sees_their_own_calls_and_what_was_done_to_them_but_not_by_whom(trail: AuditStore) -> None:
    by_admin = entry(2, caller_id=EVE, caller_role="admin", session_id="s", resources={"user_id": ADA})
    noted = entry(3, caller_kind=CallerKind.SYSTEM, caller_id="", resources={"user_id": ADA})
    login = entry(2.5, caller_kind=CallerKind.ANONYMOUS, caller_id="", resources={"user_id": ADA})
    await trail.add([entry(1), by_admin, login, noted, entry(4, caller_id=EVE)])
    found, last = await Audit(trail, 400 * DAY).own(ADA, None, 10)
    hidden = replace(by_admin, caller_id="", session_id="", client_address="", request_id="")
    assert (found, last) == ([noted, login, hidden, entry(1)], None)


async def test_A8_what_is_older_than_it_is_kept_goes_but_nothing_younger_than_30_days(trail: AuditStore) -> None:
    now = datetime.now(UTC)
    ages = {days: replace(entry(serial=days), occurred_at=now - days * DAY) for days in (1, 29, 31, 399, 401)}
    await trail.add(list(ages.values()))
    await Audit(trail, 400 * DAY).purge()
    assert len(await trail.page(AuditFilter(), None, 10)) == 4
    await Audit(trail, 1 * DAY).purge()
    left = await trail.page(AuditFilter(), None, 10)
    assert {each.entry_id for each in left} == {ages[1].entry_id, ages[29].entry_id}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "TRUNCATE users, audit_entries CASCADE",
        "UPDATE audit_entries SET outcome = 'OK'",
        "UPDATE audit_entries SET client_address = '', request_id = ''",
        "UPDATE audit_entries SET entry_id = gen_random_uuid()",
        "INSERT INTO audit_entries SELECT * FROM audit_entries ON CONFLICT (entry_id) DO UPDATE SET caller_id = ''",
        "SET LOCAL t2m.audit_purge_before = 'infinity'; DELETE FROM audit_entries",
        "INSERT INTO erasures VALUES (gen_random_uuid(), gen_random_uuid(), now()); "
        "UPDATE audit_entries SET client_address = '', request_id = ''",
        f"INSERT INTO erasures VALUES (gen_random_uuid(), '{ADA}', now()); "
        "UPDATE audit_entries SET client_address = '', request_id = '', outcome = 'OK'",
        f"INSERT INTO erasures VALUES (gen_random_uuid(), '{ADA}', now()); "
        "UPDATE audit_entries SET client_address = '192.0.2.9', request_id = ''",
    ],
)
async def test_A8_the_database_refuses_to_change_or_delete_entries(engine: AsyncEngine, statement: str) -> None:
    kept = replace(entry(outcome="PERMISSION_DENIED"), occurred_at=datetime.now(UTC))
    await PostgresAudit(engine).add([kept])

    async def attempt() -> None:
        async with engine.begin() as connection:
            for each in statement.split("; "):
                await connection.execute(text(each))

    with pytest.raises(DBAPIError, match="only ever added"):
        await attempt()
    assert await PostgresAudit(engine).page(AuditFilter(), None, 10) == [kept]


async def test_A8_every_list_walks_an_index_among_many_entries(engine: AsyncEngine) -> None:
    many = text(
        "INSERT INTO audit_entries SELECT gen_random_uuid(), now(), 'job', '/method/' || n % 50, CASE WHEN n % 20 = 0 "
        "THEN 'NOT_FOUND' ELSE 'OK' END, 'user', 'user-' || n % 2000, 'user', '', '', '', '', '{}', "
        "ARRAY['resource-' || n] FROM generate_series(1, 100000) n"
    )
    lists = {
        AuditFilter(): "pk_audit_entries",
        AuditFilter(caller_id="user-7"): "ix_audit_entries_caller",
        AuditFilter(action="/method/7"): "ix_audit_entries_action",
        AuditFilter(outcome="NOT_FOUND"): "ix_audit_entries_outcome",
        AuditFilter(resource_id="resource-7"): "ix_audit_entries_resource",
    }
    async with engine.begin() as connection:
        await connection.execute(many)
        await connection.execute(text("ANALYZE audit_entries"))
        for wanted, index in lists.items():
            for before in (None, str(UUID(int=1 << 127))):
                statement = page_statement(wanted, before, 51)
                query = statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
                plan = "\n".join((await connection.execute(text(f"EXPLAIN {query}"))).scalars())
                assert index in plan, plan
                assert "Seq Scan" not in plan, plan
        await connection.rollback()


def user(user_id: str, role: Role = Role.USER) -> User:
    """An account."""
    return User(user_id, f"{user_id}@example.com", "Ada", role, "hash", START, verified_at=START)


@dataclass
class World:
    """The use cases over one make of tables."""

    units: Callable[[], AbstractAsyncContextManager[Any]]
    clock: FakeClock
    ended: list[str]

    def __post_init__(self) -> None:
        self.erasures = Erasures(self.units, ["job", "storage"], self.clock, CountingIds(), self._end)

    async def _end(self, user_id: str) -> None:
        self.ended.append(user_id)

    async def add(self, *users: User) -> None:
        async with self.units() as unit:
            for each in users:
                assert await unit.users.add(each)
            await unit.commit()


@pytest.fixture
def world(units: Callable[[], AbstractAsyncContextManager[Any]]) -> World:
    """With a clock that stands still."""
    return World(units, FakeClock(datetime.now(UTC)), [])


async def test_A8_an_erasure_ends_credentials_at_once_and_the_account_once_all_services_are_done(world: World) -> None:
    await world.add(user(ADA), user(EVE))
    begun = await world.erasures.erase(ADA, world.clock.now(), by_api_key=False)
    assert begun.waiting_for == ("job", "storage")
    async with world.units() as unit:
        blank = await unit.users.get(ADA)
        assert blank is not None
        assert (blank.email, blank.display_name, blank.password_hash) == (None, "", None)
        assert await unit.revocations.user_revoked_at(ADA) == world.clock.now()
    assert await world.erasures.waiting("storage", 0) == [begun]
    assert not begun.is_turn_of("storage")
    for service in ("job", "job", "storage"):
        assert await world.erasures.complete() == 0
        await world.erasures.acknowledge(begun.erasure_id, service)
    assert await world.erasures.waiting("job", 0) == []
    assert await world.erasures.complete() == 1
    assert (await world.erasures.get(begun.erasure_id)).completed_at == world.clock.now()
    assert set(world.ended) == {ADA}
    async with world.units() as unit:
        assert await unit.users.get(ADA) is None
        assert await unit.users.get(EVE) == user(EVE)
    assert await world.erasures.complete() == 0


async def test_A8_services_acknowledge_in_their_order(world: World) -> None:
    await world.add(user(ADA))
    begun = await world.erasures.erase(ADA, world.clock.now(), by_api_key=False)
    assert begun.is_turn_of("job")
    await world.erasures.acknowledge(begun.erasure_id, "job")
    (left,) = await world.erasures.waiting("storage", 0)
    assert left.is_turn_of("storage")


async def test_A8_two_erasures_of_one_account_are_one(world: World) -> None:
    await world.add(user(ADA))
    erase: Callable[[], Awaitable[Any]] = lambda: world.erasures.erase(ADA, world.clock.now(), by_api_key=False)  # noqa: E731
    first, second = await asyncio.gather(erase(), erase())
    assert first.erasure_id == second.erasure_id


async def test_A8_an_erasure_needs_a_person_who_has_just_logged_in(world: World) -> None:
    await world.add(user(ADA))
    now = world.clock.now()
    with pytest.raises(ErasureByKey):
        await world.erasures.erase(ADA, now, by_api_key=True)
    for stale in (None, now - 11 * MINUTE):
        with pytest.raises(LoginTooOld):
            await world.erasures.erase(ADA, stale, by_api_key=False)
    with pytest.raises(UserNotFound):
        await world.erasures.erase(EVE, now, by_api_key=False)
    with pytest.raises(ErasureNotFound):
        await world.erasures.get(EVE)
    with pytest.raises(ErasureNotFound):
        await world.erasures.acknowledge(EVE, "job")
    assert await world.erasures.waiting("job", 0) == []


async def test_A8_the_last_admin_stays(world: World) -> None:
    await world.add(user(ADA, Role.ADMIN))
    with pytest.raises(LastAdmin):
        await world.erasures.erase(ADA, world.clock.now(), by_api_key=False)
    await world.add(user(EVE, Role.ADMIN))
    await world.erasures.erase(ADA, world.clock.now(), by_api_key=False)


async def test_A8_a_subscription_that_cannot_be_ended_holds_up_only_its_own_erasure(world: World) -> None:
    await world.add(user(ADA), user(EVE))
    for owner in (ADA, EVE):
        begun = await world.erasures.erase(owner, world.clock.now(), by_api_key=False)
        for service in ("job", "storage"):
            await world.erasures.acknowledge(begun.erasure_id, service)

    async def fails_for_ada(user_id: str) -> None:
        if user_id == ADA:
            raise ConnectionError

    ending = Erasures(world.units, ["job", "storage"], world.clock, CountingIds(), fails_for_ada)
    assert await ending.complete() == 1
    assert await world.erasures.complete() == 1


async def test_A8_every_table_says_what_export_and_erasure_do_with_it(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        tables = set((await connection.execute(text(query))).scalars())
    assert {each.table for each in PERSONAL} | set(IMPERSONAL) == tables


async def test_A8_an_export_shows_no_secret_and_no_digest_of_one(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        query = (
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        )
        columns = (await connection.execute(text(query))).all()
    shown = {each.table: each.hidden for each in PERSONAL if each.section}
    suspicious = [
        (table, column)
        for table, column, kind in columns
        if table in shown and column not in shown[table]
        and (kind == "bytea" or any(word in column for word in ("hash", "digest", "secret", "fingerprint")))
    ]  # fmt: skip
    assert suspicious == []


async def test_A8_an_erased_account_leaves_only_its_random_id(engine: AsyncEngine) -> None:
    units = postgres_units(engine)
    world = World(units, FakeClock(datetime.now(UTC)), [])
    await world.add(user(ADA), user(EVE))
    async with units() as unit:
        await unit.audit.note("login.locked_out", ADA, {"session_id": EVE})
        await unit.revocations.add(RevocationKind.SESSION, EVE, START)
        await unit.commit()
    trail = PostgresAudit(engine)
    await trail.add([entry(1), entry(2, caller_id=EVE, resources={"user_id": ADA}), entry(3, caller_id=EVE)])
    begun = await world.erasures.erase(ADA, world.clock.now(), by_api_key=False)
    for service in ("job", "storage"):
        await world.erasures.acknowledge(begun.erasure_id, service)
    assert await world.erasures.complete() == 1
    await trail.add([entry(4)])  # relayed late
    entries = await trail.page(AuditFilter(), None, 20)
    about_ada = [each for each in entries if each.person == ADA]
    assert len(about_ada) == 5
    assert {(each.client_address, each.request_id) for each in about_ada} == {("", "")}
    assert [each.client_address for each in entries if each not in about_ada] == ["192.0.2.1"] * 2


async def test_A8_an_account_stays_known_to_the_billing_provider_until_its_charges_are_settled(
    engine: AsyncEngine,
) -> None:
    world = World(postgres_units(engine), FakeClock(datetime.now(UTC)), [])
    await world.add(user(ADA))
    begun = await world.erasures.erase(ADA, world.clock.now(), by_api_key=False)
    for service in ("job", "storage"):
        await world.erasures.acknowledge(begun.erasure_id, service)
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE subscriptions, charges, billing_customers CASCADE"))
        await connection.execute(text(_SUBSCRIPTION), {"user_id": UUID(ADA)})
        await connection.execute(text(_CHARGE), {"user_id": UUID(ADA)})
        await connection.execute(
            text("INSERT INTO billing_customers VALUES (:user_id, 'stripe', 'cus_1')"), {"user_id": UUID(ADA)}
        )
    assert await world.erasures.complete() == 0
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE charges SET state = 'void', settled_at = now()"))
    assert await world.erasures.complete() == 1
    async with engine.connect() as connection:
        kept = (await connection.execute(text("SELECT user_id, reference, page_url FROM charges"))).one()
        assert tuple(kept) == (UUID(ADA), "pi_1", "")
        assert (await connection.execute(text("SELECT count(*) FROM billing_customers"))).scalar_one() == 0


_SUBSCRIPTION = """
    INSERT INTO subscriptions (subscription_id, user_id, plan, state, period, anchor, anchor_index, period_index,
        period_start, period_end, period_credits, next_plan, cancel_at_period_end, created_at)
    VALUES (:user_id, :user_id, 'pro', 'active', 'month', now(), 0, 0, now(), now() + interval '1 month', 0, '', false,
        now())
"""
_CHARGE = """
    INSERT INTO charges (charge_id, subscription_id, user_id, purpose, plan, period_index, amount, currency, credits,
        state, provider, attempt, present, reference, page_url, failure, created_at)
    VALUES (:user_id, :user_id, :user_id, 'subscribe', 'pro', 0, 100, 'EUR', 0, 'voiding', 'stripe', 1, true, 'pi_1',
        'https://pay.example/ada', '', now())
"""


async def test_A8_account_data_comes_in_pages_of_one_user_only(engine: AsyncEngine) -> None:
    world = World(postgres_units(engine), FakeClock(START), [])
    await world.add(user(ADA), user(EVE))
    await PostgresAudit(engine).add(
        [entry(1, serial) for serial in range(1, 450)] + [entry(2, caller_id=EVE, resources={"user_id": ADA})]
    )
    data, found, token = PostgresAccountData(engine), [], ""
    while True:
        records, token = await data.page(ADA, token)
        found += records
        if not token:
            break
    sections = [record.section for record in found]
    assert (sections.count("audit"), sections.count("profile")) == (450, 1)
    assert sections == sorted(sections, key=sections.index)
    assert not any(EVE in record.json for record in found)
    with pytest.raises(UserNotFound):
        await data.page(str(UUID(int=5)), "")
    for bad in ("x", "OTk5LjA=", "MC4tMQ=="):
        with pytest.raises(InvalidValue):
            await data.page(ADA, bad)
