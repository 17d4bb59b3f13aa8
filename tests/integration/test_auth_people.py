"""People on the real Postgres: nobody learns who has an account, waits, mail, migration (rows A1, A2)."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.mail.message import parse_sender
from services.auth.adapters.mail.smtp import SmtpServer, SmtpTransport
from services.auth.adapters.postgres import people_tables
from services.auth.adapters.postgres.tables import META
from services.auth.adapters.postgres.unit_of_work import postgres_units
from services.auth.application.login_guard import LoginGuard
from services.auth.application.mailroom import Mailroom
from services.auth.application.passwords import Passwords
from services.auth.application.profiles import Profiles
from services.auth.application.recovery import Recovery
from services.auth.application.registrations import Registrations
from services.auth.application.sessions import Sessions
from services.auth.bootstrap import build_operator
from services.auth.domain.errors import AuthError, CredentialInvalid, InvalidValue
from services.auth.domain.session import Client
from services.auth.domain.user import Role, User
from services.runtime.db import create_engine
from services.runtime.ids import new_id
from t2m.auth.v1 import session_service_pb2, user_pb2, user_service_pb2
from tests import stack
from tests.fakes.auth import START, FakeClock, FakeHasher, FakeSecrets, FakeSigner
from tests.fakes.auth_people import FakePolicy, FakeTransport
from tests.fakes.smtp_server import SmtpInbox, smtp_server
from tests.integration.auth_harness import EMAIL, PASSWORD, Auth, bearer, failure, serving, settings_of

WRONG, OTHER = "wrong horse battery", "quite another phrase"
DEADLINE_S = 30
SENDER = parse_sender("t2m <no-reply@t2m.example>")


@cache
def database() -> str:
    """One migrated database for the module."""
    url = stack.postgres_url("auth_people")
    asyncio.run(stack.migrate("auth", url))
    return url


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    """On empty tables."""
    made = create_engine(await asyncio.to_thread(database))
    async with made.begin() as connection:
        await connection.execute(text("TRUNCATE users, registrations, mails, login_attempts, known_clients CASCADE"))
    yield made
    await made.dispose()


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


@pytest.fixture
async def people(engine: AsyncEngine) -> People:
    """With Ada, who has an account, a bot without a password, and somebody whose address is not verified."""
    made = People(engine)
    await made.account(EMAIL)
    await made.account("bot@example.com", None)
    await made.registrations.register("new@example.com", PASSWORD, "")
    return made


ADDRESSES = (EMAIL, "bot@example.com", "new@example.com", "nobody@example.com")


class TestNobodyLearnsWhoHasAnAccount:
    """A1: the same answer, statements and hashes for every address."""

    async def check(self, people: People, call: Callable[[str], Awaitable[Any]], hashes: int, checks: int) -> None:
        """Compare what the call does for each address."""
        works = [await people.work(partial(call, address)) for address in ADDRESSES]
        first = works[0]
        assert [works[index] for index in range(1, len(works))] == [first] * (len(works) - 1)
        assert first[2:4] == (hashes, checks)
        assert len(first[1]) > 0

    async def test_register(self, people: People) -> None:
        await self.check(people, lambda address: people.registrations.register(address, OTHER, "X"), 1, 0)

    async def test_resend(self, people: People) -> None:
        await self.check(people, people.registrations.resend, 0, 0)

    async def test_request_reset(self, people: People) -> None:
        await self.check(people, people.recovery.request_reset, 0, 0)

    @pytest.mark.parametrize("client", [None, Client("192.0.2.7")])
    async def test_login_until_it_has_to_wait(self, people: People, client: Client | None) -> None:
        for _ in range(10):
            await self.check(people, lambda address: people.sessions.login(address, WRONG, client), 0, 1)
        await self.check(people, lambda address: people.sessions.login(address, WRONG, client), 0, 0)

    async def test_change_of_address(self, people: People) -> None:
        eve = await people.account("eve@example.com")

        async def change(address: str) -> str:
            user = await people.profiles.update(eve.user_id, email=address, current_password=PASSWORD)
            return user.email or ""

        await self.check(people, change, 0, 1)


class TestMail:
    """The queue on Postgres, and the way to a real server."""

    async def test_several_replicas_send_each_mail_once(self, people: People) -> None:
        replicas = [Mailroom(people.units, people.transport, _Numbered(each), people.clock) for each in range(4)]
        for number in range(20):
            await people.registrations.register(f"user{number}@example.com", PASSWORD, "")

        async def drain(room: Mailroom) -> None:
            while await room.deliver():
                pass

        await asyncio.gather(*(drain(room) for room in replicas))
        assert len(people.transport.sent) == 21
        assert set(Counter(message.recipient for message in people.transport.sent).values()) == {1}

    async def test_a_registration_survives_a_server_that_is_away(self, people: People) -> None:
        async with smtp_server() as inbox:
            server = SmtpServer("127.0.0.1", inbox.port, "none")
            room = Mailroom(people.units, SmtpTransport(server, SENDER), people.secrets, people.clock)
        assert await room.deliver() == 1  # the server is gone
        people.clock.advance(timedelta(seconds=10))
        async with smtp_server() as inbox:
            server = SmtpServer("127.0.0.1", inbox.port, "none")
            room = Mailroom(people.units, SmtpTransport(server, SENDER), people.secrets, people.clock)
            assert await room.deliver() == 1
            await people.registrations.verify(code_in(inbox))
        await people.sessions.login("new@example.com", PASSWORD)

    async def test_a_token_is_used_by_one_of_many_at_once(self, people: People) -> None:
        await people.recovery.request_reset(EMAIL)
        while await people.mailroom.deliver():
            pass
        secret = next(line for line in people.transport.to(EMAIL)[-1].plain.splitlines() if len(line) == 43)
        phrases = [f"{OTHER} {number}" for number in range(6)]
        outcomes = await asyncio.gather(
            *(people.recovery.confirm_reset(secret, phrase) for phrase in phrases), return_exceptions=True
        )
        assert Counter(type(outcome) for outcome in outcomes) == {InvalidValue: 5, type(None): 1}
        winner = phrases[outcomes.index(None)]
        await people.sessions.login(EMAIL, winner)

    async def test_of_many_verifications_at_once_one_makes_the_account(self, people: People) -> None:
        while await people.mailroom.deliver():
            pass
        secret = next(line for line in people.transport.to("new@example.com")[-1].plain.splitlines() if len(line) == 43)
        ids = await asyncio.gather(*(people.registrations.verify(secret) for _ in range(6)))
        assert len(set(ids)) == 1


class _Numbered(FakeSecrets):
    """Secrets that differ from those of other replicas."""

    def __init__(self, replica: int) -> None:
        super().__init__()
        self._made = 10_000 * (replica + 1)


def code_in(inbox: SmtpInbox) -> str:
    """The token in the newest mail."""
    body = inbox.received[-1][2].get_body(("plain",))
    assert body is not None
    return next(line for line in str(body.get_content()).splitlines() if len(line) == 43 and line.isalnum())


@pytest.fixture
async def auth(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Auth]:
    """A running auth that verifies addresses by an outbox."""
    settings = settings_of(await asyncio.to_thread(database), tmp_path).model_copy(
        update={"email_verification": "required", "mail_outbox": tmp_path / "outbox", "login_failures": 4}
    )
    async with serving(settings) as running:
        yield running


async def mailed(auth: Auth, recipient: str, subject: str) -> str:
    """The token in a mail, once it is in the outbox."""
    folder = auth.settings.mail_outbox
    assert folder is not None
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for path in folder.glob("*.eml"):
                mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                if (mail["To"], mail["Subject"]) == (recipient, subject):
                    body = mail.get_body(("plain",))
                    assert body is not None
                    return next(line for line in str(body.get_content()).splitlines() if len(line) == 43)
            await asyncio.sleep(0.02)


class TestRefresh:
    """A2: under the session's lock."""

    async def test_a_reuse_at_once_from_many_sides_ends_the_session_once(self, people: People) -> None:
        first = await people.sessions.login(EMAIL, PASSWORD)
        second = await people.sessions.refresh(first.refresh_token)
        people.clock.advance(timedelta(seconds=11))
        calls = [people.sessions.refresh(first.refresh_token) for _ in range(20)]
        outcomes = await asyncio.gather(*calls, people.sessions.refresh(second.refresh_token), return_exceptions=True)
        assert Counter(map(type, outcomes[:20])) == {CredentialInvalid: 20}
        with pytest.raises(CredentialInvalid):
            await people.sessions.refresh(second.refresh_token)
        async with people.engine.connect() as connection:
            revoked = await connection.execute(
                text("SELECT count(*) FROM revocations WHERE subject_id = (SELECT session_id::text FROM sessions)")
            )
            noted = await connection.execute(
                text(
                    "SELECT count(*) FROM audit_entries WHERE action = 'session.refresh_reused' "
                    "AND resource_ids @> ARRAY[(SELECT session_id::text FROM sessions)]"
                )
            )
            assert (revoked.scalar_one(), noted.scalar_one()) == (1, 1)


