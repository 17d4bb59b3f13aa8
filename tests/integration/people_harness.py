"""People on the real Postgres for tests: auth's use cases with an instant hash, and their statements counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.mail.message import parse_sender
from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.application.login_guard import LoginGuard
from services.auth.application.mailroom import Mailroom
from services.auth.application.passwords import Passwords
from services.auth.application.profiles import Profiles
from services.auth.application.recovery import Recovery
from services.auth.application.registrations import Registrations
from services.auth.application.sessions import Sessions
from services.auth.domain.errors import AuthError
from services.auth.domain.user import Role, User
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from tests import stack
from tests.fakes.auth import START, FakeClock, FakeHasher, FakeSecrets, FakeSigner
from tests.fakes.auth_people import FakePolicy, FakeTransport
from tests.integration.auth_harness import PASSWORD

WRONG, OTHER = "wrong horse battery", "quite another phrase"
SENDER = parse_sender("t2m <no-reply@t2m.example>")


@cache
def database() -> str:
    """One migrated database for the tests of people; blocking."""
    url = stack.postgres_url("auth_people")
    asyncio.run(stack.migrate("auth", url))
    return url


async def emptied() -> AsyncEngine:
    """On empty tables; to be disposed of."""
    made = create_engine(await asyncio.to_thread(database))
    async with made.begin() as connection:
        await connection.execute(text("TRUNCATE users, registrations, mails, login_attempts, known_clients CASCADE"))
    return made


class RealIds:
    """UUIDv7."""

    def new_id(self) -> str:
        """A new one."""
        return new_id()


@dataclass
class People:
    """The use cases on Postgres, with an instant hash."""

    engine: AsyncEngine
    clock: FakeClock = field(default_factory=FakeClock)
    hasher: FakeHasher = field(default_factory=FakeHasher)
    policy: FakePolicy = field(default_factory=FakePolicy)
    transport: FakeTransport = field(default_factory=FakeTransport)

    def __post_init__(self) -> None:
        units, secrets, clock, ids = postgres_units(self.engine), FakeSecrets(), self.clock, RealIds()
        self.units, self.secrets = units, secrets
        passwords = Passwords(self.policy, self.hasher)
        guard = LoginGuard(units, secrets, clock)
        self.sessions = Sessions(units, passwords, secrets, FakeSigner(clock), guard, clock=clock, ids=ids)
        self.registrations = Registrations(units, passwords, secrets, guard, clock=clock, ids=ids)
        self.recovery = Recovery(units, passwords, secrets, guard, clock=clock, ids=ids)
        self.profiles = Profiles(units, passwords, guard, clock=clock, ids=ids)
        self.mailroom = Mailroom(units, self.transport, secrets, clock)

    async def account(self, address: str, password: str | None = PASSWORD) -> User:
        """A committed account."""
        stored = f"1:{password}" if password is not None else None
        user = User(new_id(), address, "", Role.USER, stored, START, verified_at=START)
        async with self.units() as unit:
            assert await unit.users.add(user)
            await unit.commit()
        return user

    async def work(self, call: Callable[[], Awaitable[Any]]) -> tuple[Any, list[str], int, int, int]:
        """What the call ends with, the statements it sends, and how often it hashes, checks and judges a password."""
        statements: list[str] = []
        before = (self.hasher.hashes, self.hasher.checks, self.policy.judged)

        def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
            statements.append(statement)

        event.listen(self.engine.sync_engine, "before_cursor_execute", note)
        try:
            ended = await call()
        except AuthError as exc:
            ended = (type(exc), str(exc))
        finally:
            event.remove(self.engine.sync_engine, "before_cursor_execute", note)
        after = (self.hasher.hashes, self.hasher.checks, self.policy.judged)
        hashes, checks, judged = (now - then for now, then in zip(after, before, strict=True))
        return ended, statements, hashes, checks, judged
