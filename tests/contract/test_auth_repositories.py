"""One suite for auth's repositories, in memory and on Postgres (rows A1, A2, A4, A5)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.auth.application.accounts import Accounts
from services.auth.application.api_keys import ApiKeys
from services.auth.application.identities import Identities
from services.auth.application.passwords import Passwords
from services.auth.application.ports import UnitsOfWork as Units
from services.auth.domain.api_key import ApiKey
from services.auth.domain.errors import LastAdmin
from services.auth.domain.identity import ExternalPerson, Identity
from services.auth.domain.revocation import RevocationKind
from services.auth.domain.session import ACCESS_LIFETIME, Client, RefreshToken, Session, Trade
from services.auth.domain.user import Role, User
from services.runtime.ids import new_id
from tests.fakes.auth import START, CountingIds, FakeClock, FakeHasher, FakeSecrets
from tests.fakes.auth_people import FakePolicy

HOUR = timedelta(hours=1)
CLIENT = Client("192.0.2.7", "a browser")


def user(email: str = "ada@example.com", role: Role = Role.USER) -> User:
    """An account with an id of its own."""
    return User(new_id(), email, "Ada", role, "hash", START)


async def stored(units: Units, *users: User) -> None:
    """Commit the accounts."""
    async with units() as unit:
        for each in users:
            assert await unit.users.add(each)
        await unit.commit()


async def opened(units: Units, owner: User, digest: bytes = b"first") -> Session:
    """Commit a session of the owner, whose first token has this digest."""
    session = Session(new_id(), owner.user_id, START)
    async with units() as unit:
        await unit.sessions.add(session, RefreshToken(digest, session.session_id, START, START + HOUR))
        await unit.commit()
    return session


async def traded(units: Units, digest: bytes, following: bytes, now: datetime = START) -> Trade | None:
    """Trade a token for the next one and commit; what came of it."""
    async with units() as unit:
        found = await unit.sessions.lock_by_token(digest)
        if found is None:
            return None
        session, token = found
        trade = session.trade(token, now, timedelta(0))
        if trade is Trade.NEXT:
            session = session.traded(trade, CLIENT, now)
            issued = RefreshToken(following, session.session_id, now, now + HOUR, generation=session.generation)
            await unit.sessions.trade(session, token, issued)
        await unit.commit()
    return trade


class TestUsers:
    """Accounts."""

    async def test_an_account_is_found_as_it_was_stored(self, units: Units) -> None:
        ada, keyless = user(), replace(user("bot@example.com"), password_hash=None)
        await stored(units, ada, keyless)
        async with units() as unit:
            assert await unit.users.get(ada.user_id) == ada
            assert await unit.users.find_by_email("ada@example.com") == ada
            assert await unit.users.get(keyless.user_id) == keyless
            assert await unit.users.find_by_email("eve@example.com") is None
            assert await unit.users.get(new_id()) is None
            assert await unit.users.get("video_render") is None  # a service's id is no user's

    async def test_an_address_is_taken_once(self, units: Units) -> None:
        await stored(units, user())
        async with units() as unit:
            assert not await unit.users.add(user())

    async def test_what_is_not_committed_is_undone(self, units: Units) -> None:
        ada = user()
        async with units() as unit:
            await unit.users.add(ada)
        async with units() as unit:
            assert await unit.users.get(ada.user_id) is None

    async def test_a_role_is_changed(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        async with units() as unit:
            assert await unit.users.set_role(ada.user_id, Role.ADMIN, START) == replace(ada, role=Role.ADMIN)
            assert await unit.users.set_role(new_id(), Role.ADMIN, START) is None
            assert await unit.users.lock_admins() == {ada.user_id}

    async def test_a_password_hash_is_replaced_only_while_it_is_the_one_that_was_checked(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        async with units() as unit:
            assert not await unit.users.set_password_hash(ada.user_id, "another", "lost", START)
            assert await unit.users.get(ada.user_id) == ada
            assert await unit.users.holds_password(ada.user_id, "hash")
            assert await unit.users.set_password_hash(ada.user_id, "hash", "new", START)
            assert not await unit.users.holds_password(ada.user_id, "hash")
            assert await unit.users.get(ada.user_id) == replace(ada, password_hash="new")

    async def test_two_admins_who_demote_each_other_at_once_leave_one(self, units: Units) -> None:
        first, second = user("a@example.com", Role.ADMIN), user("b@example.com", Role.ADMIN)
        await stored(units, first, second)
        accounts = Accounts(units, Passwords(FakePolicy(), FakeHasher()), FakeClock(), CountingIds())
        outcomes = await asyncio.gather(
            accounts.change_role(first.user_id, Role.USER),
            accounts.change_role(second.user_id, Role.READONLY),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == sorted([LastAdmin.__name__, "User"])
        async with units() as unit:
            assert len(await unit.users.lock_admins()) == 1


class TestSessions:
    """Sessions and refresh tokens (A2)."""

    async def test_a_session_is_seen_by_its_owner_only(self, units: Units) -> None:
        ada, eve = user(), user("eve@example.com")
        await stored(units, ada, eve)
        session = await opened(units, ada)
        async with units() as unit:
            assert await unit.sessions.get(session.session_id, ada.user_id) == session
            assert await unit.sessions.get(session.session_id, eve.user_id) is None
            await unit.sessions.revoke(session.session_id, eve.user_id, START)
            assert await unit.sessions.get(session.session_id, ada.user_id) == session

    async def test_a_token_is_traded_for_the_next_and_the_session_remembers(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        session = await opened(units, ada)
        later = START + HOUR / 2
        assert await traded(units, b"first", b"second", later) is Trade.NEXT
        async with units() as unit:
            first, second = await unit.sessions.lock_by_token(b"first"), await unit.sessions.lock_by_token(b"second")
        after = replace(session, last_used_at=later, client=CLIENT, generation=1, rotated_at=later)
        used = RefreshToken(b"first", session.session_id, START, START + HOUR, later)
        assert first == (after, used)
        assert second == (after, RefreshToken(b"second", session.session_id, later, later + HOUR, generation=1))

    async def test_of_concurrent_trades_each_sees_what_the_one_before_left(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        await opened(units, ada)
        outcomes = await asyncio.gather(
            *(traded(units, b"first", b"next %d" % number, START + timedelta(seconds=number)) for number in range(8))
        )
        assert sorted(outcome.name for outcome in outcomes if outcome) == ["NEXT", *["REUSED"] * 7]

    @pytest.mark.parametrize(
        ("reason", "expected"), [("unknown", None), ("expired", Trade.EXPIRED), ("revoked", Trade.CLOSED)]
    )
    async def test_a_token_that_does_not_work_is_not_traded(
        self, units: Units, reason: str, expected: Trade | None
    ) -> None:
        ada = user()
        await stored(units, ada)
        session = await opened(units, ada)
        if reason == "revoked":
            async with units() as unit:
                assert await unit.sessions.revoke(session.session_id, ada.user_id, START)
                await unit.commit()
        digest = b"other" if reason == "unknown" else b"first"
        assert await traded(units, digest, b"second", START + HOUR if reason == "expired" else START) is expected
        assert await traded(units, b"second", b"third") is None

    async def test_open_sessions_are_listed_to_their_owner_the_one_used_last_first(self, units: Units) -> None:
        ada, eve = user(), user("eve@example.com")
        await stored(units, ada, eve)
        idle, busy = await opened(units, ada, b"idle"), await opened(units, ada, b"busy")
        closed = await opened(units, ada, b"closed")
        await opened(units, eve, b"hers")
        await traded(units, b"busy", b"busier", START + HOUR / 2)
        async with units() as unit:
            await unit.sessions.revoke(closed.session_id, ada.user_id, START)
            listed = await unit.sessions.list_open(ada.user_id, START - HOUR, 10)
            assert [session.session_id for session in listed] == [busy.session_id, idle.session_id]
            assert listed[0].client == CLIENT
            assert len(await unit.sessions.list_open(ada.user_id, START - HOUR, 1)) == 1
            assert [row.session_id for row in await unit.sessions.list_open(ada.user_id, START, 10)] == [
                busy.session_id
            ]

    async def test_all_sessions_but_one_are_closed(self, units: Units) -> None:
        ada, eve = user(), user("eve@example.com")
        await stored(units, ada, eve)
        mine = [await opened(units, ada, b"%d" % number) for number in range(3)]
        hers = await opened(units, eve, b"hers")
        async with units() as unit:
            closed = await unit.sessions.revoke_all(ada.user_id, START, keep=mine[1].session_id)
            assert sorted(closed) == sorted([mine[0].session_id, mine[2].session_id])
            assert await unit.sessions.revoke_all(ada.user_id, START) == [mine[1].session_id]
            assert await unit.sessions.get(hers.session_id, eve.user_id) == hers

    async def test_the_first_revocation_stays(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        session = await opened(units, ada)
        async with units() as unit:
            assert await unit.sessions.revoke(session.session_id, ada.user_id, START)
            assert not await unit.sessions.revoke(session.session_id, ada.user_id, START + HOUR)
            assert await unit.sessions.get(session.session_id, ada.user_id) == replace(session, revoked_at=START)

    async def test_purge_forgets_ended_sessions_and_keeps_living_ones(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        ended, living = await opened(units, ada, b"ended"), await opened(units, ada, b"living")
        async with units() as unit:
            kept = replace(living, generation=1, rotated_at=START)
            used = RefreshToken(b"living", living.session_id, START, START + HOUR)
            later = RefreshToken(b"next", living.session_id, START, START + 10 * HOUR, generation=1)
            await unit.sessions.trade(kept, used, later)
            await unit.commit()
        async with units() as unit:
            assert await unit.sessions.purge(START + 2 * HOUR) == 2
            assert await unit.sessions.get(ended.session_id, ada.user_id) is None
            assert await unit.sessions.get(living.session_id, ada.user_id) == kept
            assert await unit.sessions.lock_by_token(b"next") is not None


class TestRevocations:
    """What ended before its tokens did (A2)."""

    async def numbers(
        self, units: Units, after: int = 0, skipped: Collection[int] = (), now: datetime = START
    ) -> list[int]:
        """Of the revocations that are read."""
        async with units() as unit:
            return [row.sequence for row in await unit.revocations.since(after, skipped, now)]

    async def test_they_are_read_in_order_and_each_as_long_as_it_is_needed(self, units: Units) -> None:
        ada = user()
        async with units() as unit:
            await unit.revocations.add(RevocationKind.SESSION, "a session", START)
            await unit.revocations.add(RevocationKind.USER, ada.user_id, START)
            await unit.commit()
        async with units() as unit:
            session, everything = await unit.revocations.since(0, (), START)
        assert (session.kind, session.subject_id, session.at) == (RevocationKind.SESSION, "a session", START)
        assert START + ACCESS_LIFETIME < session.until < everything.until
        assert await self.numbers(units, session.sequence) == [everything.sequence]
        assert await self.numbers(units, now=session.until) == [everything.sequence]
        async with units() as unit:
            assert await unit.revocations.prune(session.until) == 1
            await unit.commit()
        assert await self.numbers(units) == [everything.sequence]

    async def test_one_that_is_committed_late_is_found_by_its_skipped_number(self, units: Units) -> None:
        first, undone, third = await self.numbers_of_three(units)
        assert await self.numbers(units, first) == [third]
        assert await self.numbers(units, third, {first, undone}) == [first]

    async def numbers_of_three(self, units: Units) -> tuple[int, int, int]:
        """Of three revocations in a row, of which the second was undone."""
        for index in range(3):
            async with units() as unit:
                await unit.revocations.add(RevocationKind.API_KEY, f"key{index}", START)
                if index != 1:
                    await unit.commit()
        first, third = await self.numbers(units)
        assert third == first + 2
        return first, first + 1, third

    async def test_the_last_moment_at_which_a_user_lost_everything(self, units: Units) -> None:
        ada, eve = user(), user("eve@example.com")
        async with units() as unit:
            for moment in (START + HOUR, START):
                await unit.revocations.add(RevocationKind.USER, ada.user_id, moment)
            await unit.revocations.add(RevocationKind.SESSION, eve.user_id, START)
            assert await unit.revocations.user_revoked_at(ada.user_id) == START + HOUR
            assert await unit.revocations.user_revoked_at(eve.user_id) is None


class TestApiKeys:
    """API keys (A4)."""

    def key(self, owner: User, key_id: str, **changes: Any) -> ApiKey:
        """A key of the owner."""
        return replace(
            ApiKey(key_id, owner.user_id, "nightly", ("jobs:read", "jobs:write"), b"digest", START), **changes
        )

    async def test_keys_are_found_as_stored_and_listed_newest_first_to_the_owner(self, units: Units) -> None:
        ada, eve = user(), user("eve@example.com")
        await stored(units, ada, eve)
        old = self.key(ada, "aaaaaaaa", expires_at=START + HOUR)
        new = self.key(ada, "bbbbbbbb", scopes=(), created_at=START + HOUR)
        async with units() as unit:
            for each in (old, new, self.key(eve, "cccccccc")):
                await unit.api_keys.add(each)
            await unit.commit()
        async with units() as unit:
            assert await unit.api_keys.page(ada.user_id, 10) == [new, old]
            assert await unit.api_keys.page(ada.user_id, 1) == [new]
            assert await unit.api_keys.page(ada.user_id, 10, new) == [old]
            assert await unit.api_keys.page(ada.user_id, 10, old) == []
            assert await unit.api_keys.find("aaaaaaaa") == old
            assert await unit.api_keys.find("dddddddd") is None

    async def test_a_key_is_revoked_by_its_owner_once(self, units: Units) -> None:
        ada, eve = user(), user("eve@example.com")
        await stored(units, ada, eve)
        key = self.key(ada, "aaaaaaaa")
        async with units() as unit:
            await unit.api_keys.add(key)
            assert not await unit.api_keys.revoke("aaaaaaaa", eve.user_id, START)
            assert not await unit.api_keys.revoke("bbbbbbbb", ada.user_id, START)
            assert await unit.api_keys.find("aaaaaaaa") == key
            assert await unit.api_keys.revoke("aaaaaaaa", ada.user_id, START)
            assert await unit.api_keys.revoke("aaaaaaaa", ada.user_id, START + HOUR)
            assert await unit.api_keys.find("aaaaaaaa") == replace(key, revoked_at=START)

    async def test_keys_that_work_are_counted_and_use_is_noted(self, units: Units) -> None:
        ada, eve = user(), user("eve@example.com")
        await stored(units, ada, eve)
        alive = self.key(ada, "aaaaaaaa", expires_at=START + HOUR)
        ended = self.key(ada, "bbbbbbbb", expires_at=START)
        revoked = self.key(ada, "cccccccc", revoked_at=START)
        async with units() as unit:
            for each in (alive, ended, revoked, self.key(eve, "dddddddd")):
                await unit.api_keys.add(each)
            assert await unit.api_keys.count_live(ada.user_id, START) == 1
            assert await unit.api_keys.count_live(ada.user_id, START + HOUR) == 0
            await unit.api_keys.touch("aaaaaaaa", START + HOUR)
            assert await unit.api_keys.find("aaaaaaaa") == replace(alive, last_used_at=START + HOUR)

    async def test_of_two_that_are_made_at_once_only_one_fits(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        keys = ApiKeys(units, FakeSecrets(), FakeClock(), (), most=1)
        outcomes = await asyncio.gather(*(keys.create(ada.user_id, "k") for _ in range(4)), return_exceptions=True)
        assert sorted(type(each).__name__ for each in outcomes) == ["TooManyKeys"] * 3 + ["tuple"]


class TestIdentities:
    """People of other issuers (A3)."""

    async def test_a_person_is_one_user_whoever_comes_first(self, units: Units) -> None:
        ada, eve = user(), user("eve@example.com")
        await stored(units, ada, eve)
        first = Identity("https://issuer.example", "p1", ada.user_id, START)
        async with units() as unit:
            assert await unit.identities.find(first.issuer, first.subject) is None
            assert await unit.identities.add(first, START)
            assert not await unit.identities.add(replace(first, user_id=eve.user_id), START)
            assert await unit.identities.add(replace(first, issuer="https://other.example", linked=True), START)
            await unit.commit()
        async with units() as unit:
            assert await unit.identities.find(first.issuer, first.subject) == first
            assert await unit.identities.find(first.issuer, "P1") is None
            assert await unit.identities.is_known_elsewhere(first.user_id)
            assert not await unit.identities.is_known_elsewhere(eve.user_id)

    async def test_only_newer_claims_change_the_user(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        person = Identity("https://issuer.example", "p1", ada.user_id, START)
        async with units() as unit:
            await unit.identities.add(person, START)
            assert not await unit.identities.advance(person.issuer, person.subject, START)
            assert await unit.identities.advance(person.issuer, person.subject, START + HOUR)
            assert not await unit.identities.advance(person.issuer, person.subject, START + HOUR)
            assert not await unit.identities.advance(person.issuer, "nobody", START + HOUR)

    async def test_who_is_forgotten_is_known_only_by_a_digest_and_not_for_ever(self, units: Units) -> None:
        ada = user()
        await stored(units, ada)
        person = Identity("https://issuer.example", "p1", ada.user_id, START)
        async with units() as unit:
            await unit.identities.add(person, START)
            await unit.identities.forget(ada.user_id, START + HOUR)
            assert await unit.identities.find(person.issuer, person.subject) is None
            assert await unit.identities.forgotten_at(person.issuer, person.subject) == START + HOUR
            assert await unit.identities.forgotten_at(person.issuer, "p2") is None
            await unit.identities.add(person, START)  # came back, and is erased again
            await unit.identities.forget(ada.user_id, START + 2 * HOUR)
            assert await unit.identities.forgotten_at(person.issuer, person.subject) == START + 2 * HOUR
            assert await unit.identities.prune(START + 2 * HOUR) == 0
            assert await unit.identities.prune(START + 3 * HOUR) == 1
            assert await unit.identities.forgotten_at(person.issuer, person.subject) is None

    async def test_many_first_sights_at_once_make_one_user(self, units: Units) -> None:
        welcomed: list[str] = []

        async def welcome(user_id: str) -> None:
            welcomed.append(user_id)

        class NewIds:
            """`Ids`."""

            def new_id(self) -> str:
                return new_id()

        cases = Identities(units, welcome, FakeClock(), NewIds())
        person = ExternalPerson("https://issuer.example", "p1", START, START + HOUR, "ada@example.com", "Ada")
        users = await asyncio.gather(*(cases.user_of(person) for _ in range(8)))
        assert len({each.user_id for each in users}) == 1
        assert welcomed == [users[0].user_id]
        assert users[0].email == "ada@example.com"
