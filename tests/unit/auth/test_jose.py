"""Signing keys on disk, and tokens that the runtime accepts or refuses (row A2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from services.auth.adapters.jose.keyring import KeyRing
from services.auth.adapters.jose.keys import KeyFileError, SigningKey, create_key, load_or_create_keys
from services.auth.adapters.jose.tokens import JoseTokens
from services.auth.domain.errors import CredentialExpired, CredentialInvalid
from services.auth.domain.tokens import TokenClaims, TokenKind
from services.runtime.tokens import CredentialError, StaticKeys, TokenVerifier, parse_jwks
from t2m.common.v1.error_reason_pb2 import ErrorReason
from tests.fakes.auth import START, CountingIds, FakeClock

MINUTE = timedelta(minutes=1)
KEY = OKPKey.generate_key("Ed25519", auto_kid=True)


def claims(kind: TokenKind = TokenKind.ACCESS, **changes: Any) -> TokenClaims:
    """What Ada's token says, with changes."""
    values: dict[str, Any] = {
        "kind": kind,
        "subject": "ada",
        "role": "user",
        "issued_at": START,
        "expires_at": START + 15 * MINUTE,
        "session_id": "session" if kind is TokenKind.ACCESS else None,
    }
    return TokenClaims(**{**values, **changes})


