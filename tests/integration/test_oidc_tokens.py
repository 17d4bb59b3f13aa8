"""Every way in which another issuer's token can be wrong, through the real `ExchangeCredential` (A3)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OKPKey
from sqlalchemy import text

from services.runtime.db import create_engine
from services.runtime.tokens import AUDIENCE, ISSUER
from t2m.auth.v1 import user_pb2
from tests.fakes.oidc_issuer import APP, DISCOVERY, JWKS, OidcIssuer, ec_key, part, rsa_key, serving
from tests.integration.credentials_harness import Replica, auth_database, auth_replica, auth_settings, refusal

INVALID = ("UNAUTHENTICATED", "CREDENTIAL_INVALID")
EXPIRED = ("UNAUTHENTICATED", "CREDENTIAL_EXPIRED")


def clerk(issuer: OidcIssuer, **changes: Any) -> dict[str, Any]:
    """The configuration that the README gives for Clerk."""
    return {
        "issuer": issuer.url,
        "jwks_url": issuer.url + JWKS,
        "authorized_parties": [APP],
        "required_claims": ["sid", "nbf"],
        "refused_claims": {"sts": ["pending"]},
        **changes,
    }


@pytest.fixture
async def issuer() -> AsyncIterator[OidcIssuer]:
    """The issuer that is trusted."""
    async with serving() as running:
        yield running


@pytest.fixture
async def auth(issuer: OidcIssuer, tmp_path: Path) -> AsyncIterator[Replica]:
    """Auth, which trusts it."""
    await asyncio.to_thread(auth_database)
    settings = auth_settings(tmp_path, oidc_issuers=[clerk(issuer)], oidc_keys_min_interval_s=0.0)
    async with auth_replica(settings) as replica:
        yield replica


def raw(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand."""
    return f"{part(header)}.{part(claims)}.{part(signature)}"


def hs256(issuer: OidcIssuer, secret: bytes) -> str:
    """The classic confusion: what is published as a shared secret."""
    message = f"{part({'alg': 'HS256', 'kid': issuer.key.kid, 'typ': 'JWT'})}.{part(issuer.claims())}"
    return f"{message}.{part(hmac.digest(secret, message.encode(), hashlib.sha256))}"


def swapped_payload(issuer: OidcIssuer) -> str:
    """The signature of one token under the claims of another."""
    head, _, signature = issuer.token().split(".")
    return f"{head}.{part(issuer.claims(sub='user_eve'))}.{signature}"


def own_kind(issuer: OidcIssuer, kind: str) -> str:
    """A token in the form that this deployment gives to its own, by the issuer's key."""
    claims = issuer.claims(iss=ISSUER, aud=AUDIENCE, role="admin", jti="1")
    return issuer.sign(claims, typ=kind)


def encrypted(issuer: OidcIssuer) -> str:
    """A JWE of the claims, for the public key of the issuer."""
    key = rsa_key("ins_1")
    return jwe.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A128GCM", "kid": key.kid}, json.dumps(issuer.claims()).encode(), key
    )


def repeated(issuer: OidcIssuer, name: str) -> str:
    """Genuine, and with a claim that is there twice."""
    text = json.dumps(issuer.claims())
    return issuer.sign_bytes(f'{{"{name}": "user_eve", {text[1:]}'.encode())


def with_constant(issuer: OidcIssuer, name: str, constant: str) -> str:
    """Genuine, and with a number that is none."""
    text = json.dumps({**issuer.claims(), name: "?"})
    return issuer.sign_bytes(text.replace('"?"', constant).encode())


def embedded(issuer: OidcIssuer) -> str:
    """Signed by a key of the sender's own, which the header brings along."""
    own = rsa_key("mine")
    return issuer.sign(issuer.claims(), key=own, kid=issuer.key.kid, jwk=own.as_dict(private=False))


def now() -> int:
    """Seconds."""
    return int(time.time())


async def count_of_users() -> int:
    """How many accounts there are."""
    engine = create_engine(auth_database(), pool_size=1)
    try:
        async with engine.connect() as connection:
            count: int = (await connection.execute(text("SELECT count(*) FROM users"))).scalar_one()
            return count
    finally:
        await engine.dispose()


