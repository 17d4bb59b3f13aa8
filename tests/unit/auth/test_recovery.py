"""Forgotten and changed passwords, profiles, sessions one by one (rows A1, A2), on fakes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.auth.domain.errors import CredentialInvalid, InvalidValue, LoginRefused, SessionNotFound, UserNotFound
from services.auth.domain.identity import Identity
from services.auth.domain.preferences import Preferences
from services.auth.domain.revocation import RevocationKind
from services.auth.domain.session import AGENT_MAX, Client
from services.auth.domain.user import Role
from tests.fakes.auth import START
from tests.unit.auth.world import EMAIL, PASSWORD, World

OTHER, NEW_EMAIL = "quite another phrase", "lovelace@example.com"


async def session_of(world: World, access_token: str) -> str:
    """The session in whose name the token was made."""
    return world.signer.signed[access_token].session_id or ""


def revoked(world: World) -> set[tuple[RevocationKind, str]]:
    """What verifiers learn."""
    return {(row.kind, row.subject_id) for row in world.units.tables.revocations.values()}


class TestReset:
    """By the token of a mail."""

    async def test_a_new_password_ends_all_sessions_and_the_token(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        old = [await world.sessions.login(EMAIL, PASSWORD) for _ in range(2)]
        await world.recovery.request_reset(" ADA@example.com")
        code = await world.code(EMAIL)
        await world.recovery.confirm_reset(code, OTHER)
        for tokens in old:
            with pytest.raises(CredentialInvalid):
                await world.sessions.refresh(tokens.refresh_token)
        ids = {await session_of(world, tokens.access_token) for tokens in old}
        assert revoked(world) == {(RevocationKind.SESSION, each) for each in ids}
        with pytest.raises(LoginRefused):
            await world.sessions.login(EMAIL, PASSWORD)
        await world.sessions.login(EMAIL, OTHER)
        with pytest.raises(InvalidValue, match="token"):
            await world.recovery.confirm_reset(code, "yet one more phrase")
        assert (await world.mail(EMAIL)).subject == "The password of your account has changed"

    async def test_a_refused_password_leaves_the_token(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        await world.recovery.request_reset(EMAIL)
        code = await world.code(EMAIL)
        for bad in ("short", "password password"):
            with pytest.raises(InvalidValue, match="new_password"):
                await world.recovery.confirm_reset(code, bad)
        await world.recovery.confirm_reset(code, OTHER)

    async def test_the_newest_password_ends_all_other_tokens(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        await world.recovery.request_reset(EMAIL)
        reset = await world.code(EMAIL)
        await world.profiles.update(user.user_id, email=NEW_EMAIL, current_password=PASSWORD)
        change = await world.code(NEW_EMAIL)
        await world.recovery.change(user.user_id, PASSWORD, OTHER)
        with pytest.raises(InvalidValue):
            await world.recovery.confirm_reset(reset, "yet one more phrase")
        with pytest.raises(InvalidValue):
            await world.registrations.verify(change)

    async def test_tokens_end_and_are_good_for_one_thing(self, world: World) -> None:
        await world.registrations.register(EMAIL, PASSWORD, "")
        verify = await world.code(EMAIL)
        with pytest.raises(InvalidValue):
            await world.recovery.confirm_reset(verify, OTHER)
        await world.registrations.verify(verify)
        await world.recovery.request_reset(EMAIL)
        reset = await world.code(EMAIL)
        with pytest.raises(InvalidValue):
            await world.registrations.verify(reset)
        world.clock.advance(timedelta(hours=1))
        with pytest.raises(InvalidValue):
            await world.recovery.confirm_reset(reset, OTHER)

    @pytest.mark.parametrize("elsewhere", [True, False])
    async def test_a_password_is_no_way_past_another_issuer(self, world: World, elsewhere: bool) -> None:
        user = await world.accounts.register_without_password(EMAIL, Role.USER)
        if elsewhere:
            async with world.units() as unit:
                await unit.identities.add(Identity("https://issuer.example", "p1", user.user_id, START), START)
                await unit.commit()
        await world.recovery.request_reset(EMAIL)
        await world.mailroom.deliver()
        assert len(world.transport.sent) == (0 if elsewhere else 1)

    async def test_an_unknown_address_gets_no_mail(self, world: World) -> None:
        await world.recovery.request_reset("eve@example.com")
        assert await world.mailroom.deliver() == 1
        assert world.transport.sent == []


class TestChange:
    """By the old password."""

    async def test_other_sessions_end_and_the_own_goes_on(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        mine, other = [await world.sessions.login(EMAIL, PASSWORD) for _ in range(2)]
        kept = await session_of(world, mine.access_token)
        await world.recovery.change(user.user_id, PASSWORD, OTHER, session_id=kept)
        await world.sessions.refresh(mine.refresh_token)
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(other.refresh_token)
        assert revoked(world) == {(RevocationKind.SESSION, await session_of(world, other.access_token))}

    async def test_the_old_password_is_needed_and_the_new_one_must_be_good(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        with pytest.raises(InvalidValue, match="current_password"):
            await world.recovery.change(user.user_id, OTHER, OTHER)
        with pytest.raises(InvalidValue, match="new_password"):
            await world.recovery.change(user.user_id, PASSWORD, "password password")
        keyless = await world.accounts.register_without_password("bot@example.com", Role.USER)
        with pytest.raises(InvalidValue, match="current_password"):
            await world.recovery.change(keyless.user_id, "", OTHER)
        with pytest.raises(UserNotFound):
            await world.recovery.change("job", PASSWORD, OTHER)
        await world.sessions.login(EMAIL, PASSWORD)


class TestProfile:
    """Name, address, preferences."""

    async def test_a_name_is_changed_without_a_password(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        changed = await world.profiles.update(user.user_id, display_name=" Ada L. ", email=" ADA@example.com")
        assert (changed.display_name, changed.email) == ("Ada L.", EMAIL)
        assert not world.units.tables.mails
        with pytest.raises(InvalidValue, match="display_name"):
            await world.profiles.update(user.user_id, display_name="a\nb")

    async def test_another_address_counts_once_it_is_verified_and_the_old_one_is_told(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        for wrong in ("", OTHER):
            with pytest.raises(InvalidValue, match="current_password"):
                await world.profiles.update(user.user_id, email=NEW_EMAIL, current_password=wrong)
        unchanged = await world.profiles.update(user.user_id, email=NEW_EMAIL, current_password=PASSWORD)
        assert unchanged.email == EMAIL
        code = await world.code(NEW_EMAIL)
        assert NEW_EMAIL in world.transport.to(EMAIL)[-1].plain
        await world.registrations.verify(code)
        assert (await world.accounts.profile(user.user_id)).email == NEW_EMAIL
        assert (await world.mail(EMAIL)).subject == "The e-mail address of your account has changed"
        await world.sessions.login(NEW_EMAIL, PASSWORD)
        await world.registrations.verify(code)  # repeated: nothing happens
        assert len(world.transport.to(EMAIL)) == 2

    async def test_an_older_change_does_not_undo_a_newer_one(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        codes = []
        for address in (NEW_EMAIL, "countess@example.com"):
            await world.profiles.update(user.user_id, email=address, current_password=PASSWORD)
            codes.append(await world.code(address))
        await world.registrations.verify(codes[1])
        with pytest.raises(InvalidValue):
            await world.registrations.verify(codes[0])
        assert (await world.accounts.profile(user.user_id)).email == "countess@example.com"

    async def test_whether_the_new_address_is_free_is_not_told(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        await world.accounts.register(NEW_EMAIL, PASSWORD)
        await world.profiles.update(user.user_id, email=NEW_EMAIL, current_password=PASSWORD)
        assert (await world.mail(NEW_EMAIL)).subject == "You have an account already"
        assert not world.units.tables.email_tokens

    async def test_preferences_are_kept_and_replaced(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        assert await world.profiles.preferences(user.user_id) == Preferences()
        wanted = Preferences(quality="high", narration=True, time_zone="Europe/Zurich")
        await world.profiles.set_preferences(user.user_id, wanted)
        assert await world.profiles.preferences(user.user_id) == wanted
        for zone in ("Mars/Base", "../../etc/passwd", "Europe", "/etc/localtime"):
            with pytest.raises(InvalidValue, match="time_zone"):
                await world.profiles.set_preferences(user.user_id, replace(wanted, time_zone=zone))
        with pytest.raises(UserNotFound):
            await world.profiles.set_preferences("job", wanted)

    async def test_admins_see_all_accounts_in_pages(self, world: World) -> None:
        for number in range(5):
            await world.accounts.register(f"user{number}@example.com", PASSWORD, f"Number {number}")
        first, following = await world.accounts.page("", None, None, 3)
        rest, end = await world.accounts.page("", None, following, 3)
        assert [user.display_name for user in [*first, *rest]] == [f"Number {number}" for number in (4, 3, 2, 1, 0)]
        assert end == ""
        assert [user.email for user in (await world.accounts.page("NUMBER 2", Role.USER, None, 3))[0]] == [
            "user2@example.com"
        ]
        assert await world.accounts.page("", Role.ADMIN, None, 3) == ([], "")


class TestSessions:
    """Listed and closed by their owner."""

    async def test_sessions_say_when_and_from_where(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        phone, desk = Client.of("192.0.2.7", "a phone"), Client.of("192.0.2.8", "a\tdesk\x1b" + "k" * 500)
        first = await world.sessions.login(EMAIL, PASSWORD, phone)
        world.clock.advance(timedelta(minutes=1))
        await world.sessions.login(EMAIL, PASSWORD, desk)
        world.clock.advance(timedelta(minutes=1))
        await world.sessions.refresh(first.refresh_token, phone)
        listed = await world.sessions.list_of(user.user_id)
        assert [session.client.address for session in listed] == ["192.0.2.7", "192.0.2.8"]
        assert listed[0].last_used_at == world.clock.now()
        assert len(listed[1].client.agent) == AGENT_MAX
        assert listed[1].client.agent.isprintable()
        world.clock.advance(timedelta(days=7))
        assert await world.sessions.list_of(user.user_id) == []

    async def test_a_session_is_closed_by_its_owner_only(self, world: World) -> None:
        ada = await world.accounts.register(EMAIL, PASSWORD)
        eve = await world.accounts.register("eve@example.com", PASSWORD)
        tokens = await world.sessions.login(EMAIL, PASSWORD)
        session_id = await session_of(world, tokens.access_token)
        with pytest.raises(SessionNotFound):
            await world.sessions.revoke(eve.user_id, session_id)
        for _ in range(2):
            await world.sessions.revoke(ada.user_id, session_id)
        assert revoked(world) == {(RevocationKind.SESSION, session_id)}
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(tokens.refresh_token)

    async def test_all_sessions_are_closed_at_once(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        few = [await world.sessions.login(EMAIL, PASSWORD) for _ in range(3)]
        await world.sessions.logout_all(user.user_id)
        assert len(revoked(world)) == 3
        for tokens in few:
            with pytest.raises(CredentialInvalid):
                await world.tokens.exchange_access_token(tokens.access_token)

    async def test_of_very_many_sessions_one_revocation_is_made(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        for _ in range(60):
            await world.sessions.login(EMAIL, PASSWORD)
        world.clock.advance(timedelta(seconds=1))
        await world.sessions.logout_all(user.user_id)
        assert revoked(world) == {(RevocationKind.USER, user.user_id)}
