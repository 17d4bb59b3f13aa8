"""Waiting after wrong passwords (row A1), on fakes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.auth.application.login_guard import ACCOUNT_LIMITS, CLIENT_LIMITS, NOBODY
from services.auth.domain.attempts import AttemptLimits, Attempts
from services.auth.domain.errors import InvalidValue, LoginRefused, TooManyAttempts
from services.auth.domain.session import Client
from tests.fakes.auth import START
from tests.unit.auth.world import EMAIL, PASSWORD, World

WRONG = "wrong horse battery"
HOME, ATTACKER = Client("192.0.2.7"), Client("203.0.113.9")
SECOND = timedelta(seconds=1)


async def outcome(world: World, email: str, password: str, client: Client | None = None) -> str:
    """Name of what a login ends with."""
    try:
        await world.sessions.login(email, password, client)
    except (LoginRefused, TooManyAttempts) as exc:
        return type(exc).__name__
    return "in"


async def fail(world: World, times: int, email: str = EMAIL, client: Client | None = None) -> None:
    """So many wrong passwords."""
    for _ in range(times):
        assert await outcome(world, email, WRONG, client) == "LoginRefused"


@pytest.mark.parametrize(
    ("failures", "wait_s"), [(1, 0), (9, 0), (10, 2), (11, 4), (12, 8), (19, 900), (20, 900), (1000, 900)]
)
def test_the_wait_doubles_up_to_a_bound(failures: int, wait_s: float) -> None:
    found = Attempts(failures - 1, None, START).charged(ACCOUNT_LIMITS, START)
    assert found.wait(START) == timedelta(seconds=wait_s)
    assert found.wait(START + timedelta(seconds=wait_s)) == timedelta(0)


def test_old_failures_are_forgotten_and_a_refund_lifts_the_own_wait() -> None:
    limits = AttemptLimits(free=2)
    late = START + limits.forgotten_after + SECOND
    assert Attempts(500, late, START).charged(limits, late) == Attempts(1, None, late)
    waiting = Attempts(1, None, START).charged(limits, START)
    assert waiting.wait(START)
    assert waiting.refunded(limits) == Attempts(1, None, START)
    assert Attempts(3, late, START).refunded(limits).blocked_until == late


@pytest.mark.parametrize("known", [True, False])
async def test_an_address_has_to_wait_whether_or_not_it_has_an_account(world: World, known: bool) -> None:
    if known:
        await world.accounts.register(EMAIL, PASSWORD)
    await fail(world, ACCOUNT_LIMITS.free)
    checks = world.hasher.checks
    with pytest.raises(TooManyAttempts) as refused:
        await world.sessions.login(EMAIL.upper(), PASSWORD)
    assert refused.value.retry_after == 2 * SECOND
    assert world.hasher.checks == checks  # whoever has to wait costs no hash
    notes = list(world.units.tables.notes.values())
    assert [note.event for note in notes] == ["login.locked_out"]
    assert (notes[0].user_id == NOBODY) is not known
    world.clock.advance(2 * SECOND)
    assert await outcome(world, EMAIL, PASSWORD) == ("in" if known else "LoginRefused")


async def test_a_success_forgets_the_failures(world: World) -> None:
    await world.accounts.register(EMAIL, PASSWORD)
    await fail(world, ACCOUNT_LIMITS.free - 1)
    assert await outcome(world, EMAIL, PASSWORD) == "in"
    await fail(world, ACCOUNT_LIMITS.free)
    assert await outcome(world, EMAIL, PASSWORD) == "TooManyAttempts"


async def test_of_many_attempts_at_once_no_more_are_looked_at_than_one_after_the_other(world: World) -> None:
    await world.accounts.register(EMAIL, PASSWORD)
    outcomes = await asyncio.gather(*(outcome(world, EMAIL, WRONG) for _ in range(100)))
    assert outcomes.count("LoginRefused") == ACCOUNT_LIMITS.free == world.hasher.checks


async def test_strangers_cannot_shut_the_owner_out(world: World) -> None:
    await world.accounts.register(EMAIL, PASSWORD)
    assert await outcome(world, EMAIL, PASSWORD, HOME) == "in"
    for _ in range(30):
        while await outcome(world, EMAIL, WRONG, ATTACKER) == "LoginRefused":
            pass
        world.clock.advance(timedelta(minutes=20))
    while await outcome(world, EMAIL, WRONG, ATTACKER) == "LoginRefused":
        pass
    assert await outcome(world, EMAIL, PASSWORD, Client("192.0.2.99")) == "TooManyAttempts"
    assert await outcome(world, EMAIL, PASSWORD, HOME) == "in"
    # And from a new place by mail: its client is then known.
    away = Client("198.51.100.4")
    await world.recovery.request_reset(EMAIL)
    await world.recovery.confirm_reset(await world.code(EMAIL), "quite another phrase", away)
    await fail(world, ACCOUNT_LIMITS.free, client=ATTACKER)
    assert await outcome(world, EMAIL, "quite another phrase", ATTACKER) == "TooManyAttempts"
    assert await outcome(world, EMAIL, "quite another phrase", away) == "in"


async def test_a_known_client_is_counted_too(world: World) -> None:
    await world.accounts.register(EMAIL, PASSWORD)
    assert await outcome(world, EMAIL, PASSWORD, HOME) == "in"
    await fail(world, ACCOUNT_LIMITS.free, client=HOME)
    assert await outcome(world, EMAIL, PASSWORD, HOME) == "TooManyAttempts"
    assert await outcome(world, EMAIL, PASSWORD, ATTACKER) == "in"


async def test_a_client_has_to_wait_whatever_addresses_it_tries(world: World) -> None:
    await world.accounts.register(EMAIL, PASSWORD)
    assert await outcome(world, "bob@example.com", WRONG, HOME) == "LoginRefused"
    for number in range(CLIENT_LIMITS.free):
        assert await outcome(world, f"user{number}@example.com", WRONG, ATTACKER) == "LoginRefused"
    assert await outcome(world, EMAIL, PASSWORD, ATTACKER) == "TooManyAttempts"
    assert await outcome(world, EMAIL, PASSWORD, HOME) == "in"


async def test_an_account_of_ones_own_is_no_way_to_go_on(world: World) -> None:
    await world.accounts.register("eve@example.com", PASSWORD)
    for number in range(CLIENT_LIMITS.free - 1):
        await outcome(world, f"user{number}@example.com", WRONG, ATTACKER)
        assert await outcome(world, "eve@example.com", PASSWORD, ATTACKER) == "in"
    assert await outcome(world, EMAIL, WRONG, ATTACKER) == "LoginRefused"
    assert await outcome(world, EMAIL, WRONG, ATTACKER) == "TooManyAttempts"


async def test_an_ipv6_home_is_one_client(world: World) -> None:
    for number in range(CLIENT_LIMITS.free):
        client = Client(f"2001:db8:0:1::{number + 1:x}")
        assert await outcome(world, f"user{number}@example.com", WRONG, client) == "LoginRefused"
    assert await outcome(world, EMAIL, WRONG, Client("2001:db8:0:1:ffff::1")) == "TooManyAttempts"
    assert await outcome(world, EMAIL, WRONG, Client("2001:db8:0:2::1")) == "LoginRefused"


async def test_ipv4_written_as_ipv6_is_the_same_client_and_not_everybody(world: World) -> None:
    await fail(world, ACCOUNT_LIMITS.free - 1, client=ATTACKER)
    for number in range(CLIENT_LIMITS.free - ACCOUNT_LIMITS.free + 1):
        mapped = Client(f"::ffff:{ATTACKER.address}")
        assert await outcome(world, f"user{number}@example.com", WRONG, mapped) == "LoginRefused"
    assert await outcome(world, "bob@example.com", WRONG, ATTACKER) == "TooManyAttempts"
    assert await outcome(world, "bob@example.com", WRONG, Client("::ffff:192.0.2.7")) == "LoginRefused"


async def test_guessing_the_password_of_an_open_session_is_counted_alike(world: World) -> None:
    user = await world.accounts.register(EMAIL, PASSWORD)
    for _ in range(ACCOUNT_LIMITS.free):
        with pytest.raises(InvalidValue):
            await world.recovery.change(user.user_id, WRONG, "quite another phrase")
    with pytest.raises(TooManyAttempts):
        await world.profiles.update(user.user_id, email="new@example.com", current_password=PASSWORD)


async def test_what_no_longer_counts_is_purged(world: World) -> None:
    await world.accounts.register(EMAIL, PASSWORD)
    await outcome(world, EMAIL, PASSWORD, HOME)
    world.clock.advance(timedelta(days=2))
    assert await world.guard.purge() == 2
    world.clock.advance(timedelta(days=90))
    assert await world.guard.purge() == 1
    assert not world.units.tables.known_clients
