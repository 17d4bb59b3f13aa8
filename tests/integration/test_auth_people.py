"""Nobody learns who has an account, mail, refresh tokens: the use cases on the real Postgres (rows A1, A2)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.mail.smtp import SmtpServer, SmtpTransport
from services.auth.application.mailroom import Mailroom
from services.auth.domain.errors import CredentialInvalid, InvalidValue
from services.auth.domain.session import Client
from tests.fakes.auth import FakeSecrets
from tests.fakes.smtp_server import SmtpInbox, smtp_server
from tests.integration.auth_harness import EMAIL, PASSWORD
from tests.integration.people_harness import OTHER, SENDER, WRONG, People, emptied


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    """On empty tables."""
    made = await emptied()
    yield made
    await made.dispose()


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
