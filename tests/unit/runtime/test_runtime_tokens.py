"""Tokens (A2, A5): what is accepted, and the ways in which a token can be wrong."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from services.runtime.identity import Role
from services.runtime.tokens import (
    AUDIENCE,
    ISSUER,
    LEEWAY_S,
    CredentialError,
    StaticKeys,
    TokenSigner,
    TokenVerifier,
    UnknownKeyError,
    algorithms_of,
    parse_jwks,
)
from t2m.common.v1.error_reason_pb2 import ErrorReason


class SetClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def ed25519(kid: str = "one") -> Key:
    return OKPKey.generate_key("Ed25519", parameters={"kid": kid})


def public(key: Key) -> Key:
    [found] = parse_jwks(json.dumps({"keys": [key.as_dict(private=False)]})).values()
    return found


CLOCK = SetClock()
KEY = ed25519()
LIFETIME = timedelta(minutes=15)


def verifier(*keys: Key, clock: SetClock = CLOCK) -> TokenVerifier:
    return TokenVerifier(StaticKeys([public(key) for key in keys]), clock)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(CLOCK.moment.timestamp())
    base = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "role": "user", "iat": now, "nbf": now, "exp": now + 60}
    merged = {**base, "jti": "1", **changes}
    return {name: value for name, value in merged.items() if value is not None}


def signed(payload: dict[str, Any], key: Key = KEY, algorithm: str = "Ed25519", **header: Any) -> str:
    return jwt.encode({"alg": algorithm, "kid": key.kid, **header}, payload, key, algorithms=[algorithm])


@pytest.mark.parametrize("key", [KEY, ECKey.generate_key("P-256", parameters={"kid": "ec"})], ids=["ed", "ec"])
def test_a_signed_token_names_its_principal(key: Key) -> None:
    token, expires_at = TokenSigner(key, CLOCK).sign("ada", Role.READONLY, LIFETIME, ["jobs:read", "a:b"])
    principal = verifier(key).verify(token)
    assert (principal.subject, principal.role) == ("ada", Role.READONLY)
    assert principal.scopes == frozenset({"jobs:read", "a:b"})
    assert principal.expires_at == expires_at == CLOCK.moment + LIFETIME
    assert principal.token == token
    assert token not in repr(principal)


def test_scopes_absent_and_empty_differ() -> None:
    signer, check = TokenSigner(KEY, CLOCK), verifier(KEY)
    assert check.verify(signer.sign("ada", Role.USER, LIFETIME)[0]).scopes is None
    assert check.verify(signer.sign("ada", Role.USER, LIFETIME, [])[0]).scopes == frozenset()


LATER = int(CLOCK.moment.timestamp()) + 3600
EARLIER = LATER - 7200
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("other issuer", claims(iss="https://example.com")),
    ("no issuer", claims(iss=None)),
    ("other audience", claims(aud="t2m-admin")),
    ("no audience", claims(aud=None)),
    ("no subject", claims(sub=None)),
    ("empty subject", claims(sub="")),
    ("subject is no text", claims(sub=7)),
    ("unknown role", claims(role="root")),
    ("no role", claims(role=None)),
    ("no expiry", claims(exp=None)),
    ("expiry is no number", claims(exp="never")),
    ("no issue time", claims(iat=None)),
    ("no start", claims(nbf=None)),
    ("not valid yet", claims(nbf=LATER)),
    ("issued in the future", claims(iat=LATER)),
    ("no id", claims(jti=None)),
]


@pytest.mark.parametrize("payload", [case[1] for case in WRONG], ids=[case[0] for case in WRONG])
def test_claims_that_are_not_accepted(payload: dict[str, Any]) -> None:
    with pytest.raises(CredentialError) as caught:
        verifier(KEY).verify(signed(payload))
    assert caught.value.reason == ErrorReason.ERROR_REASON_CREDENTIAL_INVALID


def test_an_expired_token_says_so_also_when_it_was_accepted_before() -> None:
    clock = SetClock()
    check, token = verifier(KEY, clock=clock), signed(claims())
    assert check.verify(token).subject == "ada"
    clock.moment += timedelta(seconds=60 + LEEWAY_S + 1)
    for _ in range(2):
        with pytest.raises(CredentialError) as caught:
            check.verify(token)
        assert caught.value.reason == ErrorReason.ERROR_REASON_CREDENTIAL_EXPIRED


@pytest.mark.parametrize("ahead", [-1, 1], ids=["behind", "ahead"])
def test_clocks_that_differ_by_half_a_minute_are_forgiven(ahead: int) -> None:
    """A5: also at the very end of a token, and also when it was accepted before."""
    clock = SetClock()
    clock.moment += timedelta(seconds=ahead * 30 + (60 if ahead > 0 else 0))
    check, token = verifier(KEY, clock=clock), signed(claims())
    assert [check.verify(token).subject for _ in range(2)] == ["ada", "ada"]


def _unsigned(algorithm: str) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': algorithm, 'kid': 'one'})}.{part(claims())}."


def _flipped() -> str:
    head, body, signature = signed(claims()).split(".")
    return f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


FORGED = {
    "signature changed": _flipped(),
    "unsigned": _unsigned("none"),
    "empty signature": _unsigned("Ed25519"),
    "public key used as an HMAC secret": signed(
        claims(), OctKey.import_key(json.dumps(public(KEY).as_dict()), {"kid": "one"}), "HS256"
    ),
    "other key under a known id": signed(claims(), ed25519("one")),
    "no key id": jwt.encode({"alg": "Ed25519"}, claims(), KEY, algorithms=["Ed25519"]),
    "not a token": "nonsense",
    "not text": "ä.ö.ü",
    "empty parts": "..",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_forged_tokens(token: str) -> None:
    with pytest.raises(CredentialError) as caught:
        verifier(KEY).verify(token)
    assert caught.value.reason == ErrorReason.ERROR_REASON_CREDENTIAL_INVALID


def test_an_unknown_key_is_told_apart() -> None:
    with pytest.raises(UnknownKeyError):
        verifier(KEY).verify(signed(claims(), ed25519("two")))


def test_a_withdrawn_key_ends_the_tokens_that_were_accepted_before() -> None:
    keys = StaticKeys([public(KEY)])
    check, token = TokenVerifier(keys, CLOCK), signed(claims())
    assert check.verify(token).subject == "ada"
    keys._keys.clear()
    with pytest.raises(UnknownKeyError):
        check.verify(token)


def test_only_the_pinned_kinds_of_keys_are_read() -> None:
    keys = [KEY, RSAKey.generate_key(2048, {"kid": "rsa"}), ECKey.generate_key("P-384", {"kid": "p384"})]
    document = json.dumps({"keys": [key.as_dict(private=False) for key in keys]})
    assert list(parse_jwks(document)) == ["one"]
    assert algorithms_of(OctKey.generate_key(256)) == []
    with pytest.raises(ValueError, match="private"):
        TokenSigner(public(KEY))


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"keys": [{"kty": "?"}]}', '{"keys": 1}'])
def test_documents_that_are_no_key_sets(document: str) -> None:
    with pytest.raises(ValueError):
        parse_jwks(document)