class TestKeys:
    """The folder of signing keys."""

    def test_the_first_start_makes_a_key_that_only_its_owner_reads(self, tmp_path: Path) -> None:
        folder = tmp_path / "keys"
        (key,) = load_or_create_keys(folder)
        (file,) = folder.glob("*.jwk")
        assert file.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [again.kid for again in load_or_create_keys(folder)] == [key.kid]

    def test_the_key_id_is_the_thumbprint_of_rfc_7638(self, tmp_path: Path) -> None:
        (key,) = load_or_create_keys(tmp_path)
        members = {"crv": "Ed25519", "kty": "OKP", "x": key.key.as_dict(private=False)["x"]}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
        thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
        assert key.kid == thumbprint

    def test_the_newest_key_signs_and_all_are_published(self, tmp_path: Path) -> None:
        (old,) = load_or_create_keys(tmp_path)
        clock = FakeClock(datetime.now(UTC))
        before = JoseTokens(KeyRing([old], clock), FakeClock(), CountingIds()).sign(claims())
        new = create_key(tmp_path, clock.now())
        tokens = JoseTokens(KeyRing(load_or_create_keys(tmp_path), clock), FakeClock(), CountingIds())
        published = parse_jwks(tokens.jwks_json())
        assert list(published) == [new.kid, old.kid]
        assert all(not key.is_private for key in published.values())
        assert '"d"' not in tokens.jwks_json()
        verifier = TokenVerifier(StaticKeys(published.values()), FakeClock())
        assert verifier.verify(before).subject == verifier.verify(tokens.sign(claims())).subject == "ada"
        header = json.loads(base64.urlsafe_b64decode(tokens.sign(claims()).partition(".")[0] + "=="))
        assert header["kid"] == new.kid

    def test_a_key_that_everybody_may_read_is_refused(self, tmp_path: Path) -> None:
        load_or_create_keys(tmp_path)
        (file,) = tmp_path.glob("*.jwk")
        file.chmod(0o644)
        with pytest.raises(KeyFileError, match="chmod 600"):
            load_or_create_keys(tmp_path)

    @pytest.mark.parametrize("content", ["", "{}", '{"kty":"oct","k":"AAAA"}', "[]"])
    def test_a_file_that_is_no_key_is_named(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "1.jwk"
        file.write_text(content)
        file.chmod(0o600)
        with pytest.raises(KeyFileError, match=r"1\.jwk"):
            load_or_create_keys(tmp_path)


class TestReading:
    """What can be exchanged: genuine, unexpired access tokens."""

    def make(self) -> tuple[JoseTokens, FakeClock]:
        """A signer and its clock."""
        clock = FakeClock()
        return JoseTokens(KeyRing([SigningKey(KEY, START)], clock), clock, CountingIds()), clock

    def test_an_access_token_is_read_back(self) -> None:
        tokens, _ = self.make()
        access = tokens.read_access(tokens.sign(claims()))
        assert (access.user_id, access.session_id, access.expires_at) == (
            "ada",
            "session",
            START + 15 * MINUTE,
        )

    @pytest.mark.parametrize("kind", [TokenKind.INTERNAL, TokenKind.SERVICE])
    def test_no_other_kind_is(self, kind: TokenKind) -> None:
        tokens, _ = self.make()
        with pytest.raises(CredentialInvalid):
            tokens.read_access(tokens.sign(claims(kind)))

    def test_an_expired_one_says_so(self) -> None:
        tokens, clock = self.make()
        token = tokens.sign(claims())
        clock.advance(16 * MINUTE)
        with pytest.raises(CredentialExpired):
            tokens.read_access(token)

    def test_one_of_another_key_is_refused(self) -> None:
        tokens, clock = self.make()
        other = SigningKey(OKPKey.generate_key("Ed25519", auto_kid=True), START)
        foreign = JoseTokens(KeyRing([other], clock), clock, CountingIds())
        with pytest.raises(CredentialInvalid):
            tokens.read_access(foreign.sign(claims()))


def part(content: dict[str, Any]) -> str:
    """One part of a compact JWT."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def payload(**changes: Any) -> dict[str, Any]:
    """A payload that would be accepted, with changes; None removes a claim."""
    now = int(START.timestamp())
    whole = {
        "iss": "t2m-auth",
        "aud": "t2m",
        "sub": "ada",
        "role": "admin",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "jti": "1",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def signed(*, key: OKPKey = KEY, kid: str | None = KEY.kid, **changes: Any) -> str:
    """A genuine signature over whatever is wanted."""
    return jwt.encode({"alg": "Ed25519", "kid": kid}, payload(**changes), key, algorithms=["Ed25519"])


def hs256(secret: bytes) -> str:
    """The classic confusion: the published key as a shared secret (by hand: joserfc refuses to)."""
    message = f"{part({'alg': 'HS256', 'kid': KEY.kid})}.{part(payload())}"
    digest = hmac.digest(secret, message.encode(), hashlib.sha256)
    return f"{message}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def swapped_payload() -> str:
    """The signature of one token under the claims of another."""
    head, _, signature = signed(role="user").split(".")
    return f"{head}.{part(payload(role='admin'))}.{signature}"


NOW = int(START.timestamp())
FORGED: dict[str, str] = {
    "no algorithm": f"{part({'alg': 'none', 'kid': KEY.kid})}.{part(payload())}.",
    "no algorithm, odd case": f"{part({'alg': 'nOnE', 'kid': KEY.kid})}.{part(payload())}.",
    "HS256 with the public key as PEM": hs256(KEY.as_pem(private=False)),
    "HS256 with the public key as JWK": hs256(json.dumps(KEY.as_dict(private=False)).encode()),
    "unknown key": signed(kid="another"),
    "no key named": f"{part({'alg': 'Ed25519'})}.{part(payload())}.AAAA",
    "foreign key under a known name": signed(key=OKPKey.generate_key("Ed25519")),
    "another token's signature": swapped_payload(),
    "foreign issuer": signed(iss="somebody"),
    "foreign audience": signed(aud="another"),
    "not yet valid": signed(nbf=NOW + 120),
    "issued in the future": signed(iat=NOW + 120),
    "unknown role": signed(role="root"),
    "empty": "",
    "no JWT": "t2m_0123456789abcdef_secret",
    "two parts": "a.b",
    "not ASCII": "ä.ö.ü",
}
REQUIRED = ("iss", "aud", "sub", "role", "exp", "iat", "nbf", "jti")


def test_the_table_below_fails_for_its_faults_alone() -> None:
    assert TokenVerifier(StaticKeys([KEY]), FakeClock()).verify(signed()).subject == "ada"


@pytest.mark.parametrize("token", [pytest.param(token, id=fault) for fault, token in FORGED.items()])
async def test_the_runtime_refuses_a_forged_token(token: str) -> None:
    verifier = TokenVerifier(StaticKeys([KEY]), FakeClock())
    with pytest.raises(CredentialError) as refused:
        await verifier.authenticate(token)
    assert refused.value.reason == ErrorReason.ERROR_REASON_CREDENTIAL_INVALID


@pytest.mark.parametrize("missing", REQUIRED)
async def test_the_runtime_demands_every_claim(missing: str) -> None:
    verifier = TokenVerifier(StaticKeys([KEY]), FakeClock())
    without: dict[str, Any] = {missing: None}
    with pytest.raises(CredentialError) as refused:
        await verifier.authenticate(signed(**without))
    assert refused.value.reason == ErrorReason.ERROR_REASON_CREDENTIAL_INVALID


async def test_the_runtime_tells_expired_from_invalid_and_knows_what_it_saw_before() -> None:
    clock = FakeClock()
    verifier, token = TokenVerifier(StaticKeys([KEY]), clock), signed()
    assert (await verifier.authenticate(token)).subject == "ada"
    clock.advance(3 * MINUTE)
    for fresh in (verifier, TokenVerifier(StaticKeys([KEY]), clock)):
        with pytest.raises(CredentialError) as refused:
            await fresh.authenticate(token)
        assert refused.value.reason == ErrorReason.ERROR_REASON_CREDENTIAL_EXPIRED
