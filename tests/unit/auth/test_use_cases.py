"""Auth's use cases on fakes (rows A1, A2, A4, A5)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.auth.application.sessions import REFRESH_GRACE
from services.auth.domain.errors import (
    ApiKeyNotFound,
    CredentialExpired,
    CredentialInvalid,
    EmailTaken,
    InvalidValue,
    LastAdmin,
    LoginRefused,
    ScopeBeyondCaller,
    TooManyKeys,
    UserNotFound,
)
from services.auth.domain.session import SIBLINGS_MAX
from services.auth.domain.tokens import TokenKind
from services.auth.domain.user import Role
from tests.unit.auth.world import EMAIL, PASSWORD, SERVICE_SECRET, World

MINUTE = timedelta(minutes=1)
GRACE, MOMENT = REFRESH_GRACE, timedelta(microseconds=1)


class TestAccounts:
    """Register, profile, roles."""

    async def test_a_registered_user_has_role_user_and_no_plain_password(self, world: World) -> None:
        user = await world.accounts.register(" Ada@Example.com ", PASSWORD, " Ada ")
        assert (user.email, user.display_name, user.role) == (EMAIL, "Ada", Role.USER)
        assert user.password_hash == f"1:{PASSWORD}"
        assert PASSWORD not in repr(user)
        assert await world.accounts.profile(user.user_id) == user

    async def test_an_address_is_registered_once_in_any_case(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        with pytest.raises(EmailTaken):
            await world.accounts.register("ADA@EXAMPLE.COM", PASSWORD)

    @pytest.mark.parametrize(("email", "password"), [("ada", PASSWORD), (EMAIL, "short")])
    async def test_nothing_is_stored_of_a_bad_registration(self, world: World, email: str, password: str) -> None:
        with pytest.raises(InvalidValue):
            await world.accounts.register(email, password)
        assert not world.units.tables.users

    async def test_the_last_admin_stays(self, world: World) -> None:
        admin = await world.accounts.register(EMAIL, PASSWORD, role=Role.ADMIN)
        with pytest.raises(LastAdmin):
            await world.accounts.change_role(admin.user_id, Role.USER)
        second = await world.accounts.register("bob@example.com", PASSWORD)
        await world.accounts.change_role(second.user_id, Role.ADMIN)
        assert (await world.accounts.change_role(admin.user_id, Role.READONLY)).role is Role.READONLY
        assert (await world.accounts.change_role(second.user_id, Role.ADMIN)).role is Role.ADMIN

    async def test_an_unknown_user_has_no_profile_and_gets_no_role(self, world: World) -> None:
        with pytest.raises(UserNotFound):
            await world.accounts.profile("job")
        with pytest.raises(UserNotFound):
            await world.accounts.change_role("job", Role.ADMIN)


class TestLogin:
    """A1: nobody learns who has an account."""

    async def test_a_session_is_opened(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        tokens = await world.sessions.login("ADA@example.com", PASSWORD)
        claims = world.signer.signed[tokens.access_token]
        assert (claims.kind, claims.subject, claims.role) == (TokenKind.ACCESS, user.user_id, "user")
        assert tokens.expires_at == world.clock.now() + 15 * MINUTE
        assert tokens.refresh_expires_at == world.clock.now() + timedelta(days=7)
        assert tokens.refresh_token.encode() not in world.units.tables.tokens

    @pytest.mark.parametrize(
        ("email", "password"),
        [(EMAIL, "wrong horse battery"), ("eve@example.com", PASSWORD), ("no address", PASSWORD)],
    )
    async def test_every_refusal_is_alike(self, world: World, email: str, password: str) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        with pytest.raises(LoginRefused) as refused:
            await world.sessions.login(email, password)
        assert str(refused.value) == str(LoginRefused())
        assert world.hasher.checks == 1  # the slow check runs in every case
        assert not world.units.tables.sessions

    async def test_an_account_without_a_password_cannot_log_in(self, world: World) -> None:
        await world.accounts.register_without_password(EMAIL, Role.USER)
        with pytest.raises(LoginRefused):
            await world.sessions.login(EMAIL, "")
        assert world.hasher.checks == 1

    async def test_an_outdated_hash_is_replaced(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        world.hasher.generation = 2
        await world.sessions.login(EMAIL, PASSWORD)
        assert world.units.tables.users[user.user_id].password_hash == f"2:{PASSWORD}"


class TestRefresh:
    """A2: rotation, reuse, logout."""

    async def test_each_token_works_once(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        tokens = await world.sessions.login(EMAIL, PASSWORD)
        seen = {tokens.refresh_token}
        for _ in range(5):
            world.clock.advance(timedelta(days=6))
            tokens = await world.sessions.refresh(tokens.refresh_token)
            seen.add(tokens.refresh_token)
        assert len(seen) == 6
        await world.tokens.exchange_access_token(tokens.access_token)

    async def test_a_second_use_revokes_the_session(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        first = await world.sessions.login(EMAIL, PASSWORD)
        second = await world.sessions.refresh(first.refresh_token)
        world.clock.advance(GRACE + MOMENT)
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(first.refresh_token)
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(second.refresh_token)
        with pytest.raises(CredentialInvalid):
            await world.tokens.exchange_access_token(second.access_token)

    async def test_other_sessions_of_the_user_go_on(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        stolen, other = [await world.sessions.login(EMAIL, PASSWORD) for _ in range(2)]
        await world.sessions.refresh(stolen.refresh_token)
        world.clock.advance(GRACE + MOMENT)
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(stolen.refresh_token)
        await world.sessions.refresh(other.refresh_token)

    async def test_concurrent_refreshes_and_a_lost_answer_give_pairs_of_which_one_goes_on(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        first = await world.sessions.login(EMAIL, PASSWORD)
        pairs = [await world.sessions.refresh(first.refresh_token) for _ in range(3)]
        assert len({pair.refresh_token for pair in pairs}) == 3
        world.clock.advance(GRACE)
        pairs.append(await world.sessions.refresh(first.refresh_token))
        world.clock.advance(MINUTE)
        went_on = await world.sessions.refresh(pairs[1].refresh_token)
        world.clock.advance(GRACE + MOMENT)
        with pytest.raises(CredentialInvalid):  # whoever holds an alternative is found out
            await world.sessions.refresh(pairs[2].refresh_token)
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(went_on.refresh_token)

    async def test_a_token_whose_successor_was_used_has_no_grace(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        first = await world.sessions.login(EMAIL, PASSWORD)
        second = await world.sessions.refresh(first.refresh_token)
        await world.sessions.refresh(second.refresh_token)
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(first.refresh_token)
        assert [note.event for note in world.units.tables.notes.values()] == ["session.refresh_reused"]
        assert not any(session.active for session in world.units.tables.sessions.values())

    async def test_one_generation_gives_a_bounded_number_of_pairs(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        first = await world.sessions.login(EMAIL, PASSWORD)
        for _ in range(SIBLINGS_MAX + 1):
            await world.sessions.refresh(first.refresh_token)
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(first.refresh_token)

    async def test_an_expired_token_says_so_and_revokes_nothing(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        tokens = await world.sessions.login(EMAIL, PASSWORD)
        world.clock.advance(timedelta(days=7))
        with pytest.raises(CredentialExpired):
            await world.sessions.refresh(tokens.refresh_token)
        assert all(session.active for session in world.units.tables.sessions.values())

    async def test_an_unknown_token_is_refused(self, world: World) -> None:
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh("never made")

    async def test_a_refreshed_access_token_carries_the_role_of_now(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        tokens = await world.sessions.login(EMAIL, PASSWORD)
        await world.accounts.change_role(user.user_id, Role.READONLY)
        tokens = await world.sessions.refresh(tokens.refresh_token)
        assert world.signer.signed[tokens.access_token].role == "readonly"

    async def test_logout_closes_the_session_and_may_be_repeated(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        tokens = await world.sessions.login(EMAIL, PASSWORD)
        for _ in range(2):
            await world.sessions.logout(tokens.refresh_token)
        await world.sessions.logout("never made")
        with pytest.raises(CredentialInvalid):
            await world.sessions.refresh(tokens.refresh_token)
        with pytest.raises(CredentialInvalid):
            await world.tokens.exchange_access_token(tokens.access_token)

    async def test_purge_forgets_what_ended_long_ago(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        await world.sessions.login(EMAIL, PASSWORD)
        world.clock.advance(timedelta(days=13))
        assert await world.sessions.purge() == 0
        world.clock.advance(timedelta(days=2))
        assert await world.sessions.purge() == 1
        assert not world.units.tables.sessions


class TestApiKeys:
    """A4: create, list, revoke."""

    async def test_the_secret_is_shown_once(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        key, text = await world.api_keys.create(user.user_id, " nightly ", ["jobs:write", "jobs:read"])
        assert text.startswith(f"t2m_{key.api_key_id}_")
        assert (key.name, key.scopes) == ("nightly", ("jobs:read", "jobs:write"))
        assert text not in repr(await world.api_keys.page(user.user_id, 10, ""))

    async def test_a_restricted_caller_makes_no_wider_key(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        with pytest.raises(ScopeBeyondCaller):
            await world.api_keys.create(user.user_id, "wide", [], own_scopes={"api_keys:write"})

    async def test_only_the_owner_revokes(self, world: World) -> None:
        ada = await world.accounts.register(EMAIL, PASSWORD)
        eve = await world.accounts.register("eve@example.com", PASSWORD)
        key, text = await world.api_keys.create(ada.user_id, "nightly")
        with pytest.raises(ApiKeyNotFound):
            await world.api_keys.revoke(eve.user_id, key.api_key_id)
        assert await world.api_keys.page(eve.user_id, 10, "") == ([], "")
        await world.tokens.exchange_api_key(text)
        for _ in range(2):
            await world.api_keys.revoke(ada.user_id, key.api_key_id)
        with pytest.raises(CredentialInvalid):
            await world.tokens.exchange_api_key(text)

    async def test_a_scope_that_no_method_asks_for_is_refused_by_name(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        with pytest.raises(InvalidValue) as refused:
            await world.api_keys.create(user.user_id, "typo", ["jobs:read", "job:read"])
        ((path, wording),) = refused.value.field_violations
        assert path == "scopes[1]"
        assert "jobs:read" in wording

    async def test_a_user_has_so_many_keys_that_work_and_no_more(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        await world.api_keys.create(user.user_id, "short", expires_at=world.clock.now() + MINUTE)
        first, _ = await world.api_keys.create(user.user_id, "first")
        await world.api_keys.create(user.user_id, "second")
        with pytest.raises(TooManyKeys):
            await world.api_keys.create(user.user_id, "third")
        await world.api_keys.revoke(user.user_id, first.api_key_id)
        await world.api_keys.create(user.user_id, "third")
        with pytest.raises(TooManyKeys):
            await world.api_keys.create(user.user_id, "fourth")
        world.clock.advance(MINUTE)
        await world.api_keys.create(user.user_id, "fourth")

    async def test_keys_are_listed_in_pages(self, world: World) -> None:
        ada = await world.accounts.register(EMAIL, PASSWORD)
        eve = await world.accounts.register("eve@example.com", PASSWORD)
        made = []
        for _ in range(3):
            world.clock.advance(MINUTE)
            made.append((await world.api_keys.create(ada.user_id, "nightly"))[0].api_key_id)
        first, token = await world.api_keys.page(ada.user_id, 2, "")
        rest, end = await world.api_keys.page(ada.user_id, 2, token)
        assert [key.api_key_id for key in (*first, *rest)] == made[::-1]
        assert end == ""
        for foreign in ((eve.user_id, token), (ada.user_id, "nonsense")):
            with pytest.raises(InvalidValue):
                await world.api_keys.page(foreign[0], 2, foreign[1])

    async def test_use_is_noted_once_a_minute(self, world: World) -> None:
        """The exchange is on the way of every call that a gateway has not cached."""
        user = await world.accounts.register(EMAIL, PASSWORD)
        key, text = await world.api_keys.create(user.user_id, "nightly")
        assert key.last_used_at is None
        noted = []
        for seconds in (0, 30, 29, 1):
            world.clock.advance(timedelta(seconds=seconds))
            await world.tokens.exchange_api_key(text)
            ((listed,), _) = await world.api_keys.page(user.user_id, 10, "")
            noted.append(listed.last_used_at)
        first = noted[0]
        assert first is not None
        assert noted == [first, first, first, first + MINUTE]


class TestExchange:
    """Internal tokens: at most 5 minutes, never past the credential, with the role of now."""

    async def test_an_api_key_hands_on_its_scopes(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        _, text = await world.api_keys.create(user.user_id, "nightly", ["jobs:read"])
        internal = await world.tokens.exchange_api_key(text)
        claims = world.signer.signed[internal.token]
        assert (claims.kind, claims.subject, claims.scopes) == (
            TokenKind.INTERNAL,
            user.user_id,
            ("jobs:read",),
        )
        assert internal.expires_at == world.clock.now() + 5 * MINUTE

    async def test_an_unscoped_key_is_unrestricted(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        _, text = await world.api_keys.create(user.user_id, "all")
        internal = await world.tokens.exchange_api_key(text)
        assert world.signer.signed[internal.token].scopes is None

    async def test_the_internal_token_ends_with_the_key(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        ends = world.clock.now() + 2 * MINUTE
        _, text = await world.api_keys.create(user.user_id, "short", expires_at=ends)
        assert (await world.tokens.exchange_api_key(text)).expires_at == ends
        world.clock.advance(2 * MINUTE)
        with pytest.raises(CredentialExpired):
            await world.tokens.exchange_api_key(text)

    async def test_the_internal_token_ends_with_the_access_token(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        tokens = await world.sessions.login(EMAIL, PASSWORD)
        world.clock.advance(13 * MINUTE)
        internal = await world.tokens.exchange_access_token(tokens.access_token)
        assert internal.expires_at == tokens.expires_at
        world.clock.advance(2 * MINUTE)
        with pytest.raises(CredentialExpired):
            await world.tokens.exchange_access_token(tokens.access_token)

    @pytest.mark.parametrize("change", ["secret", "id", "shape"])
    async def test_a_changed_key_is_refused(self, world: World, change: str) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        key, text = await world.api_keys.create(user.user_id, "nightly")
        changed = {
            "secret": text[:-1] + ("x" if text[-1] != "x" else "y"),
            "id": text.replace(key.api_key_id, "f" * 16),
            "shape": text.removeprefix("t2m_"),
        }[change]
        with pytest.raises(CredentialInvalid):
            await world.tokens.exchange_api_key(changed)

    async def test_nobody_learns_of_a_key_end_without_its_secret(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        _, text = await world.api_keys.create(user.user_id, "short", expires_at=world.clock.now() + MINUTE)
        world.clock.advance(MINUTE)
        with pytest.raises(CredentialInvalid):
            await world.tokens.exchange_api_key(text[:-2] + "zz")

    async def test_an_internal_or_service_token_cannot_renew_itself(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        tokens = await world.sessions.login(EMAIL, PASSWORD)
        internal = await world.tokens.exchange_access_token(tokens.access_token)
        service, _ = world.tokens.issue_service_token("job", SERVICE_SECRET)
        for token in (internal.token, service, tokens.refresh_token):
            with pytest.raises(CredentialInvalid):
                await world.tokens.exchange_access_token(token)

    async def test_a_changed_role_counts_at_once(self, world: World) -> None:
        user = await world.accounts.register(EMAIL, PASSWORD)
        _, text = await world.api_keys.create(user.user_id, "nightly")
        await world.accounts.change_role(user.user_id, Role.READONLY)
        assert (await world.tokens.exchange_api_key(text)).role is Role.READONLY


class TestServiceTokens:
    """Services prove themselves by their secret."""

    def test_a_known_service_gets_a_token(self, world: World) -> None:
        token, ends = world.tokens.issue_service_token("job", SERVICE_SECRET)
        claims = world.signer.signed[token]
        assert (claims.kind, claims.subject, claims.role) == (TokenKind.SERVICE, "job", "service")
        assert ends == world.clock.now() + 15 * MINUTE

    @pytest.mark.parametrize(
        ("service", "secret"), [("job", SERVICE_SECRET + "x"), ("storage", SERVICE_SECRET), ("", "")]
    )
    def test_everybody_else_is_refused_alike(self, world: World, service: str, secret: str) -> None:
        with pytest.raises(CredentialInvalid, match="unknown service or wrong secret"):
            world.tokens.issue_service_token(service, secret)


class TestOperator:
    """The commands that make the first admin and the first key."""

    async def test_a_generated_password_opens_a_session(self, world: World) -> None:
        user, password = await world.operator.create_admin(EMAIL, None)
        assert user.role is Role.ADMIN
        assert user.verified_at is not None
        assert password is not None
        assert len(password) >= 40
        await world.sessions.login(EMAIL, password)

    async def test_a_given_password_is_not_handed_back_and_keeps_the_rules(self, world: World) -> None:
        for bad in ("", "password password"):
            with pytest.raises(InvalidValue):
                await world.operator.create_admin(EMAIL, bad)
        _, password = await world.operator.create_admin(EMAIL, PASSWORD)
        assert password is None

    async def test_a_key_makes_its_user(self, world: World) -> None:
        user, text = await world.operator.create_key("Bot@example.com", Role.READONLY, "ci", ["jobs:read"])
        assert (user.email, user.role, user.password_hash) == ("bot@example.com", Role.READONLY, None)
        assert (await world.tokens.exchange_api_key(text)).user_id == user.user_id
        again, second = await world.operator.create_key("bot@example.com", None, "ci", [])
        assert again == user
        assert second != text

    async def test_a_key_cannot_have_another_role_than_its_user(self, world: World) -> None:
        await world.accounts.register(EMAIL, PASSWORD)
        with pytest.raises(InvalidValue):
            await world.operator.create_key(EMAIL, Role.ADMIN, "ci", [])
        assert not world.units.tables.api_keys
