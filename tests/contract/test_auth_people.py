"""One suite for what people need beside accounts and sessions, in memory and on Postgres (row A1)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from services.auth.application.ports import UnitsOfWork as Units
from services.auth.domain.attempts import Attempts
from services.auth.domain.mail import ASKED, EmailToken, Mail, MailKind, Registration, TokenPurpose
from services.auth.domain.preferences import Preferences
from services.auth.domain.user import Role, User
from services.runtime.ids import new_id
from tests.fakes.auth import START

HOUR = timedelta(hours=1)
EMAIL = "ada@example.com"


async def stored(
    units: Units, email: str | None = EMAIL, name: str = "Ada", role: Role = Role.USER, number: int = 0
) -> User:
    """A committed account, with a number as its id if there is one."""
    user = User(str(UUID(int=number)) if number else new_id(), email, name, role, "hash", START)
    async with units() as unit:
        assert await unit.users.add(user)
        await unit.commit()
    return user


def registration(email: str = EMAIL, minutes: int = 0) -> Registration:
    """That was made so late."""
    made = START + timedelta(minutes=minutes)
    return Registration(new_id(), email, "Ada", "hash", made, made + HOUR)


def mail(minutes: int = 0, kind: MailKind = MailKind.RESET, recipient: str = EMAIL) -> Mail:
    """That was asked for so late."""
    return Mail(new_id(), kind, recipient, START + timedelta(minutes=minutes))


class TestAccounts:
    """What is new about them."""

    async def test_accounts_may_be_without_an_address(self, units: Units) -> None:
        users = [await stored(units, None, name) for name in ("Ada", "Eve")]
        async with units() as unit:
            assert [await unit.users.get(user.user_id) for user in users] == users

    async def test_an_address_is_given_once(self, units: Units) -> None:
        ada, eve = await stored(units), await stored(units, "eve@example.com")
        async with units() as unit:
            assert not await unit.users.set_email(eve.user_id, EMAIL, START)
            assert not await unit.users.set_email(new_id(), "new@example.com", START)
            assert await unit.users.set_email(ada.user_id, EMAIL, START)
            assert await unit.users.set_email(eve.user_id, "new@example.com", START)
            await unit.commit()
        async with units() as unit:
            assert await unit.users.get(ada.user_id) == replace(ada, verified_at=START)
            assert await unit.users.find_by_email("new@example.com") == replace(
                eve, email="new@example.com", verified_at=START
            )

    async def test_names_and_passwords_are_replaced(self, units: Units) -> None:
        ada = await stored(units)
        async with units() as unit:
            assert await unit.users.set_display_name(ada.user_id, "A. L.", START) == replace(ada, display_name="A. L.")
            assert await unit.users.set_display_name(new_id(), "A. L.", START) is None
            assert await unit.users.set_password(ada.user_id, "new", START)
            assert not await unit.users.set_password(new_id(), "new", START)
            assert await unit.users.holds_password(ada.user_id, "new")

    async def test_preferences_are_replaced_as_a_whole(self, units: Units) -> None:
        ada, eve = await stored(units), await stored(units, "eve@example.com")
        async with units() as unit:
            assert await unit.users.preferences(ada.user_id) == Preferences()
            await unit.users.set_preferences(ada.user_id, Preferences(theme="light", captions=True), START)
            await unit.users.set_preferences(ada.user_id, Preferences(locale="de-CH"), START)
            await unit.commit()
        async with units() as unit:
            assert await unit.users.preferences(ada.user_id) == Preferences(locale="de-CH")
            assert await unit.users.preferences(eve.user_id) == Preferences()

    async def test_pages_filter_and_go_from_new_to_old(self, units: Units) -> None:
        users = [
            await stored(units, f"{name}@example.com", name.title(), number=number)
            for number, name in enumerate(("ada", "grace", "mary"), 1)
        ]
        nameless = await stored(units, None, "100%_sure", Role.ADMIN, number=4)
        async with units() as unit:
            assert await unit.users.page("", None, None, 3) == [nameless, users[2], users[1]]
            assert await unit.users.page("", None, users[1].user_id, 3) == [users[0]]
            assert await unit.users.page("GRACE", None, None, 3) == [users[1]]
            assert await unit.users.page("0%_s", None, None, 3) == [nameless]
            assert await unit.users.page("a%a", None, None, 3) == []
            assert await unit.users.page("", Role.ADMIN, None, 3) == [nameless]


class TestRegistrations:
    """Accounts to be, and tokens."""

    async def test_the_newest_open_one_of_an_address_is_found(self, units: Units) -> None:
        old, new, other = registration(), registration(minutes=5), registration("eve@example.com", 9)
        async with units() as unit:
            for each in (new, old, other):
                await unit.registrations.add(each)
            await unit.commit()
        async with units() as unit:
            assert await unit.registrations.newest(EMAIL, START) == new
            assert await unit.registrations.newest(EMAIL, new.expires_at) is None
            assert await unit.registrations.get(old.registration_id) == old
            assert await unit.registrations.get(new_id()) is None

    async def test_completing_one_forgets_its_hash_and_the_others_of_the_address(self, units: Units) -> None:
        chosen, left, other = registration(), registration(), registration("eve@example.com")
        ada = await stored(units)
        async with units() as unit:
            for each in (chosen, left, other):
                await unit.registrations.add(each)
            token = EmailToken(b"left", TokenPurpose.VERIFY, EMAIL, START + HOUR, left.registration_id)
            await unit.email_tokens.add(token)
            await unit.registrations.complete(chosen, ada.user_id)
            await unit.commit()
        async with units() as unit:
            done = await unit.registrations.get(chosen.registration_id)
            assert done == replace(chosen, user_id=ada.user_id, password_hash="")
            assert await unit.registrations.get(left.registration_id) is None
            assert await unit.email_tokens.lock(b"left") is None
            assert await unit.registrations.newest(EMAIL, START) is None
            assert await unit.registrations.get(other.registration_id) == other

    async def test_tokens_are_found_used_and_revoked(self, units: Units) -> None:
        ada, eve = await stored(units), await stored(units, "eve@example.com")
        ends = START + HOUR
        tokens = {
            name: EmailToken(name, purpose, EMAIL, ends, user_id=user.user_id)
            for name, purpose, user in [
                (b"used", TokenPurpose.RESET, ada),
                (b"reset", TokenPurpose.RESET, ada),
                (b"verify", TokenPurpose.VERIFY, ada),
                (b"hers", TokenPurpose.RESET, eve),
            ]
        }
        async with units() as unit:
            for token in tokens.values():
                await unit.email_tokens.add(token)
            await unit.email_tokens.use(b"used", START)
            await unit.email_tokens.revoke_all(ada.user_id, [TokenPurpose.RESET])
            await unit.commit()
        async with units() as unit:
            assert await unit.email_tokens.lock(b"used") == replace(tokens[b"used"], used_at=START)
            assert await unit.email_tokens.lock(b"reset") is None
            assert await unit.email_tokens.lock(b"verify") == tokens[b"verify"]
            assert await unit.email_tokens.purge(ends - HOUR / 2) == 0
            assert await unit.email_tokens.purge(ends) == 3

    async def test_ended_registrations_take_their_tokens_along(self, units: Units) -> None:
        early, late = registration(), registration(minutes=5)
        async with units() as unit:
            for each in (early, late):
                await unit.registrations.add(each)
                token = EmailToken(
                    each.email.encode() + each.registration_id.encode(), TokenPurpose.VERIFY, EMAIL, START
                )
                await unit.email_tokens.add(replace(token, registration_id=each.registration_id))
            assert await unit.registrations.purge(early.expires_at) == 1
            assert await unit.registrations.get(early.registration_id) is None
            assert await unit.email_tokens.purge(START) == 1


class TestMails:
    """The queue."""

    async def test_due_mails_are_claimed_in_order_and_once(self, units: Units) -> None:
        mails = [mail(minutes) for minutes in range(3)]
        async with units() as unit:
            for each in reversed(mails):
                await unit.mails.add(each)
            await unit.commit()
        now, until = START + timedelta(minutes=1), START + HOUR
        async with units() as unit:
            assert await unit.mails.claim(START - HOUR, until, 10) == []
            assert await unit.mails.claim(now, until, 1) == [replace(mails[0], attempts=1)]
            assert await unit.mails.claim(now, until, 10) == [replace(mails[1], attempts=1)]
            assert await unit.mails.claim(now, until, 10) == []
            await unit.commit()
        async with units() as unit:
            again = await unit.mails.claim(until, until + HOUR, 10)
        assert [(each.mail_id, each.attempts) for each in again] == [
            (mails[0].mail_id, 2),
            (mails[1].mail_id, 2),
            (mails[2].mail_id, 1),
        ]

    async def test_concurrent_senders_take_different_mails(self, units: Units) -> None:
        async with units() as unit:
            for _ in range(12):
                await unit.mails.add(mail())
            await unit.commit()

        async def claim() -> list[str]:
            async with units() as unit:
                taken = await unit.mails.claim(START, START + HOUR, 4)
                await unit.commit()
            return [each.mail_id for each in taken]

        taken = [mail_id for each in await asyncio.gather(*(claim() for _ in range(4))) for mail_id in each]
        assert len(taken) == len(set(taken))
        while more := await claim():
            taken += more
        assert len(set(taken)) == 12

    async def test_a_mail_ends_or_is_put_off(self, units: Units) -> None:
        sent, later = mail(), mail(minutes=1)
        async with units() as unit:
            for each in (sent, later):
                await unit.mails.add(each)
            await unit.mails.finish(sent.mail_id, "sent", START)
            await unit.mails.put_off(later.mail_id, START + HOUR, "away")
            await unit.commit()
        async with units() as unit:
            assert await unit.mails.claim(START + HOUR / 2, START + HOUR, 10) == []
            assert await unit.mails.sent_since(EMAIL, ASKED, START - HOUR) == 1
            assert await unit.mails.sent_since(EMAIL, ASKED, START) == 0
            assert await unit.mails.sent_since("eve@example.com", ASKED, START - HOUR) == 0
            assert await unit.mails.sent_since(EMAIL, {MailKind.CHANGED}, START - HOUR) == 0
            assert await unit.mails.purge(START) == 0
            assert await unit.mails.purge(START + HOUR) == 1
            assert [each.mail_id for each in await unit.mails.claim(START + HOUR, START + 2 * HOUR, 10)] == [
                later.mail_id
            ]


class TestAttempts:
    """Failures and known clients."""

    async def test_what_is_stored_is_found_and_what_is_not_is_new(self, units: Units) -> None:
        found = {b"b": Attempts(3, START + HOUR, START), b"a": Attempts(1, None, START)}
        async with units() as unit:
            assert await unit.attempts.lock([b"b", b"a"], START) == {key: Attempts(0, None, START) for key in found}
            await unit.attempts.store(found)
            await unit.commit()
        async with units() as unit:
            assert await unit.attempts.lock([b"a", b"b", b"c"], START + HOUR) == {
                **found,
                b"c": Attempts(0, None, START + HOUR),
            }

    async def test_a_client_is_known_for_a_while(self, units: Units) -> None:
        async with units() as unit:
            assert not await unit.attempts.is_known(b"home", START - HOUR)
            for hours in (0, 1):
                await unit.attempts.remember(b"home", START + hours * HOUR)
            assert await unit.attempts.is_known(b"home", START + HOUR / 2)
            assert not await unit.attempts.is_known(b"home", START + HOUR)
            await unit.attempts.store({b"old": Attempts(1, None, START), b"new": Attempts(1, None, START + HOUR)})
            assert await unit.attempts.purge(START + HOUR / 2, START + HOUR / 2) == 1
            assert await unit.attempts.purge(START + HOUR / 2, START + 2 * HOUR) == 1

    async def test_concurrent_charges_all_count(self, units: Units) -> None:
        async def charge() -> None:
            async with units() as unit:
                found = await unit.attempts.lock([b"account", b"client"], START)
                await unit.attempts.store(
                    {key: replace(each, failures=each.failures + 1) for key, each in found.items()}
                )
                await unit.commit()

        await asyncio.gather(*(charge() for _ in range(10)))
        async with units() as unit:
            found = await unit.attempts.lock([b"account", b"client"], START)
        assert [each.failures for each in found.values()] == [10, 10]