class TestServed:
    """Over the socket."""

    async def test_from_registration_to_another_password(self, auth: Auth) -> None:
        await auth.register()
        assert (await failure(auth.login())).reason == "CREDENTIAL_INVALID"
        token = await mailed(auth, EMAIL, "Confirm your e-mail address")
        for _ in range(2):
            await auth.users.VerifyEmail(user_service_pb2.VerifyEmailRequest(token=f" {token}\n"))
        client = (("x-client-address", "192.0.2.7"),)
        login = session_service_pb2.LoginRequest(email=EMAIL, password=PASSWORD, user_agent="a test")
        tokens = (await auth.sessions.Login(login, metadata=client)).tokens
        internal = await auth.exchange(access_token=tokens.access_token)
        me = (*bearer(internal.internal_token), *client)
        listed = await auth.sessions.ListSessions(session_service_pb2.ListSessionsRequest(), metadata=me)
        (session,) = listed.sessions
        assert (session.client_address, session.user_agent, session.current) == ("192.0.2.7", "a test", True)
        profile = await auth.users.GetProfile(user_service_pb2.GetProfileRequest(), metadata=me)
        assert (profile.user.email_verified, profile.user.has_password) == (True, True)
        change = user_service_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password=OTHER)
        other = await auth.login()
        await auth.users.ChangePassword(change, metadata=me)
        assert (await failure(auth.refresh(other.refresh_token))).reason == "CREDENTIAL_INVALID"
        await auth.refresh(tokens.refresh_token)
        wrong = await failure(auth.users.ChangePassword(change, metadata=me))
        assert [path for path, _ in wrong.violations] == ["current_password"]
        revoke = session_service_pb2.RevokeSessionRequest(session_id=session.session_id)
        await auth.sessions.RevokeSession(revoke, metadata=me)

    async def test_answers_are_alike_byte_by_byte(self, auth: Auth) -> None:
        await auth.register()
        token = await mailed(auth, EMAIL, "Confirm your e-mail address")
        await auth.users.VerifyEmail(user_service_pb2.VerifyEmailRequest(token=token))
        for address in (EMAIL, "nobody@example.com"):
            for method, request in (
                ("RegisterUser", user_service_pb2.RegisterUserRequest(email=address, password=OTHER)),
                ("ResendVerification", user_service_pb2.ResendVerificationRequest(email=address)),
                ("RequestPasswordReset", user_service_pb2.RequestPasswordResetRequest(email=address)),
            ):
                answer = await getattr(auth.users, method)(request)
                assert answer.SerializeToString() == b""
        refusals = [await raw_refusal(auth, address) for address in (EMAIL, "nobody@example.com", "no address")]
        assert refusals[0] == refusals[1] == refusals[2]

    async def test_attempts_at_once_are_counted_and_outlive_the_process(self, auth: Auth) -> None:
        refused = await asyncio.gather(*(failure(auth.login(EMAIL, WRONG)) for _ in range(12)))
        assert Counter(each.reason for each in refused) == {"CREDENTIAL_INVALID": 4, "RATE_LIMITED": 8}
        waiting = next(each for each in refused if each.reason == "RATE_LIMITED")
        assert waiting.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert waiting.retry_after == timedelta(seconds=2)
        async with serving(auth.settings) as restarted:
            assert (await failure(restarted.login(EMAIL, WRONG))).reason == "RATE_LIMITED"

    async def test_admins_see_accounts(self, auth: Auth, engine: AsyncEngine) -> None:
        people = People(engine)
        ids = [(await people.account(f"user{number}@example.com")).user_id for number in range(3)]
        operator, used = build_operator(auth.settings)
        _, key = await operator.create_key("root@example.com", Role.ADMIN, "first", [])
        await used.dispose()
        admin = bearer((await auth.exchange(api_key=key)).internal_token)
        request = user_service_pb2.ListUsersRequest(query="USER", role=user_pb2.ROLE_USER, page_size=2)
        first = await auth.users.ListUsers(request, metadata=admin)
        request.page_token = first.next_page_token
        rest = await auth.users.ListUsers(request, metadata=admin)
        assert sorted(user.user_id for user in [*first.users, *rest.users]) == sorted(ids)
        assert rest.next_page_token == ""
        request.page_token = "nonsense"
        refused = await failure(auth.users.ListUsers(request, metadata=admin))
        assert [path for path, _ in refused.violations] == ["page_token"]
        one = await auth.users.GetUser(user_service_pb2.GetUserRequest(user_id=ids[0]), metadata=admin)
        assert one.user.email == "user0@example.com"


