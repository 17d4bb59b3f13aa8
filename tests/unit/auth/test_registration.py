"""Registering, verifying, mail (row A1), on fakes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.auth.application.people_ports import Message
from services.auth.application.registrations import Verified
from services.auth.domain.errors import InvalidValue, LoginRefused
from services.auth.domain.mail import ASKED_PER_HOUR, KEPT_FOR
from services.auth.domain.mail_texts import Links, change_asked, verify
from services.auth.domain.user import Role
from tests.unit.auth.world import EMAIL, PASSWORD, World

HOUR = timedelta(hours=1)
OTHER = "quite another phrase"


async def registered(world: World, password: str = PASSWORD) -> str:
    """The token of a registration."""
    await world.registrations.register(" Ada@Example.com ", password, " Ada ")
    return await world.code(EMAIL)


class TestRegistration:
    """An account exists once its address is verified."""

    async def test_a_verified_registration_is_an_account(self, world: World) -> None:
        code = await registered(world)
        assert not world.units.tables.users
        verified = await world.registrations.verify(code)
        assert verified.registered
        user = await world.accounts.profile(verified.user_id)
        assert (user.email, user.display_name, user.role) == (EMAIL, "Ada", Role.USER)
        assert user.verified_at == world.clock.now()
        await world.sessions.login(EMAIL, PASSWORD)

    async def test_nobody_logs_in_before_that_and_the_answer_does_not_tell_why(self, world: World) -> None:
        await registered(world)
        with pytest.raises(LoginRefused):
            await world.sessions.login(EMAIL, PASSWORD)

    async def test_verifying_may_be_repeated(self, world: World) -> None:
        code = await registered(world)
        assert await world.registrations.verify(code) == await world.registrations.verify(code)
        assert len(world.units.tables.users) == 1

    async def test_of_several_registrations_the_verified_one_counts(self, world: World) -> None:
        eve = await registered(world, OTHER)
        await world.registrations.verify(await registered(world))
        with pytest.raises(InvalidValue):
            await world.registrations.verify(eve)
        await world.sessions.login(EMAIL, PASSWORD)
        assert [row.password_hash for row in world.units.tables.registrations.values()] == [""]

    async def test_an_account_made_meanwhile_wins(self, world: World) -> None:
        code = await registered(world)
        await world.accounts.register(EMAIL, OTHER)
        with pytest.raises(InvalidValue, match="token"):
            await world.registrations.verify(code)
        await world.sessions.login(EMAIL, OTHER)

    async def test_a_known_address_is_told_by_mail_and_gets_no_token(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        await world.registrations.register(EMAIL, OTHER, "Eve")
        mail = await world.mail(EMAIL)
        assert mail.subject == "You have an account already"
        assert not world.units.tables.email_tokens
        assert "Eve" not in mail.plain + mail.html

    async def test_a_token_ends_after_a_day_and_a_changed_one_never_worked(self, world: World) -> None:
        code = await registered(world)
        with pytest.raises(InvalidValue):
            await world.registrations.verify(code[:-1] + "x")
        world.clock.advance(24 * HOUR)
        with pytest.raises(InvalidValue):
            await world.registrations.verify(code)
        assert await world.registrations.purge() == 1
        assert not world.units.tables.email_tokens

    async def test_a_weak_password_is_refused_before_anything_is_stored(self, world: World) -> None:
        for weak in ("password password", "it is ada@example.com"):
            with pytest.raises(InvalidValue, match="password is easy to guess"):
                await world.registrations.register(EMAIL, weak, "")
        assert not world.units.tables.registrations
        assert not world.units.tables.mails

    async def test_the_mail_is_sent_again_and_both_tokens_work(self, world: World) -> None:
        first = await registered(world)
        await world.registrations.resend("ADA@example.com")
        second = await world.code(EMAIL)
        assert first != second
        assert await world.registrations.verify(second) == await world.registrations.verify(first)

    @pytest.mark.parametrize("known", [True, False])
    async def test_nothing_is_sent_again_where_nothing_is_to_be_verified(self, world: World, known: bool) -> None:
        if known:
            await world.accounts.register(EMAIL, PASSWORD)
        await world.registrations.resend(EMAIL)
        assert await world.mailroom.deliver() == 1
        assert world.transport.sent == []
        assert [row.state for row in world.units.tables.mails.values()] == ["dropped"]

    async def test_without_verification_the_account_exists_at_once(self, world: World) -> None:
        user_id = await world.unverified.register(EMAIL, PASSWORD, "Ada")
        assert user_id is not None
        assert await world.unverified.register(EMAIL, OTHER, "Eve") is None
        await world.sessions.login(EMAIL, PASSWORD)
        assert (await world.accounts.profile(user_id)).verified_at is None
        await world.registrations.resend(EMAIL)
        assert await world.registrations.verify(await world.code(EMAIL)) == Verified(user_id, registered=False)
        assert (await world.accounts.profile(user_id)).verified_at is not None
        assert [message.subject for message in world.transport.sent] == ["Confirm your e-mail address"]


class TestMail:
    """The queue and what is in the mails."""

    async def test_an_address_gets_a_bounded_number_of_mails_that_others_ask_for(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        for _ in range(ASKED_PER_HOUR + 3):
            await world.recovery.request_reset(EMAIL)
            await world.mailroom.deliver()
        assert len(world.transport.to(EMAIL)) == ASKED_PER_HOUR
        world.clock.advance(HOUR)
        await world.recovery.request_reset(EMAIL)
        await world.mailroom.deliver()
        assert len(world.transport.to(EMAIL)) == ASKED_PER_HOUR + 1

    async def test_a_server_that_is_away_gets_the_mail_later(self, world: World) -> None:
        world.transport.away = True
        await world.registrations.register(EMAIL, PASSWORD, "")
        waits = []
        for _ in range(4):
            assert await world.mailroom.deliver() == 1
            assert await world.mailroom.deliver() == 0
            (row,) = world.units.tables.mails.values()
            waits.append((row.next_at - world.clock.now()).total_seconds())
            world.clock.moment = row.next_at
        assert waits == [10, 20, 40, 80]
        world.transport.away = False
        await world.registrations.verify(await world.code(EMAIL))

    async def test_after_a_day_nobody_tries_any_more(self, world: World) -> None:
        world.transport.away = True
        await world.registrations.register(EMAIL, PASSWORD, "")
        for _ in range(60):
            await world.mailroom.deliver()
            (row,) = world.units.tables.mails.values()
            if row.state == "failed":
                break
            world.clock.moment = row.next_at
        assert row.state == "failed"
        assert world.clock.now() - row.mail.created_at <= 24 * HOUR
        world.clock.advance(KEPT_FOR + HOUR)
        assert await world.mailroom.purge() == 1

    async def test_a_refused_recipient_is_given_up_and_noted(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        world.transport.refused.add(EMAIL)
        await world.recovery.change(user.user_id, PASSWORD, OTHER)
        await world.mailroom.deliver()
        (row,) = world.units.tables.mails.values()
        assert (row.state, row.error) == ("failed", "refused on demand")
        assert [note.event for note in world.units.tables.notes.values()] == ["mail.given_up"]

    async def test_two_senders_never_send_one_mail(self, world: World) -> None:
        for number in range(5):
            await world.registrations.register(f"ada{number}@example.com", PASSWORD, "")
        await asyncio.gather(*(world.mailroom.deliver() for _ in range(4)))
        assert len(world.transport.sent) == 5
        assert len({message.message_id for message in world.transport.sent}) == 5

    async def test_a_mail_whose_sender_died_is_sent_by_another_after_the_lease(self, world: World) -> None:
        await world.registrations.register(EMAIL, PASSWORD, "")
        async with world.units() as unit:
            await unit.mails.claim(world.clock.now(), world.clock.now() + timedelta(minutes=2), 1)
            await unit.commit()
        assert await world.mailroom.deliver() == 0
        world.clock.advance(timedelta(minutes=2))
        await world.registrations.verify(await world.code(EMAIL))

    async def test_a_sender_that_dies_after_handing_over_sends_twice_and_both_tokens_work(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.registrations.register(EMAIL, PASSWORD, "")
        send = world.transport.send

        async def send_and_die(message: Message) -> None:
            await send(message)
            raise asyncio.CancelledError

        with monkeypatch.context() as dying:
            dying.setattr(world.transport, "send", send_and_die)
            with pytest.raises(asyncio.CancelledError):
                await world.mailroom.deliver()
        world.clock.advance(timedelta(minutes=2))
        second = await world.code(EMAIL)
        first = next(line for line in world.transport.sent[0].plain.splitlines() if line.isalnum())
        assert len({message.message_id for message in world.transport.sent}) == 1
        assert len(world.transport.sent) == 2
        assert first != second
        assert await world.registrations.verify(first) == await world.registrations.verify(second)

    async def test_a_mail_that_nobody_thought_of_does_not_keep_the_others(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.registrations.register(EMAIL, PASSWORD, "")
        await world.registrations.register("eve@example.com", PASSWORD, "")
        send = world.transport.send

        async def odd(message: Message) -> None:
            if message.recipient == EMAIL:
                raise KeyError("nobody thought of it")
            await send(message)

        with monkeypatch.context() as broken:
            broken.setattr(world.transport, "send", odd)
            assert await world.mailroom.deliver() == 2
        assert [message.recipient for message in world.transport.sent] == ["eve@example.com"]
        world.clock.advance(timedelta(seconds=10))
        assert (await world.mail(EMAIL)).recipient == EMAIL

    def test_texts_hold_the_code_the_link_and_nothing_that_is_markup(self) -> None:
        text = verify("CODE", Links(verify='https://t2m.example/?token={token}&a="b"'))
        assert "https://t2m.example/?token=CODE" in text.plain()
        assert "\n\nCODE\n\n" in text.plain()
        assert 'href="https://t2m.example/?token=CODE&amp;a=&quot;b&quot;"' in text.html()
        assert "Open this link" in text.plain()
        assert "Use this code" in verify("CODE", Links()).plain()
        assert "<b>" not in change_asked("<b>@example.com").html()