Forge = Callable[[OidcIssuer], str]
BAD: dict[str, tuple[Forge, tuple[str, str]]] = {
    name: (forge, INVALID)
    for name, forge in {
        "alg none": lambda i: raw({"alg": "none", "kid": i.key.kid, "typ": "JWT"}, i.claims()),
        "alg None": lambda i: raw({"alg": "None", "kid": i.key.kid, "typ": "JWT"}, i.claims()),
        "alg nOnE with a signature": lambda i: raw({"alg": "nOnE", "kid": i.key.kid}, i.claims(), bytes(256)),
        "alg empty": lambda i: raw({"alg": "", "kid": i.key.kid}, i.claims()),
        "alg missing": lambda i: raw({"kid": i.key.kid}, i.claims()),
        "alg a list": lambda i: raw({"alg": ["RS256"], "kid": i.key.kid}, i.claims()),
        "HS256 with the public key as PEM": lambda i: hs256(i, i.key.as_pem(private=False)),
        "HS256 with the public key as JWK": lambda i: hs256(i, json.dumps(i.key.as_dict(private=False)).encode()),
        "HS256 with an empty secret": lambda i: hs256(i, b""),
        "RS512, which is not pinned": lambda i: raw({"alg": "RS512", "kid": i.key.kid}, i.claims(), bytes(256)),
        "unknown kid": lambda i: i.sign(i.claims(), kid="ins_2"),
        "kid missing": lambda i: i.sign(i.claims(), kid=None),
        "kid empty": lambda i: i.sign(i.claims(), kid=""),
        "kid a path": lambda i: i.sign(i.claims(), key=rsa_key("mine"), kid="../../dev/null"),
        "iss with a slash at its end": lambda i: i.token(iss=i.url + "/"),
        "iss in capitals": lambda i: i.token(iss=i.url.upper()),
        "iss of somebody else": lambda i: i.token(iss="https://clerk.evil.example"),
        "iss a list": lambda i: i.token(iss=[i.url]),
        "iss missing": lambda i: i.token(iss=None),
        "azp of another application": lambda i: i.token(azp="https://evil.example"),
        "azp that only begins alike": lambda i: i.token(azp=APP + ".evil.example"),
        "azp missing": lambda i: i.token(azp=None),
        "azp a list": lambda i: i.token(azp=[APP]),
        "beyond the leeway: nbf in the future": lambda i: i.token(nbf=now() + 120),
        "beyond the leeway: iat in the future": lambda i: i.token(iat=now() + 120, exp=now() + 180),
        "exp missing": lambda i: i.token(exp=None),
        "iat missing": lambda i: i.token(iat=None),
        "nbf missing": lambda i: i.token(nbf=None),
        "exp a text": lambda i: i.token(exp=str(now() + 60)),
        "exp true": lambda i: i.token(exp=True),
        "exp beyond all calendars": lambda i: i.token(exp=10**30),
        "exp NaN": lambda i: with_constant(i, "exp", "NaN"),
        "exp Infinity": lambda i: with_constant(i, "exp", "Infinity"),
        "sub missing": lambda i: i.token(sub=None),
        "sub empty": lambda i: i.token(sub=""),
        "sub a number": lambda i: i.token(sub=7),
        "sub too long": lambda i: i.token(sub="u" * 256),
        "sub with a zero byte": lambda i: i.token(sub="user_ada\0"),
        "sid missing": lambda i: i.token(sid=None),
        "a session that is pending": lambda i: i.token(sts="pending"),
        "a foreign key under a known name": lambda i: i.sign(i.claims(), key=rsa_key("mine"), kid=i.key.kid),
        "ES256 by a key under a known name": lambda i: i.sign(i.claims(), key=ec_key("ins_1")),
        "a key in the header": embedded,
        "jku": lambda i: i.sign(i.claims(), jku=i.url + "/evil.json"),
        "x5u": lambda i: i.sign(i.claims(), x5u=i.url + "/evil.pem"),
        "x5c": lambda i: i.sign(i.claims(), x5c=["MIIB"]),
        "crit": lambda i: i.sign(i.claims(), crit=["exp"]),
        "b64": lambda i: i.sign(i.claims(), b64=True),
        "compressed": lambda i: i.sign(i.claims(), zip="DEF"),
        "tampered payload": swapped_payload,
        "signature cut short": lambda i: i.token()[:-8],
        "signature missing": lambda i: i.token().rpartition(".")[0] + ".",
        "signature of zeros": lambda i: raw({"alg": "RS256", "kid": i.key.kid, "typ": "JWT"}, i.claims(), bytes(256)),
        "psychic signature": lambda i: raw({"alg": "ES256", "kid": i.key.kid, "typ": "JWT"}, i.claims(), bytes(64)),
        "one dot": lambda i: i.token().rpartition(".")[0],
        "no dot": lambda i: i.token().replace(".", ""),
        "three dots": lambda i: i.token() + ".x",
        "encrypted": encrypted,
        "payload an array": lambda i: i.sign_bytes(json.dumps([i.claims()]).encode()),
        "payload no JSON": lambda i: i.sign_bytes(b"{"),
        "payload nested deeply": lambda i: i.sign_bytes(b'{"iss":' + b"[" * 2500 + b"]" * 2500 + b"}"),
        "sub twice": lambda i: repeated(i, "sub"),
        "iss twice": lambda i: repeated(i, "iss"),
        "typ of an internal token": lambda i: i.sign(i.claims(), typ="int+jwt"),
        "typ of a service token": lambda i: i.sign(i.claims(), typ="svc+jwt"),
        "our own access token, by their key": lambda i: own_kind(i, "at+jwt"),
        "our own internal token, by their key": lambda i: own_kind(i, "int+jwt"),
    }.items()
} | {
    "expired": (lambda i: i.token(iat=now() - 120, exp=now() - 1), EXPIRED),
    "expired within the leeway": (lambda i: i.token(iat=now() - 60, exp=now() - 5), EXPIRED),
    "good for a day, and two hours old": (lambda i: i.token(iat=now() - 7200, exp=now() + 86400), EXPIRED),
}
"""How each is forged, and how it is refused."""


