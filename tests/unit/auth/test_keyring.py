"""Rotation of signing keys: published before they sign, kept until their last token has ended (A2)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from services.auth.adapters.jose.keyring import TOKENS_END, KeyRing, retire, rotate, withdraw
from services.auth.adapters.jose.keys import KeyFileError, create_key, load_keys
from services.auth.adapters.jose.tokens import JoseTokens
from services.auth.domain.session import ACCESS_LIFETIME
from services.auth.domain.tokens import TokenClaims, TokenKind
from services.runtime.jwks import RemoteKeys
from services.runtime.tokens import TokenVerifier, UnknownKeyError
from tests.fakes.auth import START, CountingIds, FakeClock

LEAD = timedelta(minutes=10)
TICK = timedelta(seconds=1)


class World:
    """A folder with a key, a ring over it, and what is signed by it."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.folder = FakeClock(), folder
        self.first = create_key(folder, START - timedelta(days=1)).kid
        self.ring = KeyRing(load_keys(folder), self.clock, LEAD, folder)
        self.tokens = JoseTokens(self.ring, self.clock, CountingIds())

    def rotate(self) -> str:
        """Lay a new key and let the ring see it; its id."""
        kid = rotate(self.folder, self.clock.now(), LEAD).kid
        self.ring.reload()
        return kid

    def published(self) -> list[str]:
        """Ids of the public keys, newest first."""
        return [key["kid"] for key in json.loads(self.ring.jwks_json)["keys"]]

    def token(self) -> str:
        """An access token of now."""
        now = self.clock.now()
        claims = TokenClaims(TokenKind.ACCESS, "ada", "user", now, now + ACCESS_LIFETIME, session_id="session")
        return self.tokens.sign(claims)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A day after the first key was made."""
    return World(tmp_path)


def test_a_new_key_is_published_at_once_and_signs_after_its_lead(world: World) -> None:
    second = world.rotate()
    assert world.published() == [second, world.first]
    world.clock.advance(LEAD - TICK)
    assert world.ring.signing_key().kid == world.first
    world.clock.advance(TICK)
    assert world.ring.signing_key().kid == second
    assert world.published() == [second, world.first]


def test_an_old_key_stays_until_its_last_token_has_ended(world: World) -> None:
    world.rotate()
    world.clock.advance(LEAD - TICK)
    last = world.token()
    world.clock.advance(ACCESS_LIFETIME)
    assert retire(world.folder, world.clock.now(), LEAD) == []
    world.ring.reload()
    assert world.tokens.read_access(last).user_id == "ada"
    world.clock.advance(TOKENS_END - ACCESS_LIFETIME + TICK)
    assert retire(world.folder, world.clock.now(), LEAD) == [world.first]
    world.ring.reload()
    assert len(world.published()) == 1
    assert world.ring.withdrawn == set()  # streams that it opened go on
    assert retire(world.folder, world.clock.now(), LEAD) == []


def test_a_key_that_does_not_sign_yet_is_not_followed_by_another(world: World) -> None:
    world.rotate()
    with pytest.raises(KeyFileError, match="does not sign yet"):
        world.rotate()
    world.clock.advance(LEAD)
    world.rotate()
    assert len(world.published()) == 3


def test_a_withdrawn_key_and_its_tokens_are_refused_at_once(world: World) -> None:
    """The only key is replaced, and the new one signs without waiting: nobody trusts the old one any more."""
    token = world.token()
    assert world.tokens.verifier.verify(token).subject == "ada"
    withdraw(world.folder, world.first, world.clock.now())
    world.ring.reload()
    with pytest.raises(UnknownKeyError):
        world.tokens.verifier.verify(token)
    assert json.loads(world.ring.jwks_json)["withdrawn"] == [world.first]
    assert world.tokens.read_access(world.token()).user_id == "ada"
    with pytest.raises(KeyFileError, match="there is no key"):
        withdraw(world.folder, world.first, world.clock.now())


def test_of_two_keys_the_other_one_goes_on(world: World) -> None:
    second = world.rotate()
    withdraw(world.folder, world.first, world.clock.now())
    world.ring.reload()
    assert world.published() == [second]
    assert world.ring.signing_key().kid == second


def test_a_folder_that_cannot_be_read_changes_nothing(world: World) -> None:
    broken = world.folder / "20260101T000000000000Z-x.jwk"
    broken.write_text("{")
    broken.chmod(0o600)
    world.ring.reload()
    assert world.published() == [world.first]
    for path in world.folder.glob("*.jwk"):
        path.unlink()
    world.ring.reload()
    assert world.ring.signing_key().kid == world.first


def test_a_key_that_another_replica_has_laid_is_found_when_a_token_names_it(world: World) -> None:
    kid = rotate(world.folder, world.clock.now(), LEAD).kid
    world.ring._read_at = float("-inf")
    found = world.ring.find(kid)
    assert found is not None
    assert found.kid == kid
    assert world.ring.find("unknown") is None


def test_a_key_that_stays_is_the_same_object_so_that_verified_tokens_are_remembered(world: World) -> None:
    before = world.ring.find(world.first)
    world.rotate()
    assert world.ring.find(world.first) is before


async def test_a_service_takes_the_keys_that_it_is_told(world: World) -> None:
    """It learns by the stream of revocations; a document that makes no sense changes nothing."""
    keys = RemoteKeys(_NoChannel(), monotonic=lambda: 0.0)  # type: ignore[arg-type]
    keys.learn(world.ring.jwks_json)
    verifier, token = TokenVerifier(keys, world.clock), world.token()
    assert verifier.verify(token).subject == "ada"
    keys.learn("nonsense")
    assert verifier.verify(token).subject == "ada"
    withdraw(world.folder, world.first, world.clock.now())
    world.ring.reload()
    keys.learn(world.ring.jwks_json)
    assert keys.withdrawn == {world.first}
    with pytest.raises(UnknownKeyError):
        verifier.verify(token)


class _NoChannel:
    """A channel that nothing is sent over."""

    def unary_unary(self, *_: object, **__: object) -> None:
        """The stub asks for each method."""

    unary_stream = unary_unary