async def raw_refusal(auth: Auth, address: str) -> tuple[Any, ...]:
    """All of a refused login that the client gets, byte by byte, but the id of the request."""
    request = session_service_pb2.LoginRequest(email=address, password=WRONG)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await auth.sessions.Login(request)
    error = caught.value
    trailers = [(key, value) for key, value in error.trailing_metadata() or () if "request-id" not in key]
    return error.code(), error.details(), sorted(trailers)


class TestMigration:
    """0003 on a database with people in it."""

    async def test_accounts_count_as_verified_and_sessions_go_on(self, postgres: Callable[[], str]) -> None:
        engine = create_engine(await asyncio.to_thread(postgres))
        await migrated(engine, "0002")
        secrets, user_id, session_id = FakeSecrets(), new_id(), new_id()
        chain = [secrets.digest("refresh", name) for name in ("first", "second", "third")]
        async with engine.begin() as connection:
            values = {"user": user_id, "session": session_id, "now": START, "later": START + timedelta(days=7)}
            await connection.execute(
                text(
                    "INSERT INTO users (user_id, email, display_name, role, password_hash, created_at, updated_at) "
                    "VALUES (:user, 'ada@example.com', '', 'user', '1:x', :now, :now)"
                ),
                values,
            )
            insert_session = "INSERT INTO sessions (session_id, user_id, created_at) VALUES (:session, :user, :now)"
            await connection.execute(text(insert_session), values)
            for number, digest in enumerate(chain):
                await connection.execute(
                    text("INSERT INTO refresh_tokens VALUES (:digest, :session, :issued, :later, :used)"),
                    {
                        **values,
                        "digest": digest,
                        "issued": START + timedelta(hours=number),
                        "used": START + timedelta(hours=number + 1) if number < 2 else None,
                    },
                )
        await migrated(engine, "head")
        people = People(engine)
        async with people.units() as unit:
            found = await unit.users.get(user_id)
            assert found is not None
            assert found.verified_at == START
            generations = [row[1].generation for digest in chain if (row := await unit.sessions.lock_by_token(digest))]
        assert generations == [0, 1, 2]
        people.clock.advance(timedelta(hours=3))
        await people.sessions.refresh("third")
        with pytest.raises(AuthError):
            await people.sessions.refresh("second")
        await migrated(engine, "0002", down=True)
        await engine.dispose()

    async def test_the_migration_makes_the_tables_that_the_code_uses(self, engine: AsyncEngine) -> None:
        mine = {"users", "sessions", "refresh_tokens", "user_preferences", "registrations", "email_tokens", "mails"}
        mine |= {"login_attempts", "known_clients"}

        def compare(sync: Connection) -> list[Any]:
            options = {
                "compare_type": True,
                "include_object": lambda thing, name, kind, *_: (
                    kind in {"table", "column"} and (name if kind == "table" else thing.table.name) in mine
                ),
            }
            return list(compare_metadata(MigrationContext.configure(sync, opts=options), META))

        async with engine.connect() as connection:
            difference = await connection.run_sync(compare)
        assert people_tables.MAILS.metadata is META
        assert mine <= META.tables.keys()
        assert [item for item in difference if _of_columns(item)] == []


def _of_columns(item: Any) -> bool:
    """Whether a difference is about tables and columns; indexes are the migration's alone."""
    first = item[0] if isinstance(item, list) else item
    return not str(first[0]).endswith(("index", "constraint", "fk"))


async def migrated(engine: AsyncEngine, revision: str, *, down: bool = False) -> None:
    """Bring auth's database to a revision."""
    config = Config()
    config.set_main_option("script_location", str(stack.CHECKOUT / "services" / "auth" / "migrations"))

    def run(sync: Connection) -> None:
        config.attributes["connection"] = sync
        (command.downgrade if down else command.upgrade)(config, revision)

    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