@pytest.fixture(scope="module")
def table() -> dict[str, tuple[Forge, tuple[str, str]]]:
    """The table, whose names are the names of the faults."""
    assert len(BAD) > 60
    return BAD


async def test_A3_each_bad_token_is_refused_and_makes_no_user(
    auth: Replica, issuer: OidcIssuer, table: dict[str, tuple[Forge, tuple[str, str]]]
) -> None:
    """Next to each a good one is accepted, so that nothing is refused for another reason than its fault.

    No request goes anywhere but to the address that is configured.
    """
    good = await auth.exchange(access_token=issuer.token())
    assert good.role == user_pb2.ROLE_USER
    before, wrong = await count_of_users(), {}
    for name, (forge, expected) in table.items():
        found = await refusal(auth.exchange(access_token=forge(issuer)))
        if found != expected:
            wrong[name] = found
        assert (await auth.exchange(access_token=issuer.token())).user_id == good.user_id
    assert wrong == {}
    assert await count_of_users() == before
    assert set(issuer.asked) == {JWKS}


async def test_a_huge_token_is_refused_before_it_is_read(auth: Replica, issuer: OidcIssuer) -> None:
    refused = await refusal(auth.exchange(access_token=issuer.token(padding="x" * 9000)))
    assert refused == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


AUDIENCES: list[tuple[object, bool]] = [
    ("t2m", True),
    (["other", "t2m"], True),
    ("other", False),
    (["other"], False),
    ([], False),
    ("t2m2", False),
    ("T2M", False),
    ({"t2m": 1}, False),
    (None, False),
]


async def test_the_audience_where_one_is_demanded(issuer: OidcIssuer, tmp_path: Path) -> None:
    await asyncio.to_thread(auth_database)
    trusted = {"issuer": issuer.url, "audience": "t2m"}
    async with auth_replica(auth_settings(tmp_path, oidc_issuers=[trusted])) as auth:
        for aud, accepted in AUDIENCES:
            exchanged = auth.exchange(access_token=issuer.token(aud=aud, azp=None, sid=None, nbf=None))
            if accepted:
                assert (await exchanged).internal_token, aud
            else:
                assert await refusal(exchanged) == INVALID, aud
    assert set(issuer.asked) == {DISCOVERY, JWKS}  # no address of keys was configured


async def test_an_issuer_vouches_for_its_own_people_only(issuer: OidcIssuer, tmp_path: Path) -> None:
    """Two issuers are trusted: the key of one is worth nothing under the name of the other."""
    await asyncio.to_thread(auth_database)
    async with serving() as other:
        other.keys = [rsa_key("ins_2")]
        settings = auth_settings(tmp_path, oidc_issuers=[clerk(issuer), clerk(other)])
        async with auth_replica(settings) as auth:
            first = await auth.exchange(access_token=issuer.token())
            second = await auth.exchange(access_token=other.token())
            assert first.user_id != second.user_id  # the same sub, of two issuers
            forged = other.sign(issuer.claims())
            assert await refusal(auth.exchange(access_token=forged)) == INVALID


async def test_without_issuers_no_foreign_token_is_taken(issuer: OidcIssuer, tmp_path: Path) -> None:
    await asyncio.to_thread(auth_database)
    async with auth_replica(auth_settings(tmp_path)) as auth:
        assert await refusal(auth.exchange(access_token=issuer.token())) == INVALID
    assert not issuer.asked


async def test_an_eddsa_issuer_where_that_is_pinned(issuer: OidcIssuer, tmp_path: Path) -> None:
    """A key of another kind in the same answer is no way in."""
    await asyncio.to_thread(auth_database)
    issuer.keys = [ec_key("ec"), OKPKey.generate_key("Ed25519", parameters={"kid": "ed"}), rsa_key("ins_1")]
    settings = auth_settings(tmp_path, oidc_issuers=[clerk(issuer, algorithms=["ES256"])])
    async with auth_replica(settings) as auth:
        assert (await auth.exchange(access_token=issuer.token())).internal_token
        by_rsa = issuer.sign(issuer.claims(), key=rsa_key("ins_1"))
        assert await refusal(auth.exchange(access_token=by_rsa)) == INVALID
