"""An issuer's keys: when it is asked, what is taken, and what happens when it is away or lies (A3)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey, RSAKey
from pydantic import ValidationError

from services.auth.adapters.oidc.issuer import OidcIssuer
from services.auth.adapters.oidc.keys import IssuerKeys, new_http_client
from services.auth.oidc_settings import OidcIssuerSettings
from tests.fakes.oidc_issuer import ec_key, rsa_key

ISSUER = "https://clerk.example"
JWKS, DISCOVERY = f"{ISSUER}/jwks", f"{ISSUER}/.well-known/openid-configuration"
PUBLIC = rsa_key("one").as_dict(private=False)


class Web:
    """What there is at each address, and how often it was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.pages: dict[str, Callable[[], httpx.Response]] = {
            JWKS: lambda: httpx.Response(200, json={"keys": [PUBLIC]})
        }
        self.now = 1000.0

    def answer(self, request: httpx.Request) -> httpx.Response:
        """By address."""
        self.asked[str(request.url)] += 1
        page = self.pages.get(str(request.url))
        if page is None:
            raise httpx.ConnectError("nobody there")
        return page()

    def publish(self, *keys: dict[str, Any]) -> None:
        """Keys at the usual address."""
        self.pages[JWKS] = lambda: httpx.Response(200, json={"keys": list(keys)})

    def keys(self, **changes: Any) -> IssuerKeys:
        """The keys of the issuer."""
        client = new_http_client(httpx.MockTransport(self.answer))
        trusted = OidcIssuer(**{"issuer": ISSUER, "jwks_url": JWKS, **changes})
        return IssuerKeys(trusted, client, monotonic=lambda: self.now)


@pytest.fixture
def web() -> Web:
    """A web without a network, and a clock that is moved by hand."""
    return Web()


async def test_keys_are_fetched_once_for_all_who_ask_at_once(web: Web) -> None:
    keys = web.keys()
    found = await asyncio.gather(*(keys.find("one") for _ in range(20)))
    assert all(each is found[0] and each is not None for each in found)
    assert web.asked == {JWKS: 1}


async def test_an_unknown_key_makes_one_request_in_so_much_time(web: Web) -> None:
    keys = web.keys()
    assert await keys.find("one") is not None
    for _ in range(100):
        assert await keys.find("forged") is None
    assert web.asked[JWKS] == 1
    web.now += 10
    for _ in range(100):
        assert await keys.find("forged") is None
    assert web.asked[JWKS] == 2


async def test_a_key_that_was_rotated_in_is_found_and_one_that_was_withdrawn_is_not(web: Web) -> None:
    keys = web.keys()
    assert await keys.find("one") is not None
    web.publish(rsa_key("two").as_dict(private=False))
    web.now += 10
    assert await keys.find("two") is not None
    assert await keys.find("one") is None


async def test_keys_are_renewed_beside_the_calls(web: Web) -> None:
    keys = web.keys()
    await keys.renew()
    await keys.renew()
    assert web.asked[JWKS] == 1
    web.publish(rsa_key("two").as_dict(private=False))
    web.now += 301
    await keys.renew()
    assert await keys.find("two") is not None
    assert web.asked[JWKS] == 2


async def test_an_issuer_that_is_away_is_served_for_by_what_is_known_and_not_for_ever(web: Web) -> None:
    keys = web.keys()
    assert await keys.find("one") is not None
    del web.pages[JWKS]
    web.now += 3600
    await keys.renew()
    assert await keys.find("one") is not None
    web.now += 86_400
    assert await keys.find("one") is None
    assert not keys.known


async def test_an_issuer_that_was_never_there(web: Web) -> None:
    del web.pages[JWKS]
    keys = web.keys()
    assert await keys.find("one") is None
    assert not keys.known


BAD_ANSWERS: dict[str, Callable[[], httpx.Response]] = {
    "a redirect": lambda: httpx.Response(302, headers={"location": f"{ISSUER}/other"}),
    "an error": lambda: httpx.Response(500, json={"keys": [PUBLIC]}),
    "no JSON": lambda: httpx.Response(200, text="<html>"),
    "a list": lambda: httpx.Response(200, json=[PUBLIC]),
    "no keys": lambda: httpx.Response(200, json={"keys": []}),
    "keys that are none": lambda: httpx.Response(200, json={"keys": ["one", 1, None, {"kid": "one", "kty": "RSA"}]}),
    "too much": lambda: httpx.Response(200, json={"keys": [PUBLIC], "x": "x" * 300_000}),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_an_answer_that_is_none_changes_nothing(web: Web, answer: Callable[[], httpx.Response]) -> None:
    web.pages[f"{ISSUER}/other"] = web.pages[JWKS]
    keys = web.keys()
    assert await keys.find("one") is not None
    web.pages[JWKS] = answer
    web.now += 301
    await keys.renew()
    assert await keys.find("one") is not None
    assert web.asked == {JWKS: 2}  # nobody followed the redirect


def short_rsa_key() -> dict[str, Any]:
    """One that can be factored."""
    with pytest.warns(SecurityWarning):
        return {**RSAKey.generate_key(1024).as_dict(private=False), "kid": "bad"}


BAD_KEYS: dict[str, dict[str, Any]] = {
    "a shared secret": {**OctKey.generate_key(256).as_dict(private=True), "kid": "bad"},
    "a private key": {**rsa_key("one").as_dict(private=True), "kid": "bad"},
    "a short RSA key": short_rsa_key(),
    "a key for encryption": {**PUBLIC, "kid": "bad", "use": "enc"},
    "a key without a name": {**PUBLIC, "kid": ""},
    "a name that is no text": {**PUBLIC, "kid": 7},
}


@pytest.mark.filterwarnings("ignore:Key size")
@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS.keys())
async def test_only_public_signature_keys_are_taken(web: Web, bad: dict[str, Any]) -> None:
    web.publish(bad, PUBLIC, ec_key("ec").as_dict(private=False))
    keys = web.keys()
    assert await keys.find("bad") is None
    assert await keys.find("one") is not None
    assert await keys.find("ec") is not None


async def test_the_first_of_two_keys_with_one_name_counts(web: Web) -> None:
    """Nobody can add a key under a name that is known."""
    web.publish(PUBLIC, {**rsa_key("two").as_dict(private=False), "kid": "one"})
    found = await web.keys().find("one")
    assert found is not None
    assert found.thumbprint() == rsa_key("one").thumbprint()


DISCOVERIES: dict[str, tuple[dict[str, Any], bool]] = {
    "good": ({"issuer": ISSUER, "jwks_uri": JWKS}, True),
    "of another issuer": ({"issuer": "https://evil.example", "jwks_uri": JWKS}, False),
    "with a slash": ({"issuer": ISSUER + "/", "jwks_uri": JWKS}, False),
    "without TLS": ({"issuer": ISSUER, "jwks_uri": JWKS.replace("https", "http")}, False),
    "to this machine": ({"issuer": ISSUER, "jwks_uri": "http://127.0.0.1/jwks"}, False),
    "to a file": ({"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}, False),
    "to nowhere": ({"issuer": ISSUER}, False),
}


@pytest.mark.parametrize(("document", "works"), DISCOVERIES.values(), ids=DISCOVERIES.keys())
async def test_discovery_says_where_the_keys_are(web: Web, document: dict[str, Any], works: bool) -> None:
    web.pages[DISCOVERY] = lambda: httpx.Response(200, json=document)
    keys = web.keys(jwks_url="")
    assert (await keys.find("one") is not None) is works
    assert web.asked == ({DISCOVERY: 1, JWKS: 1} if works else {DISCOVERY: 1})


GOOD = {"issuer": ISSUER, "authorized_parties": ["https://app.example"]}
SETTINGS: dict[str, dict[str, Any]] = {
    "nobody in particular": {"authorized_parties": []},
    "no signature": {"algorithms": ["none"]},
    "a shared secret": {"algorithms": ["RS256", "HS256"]},
    "no algorithm": {"algorithms": []},
    "an unknown member": {"audiance": "t2m"},
    "an unknown role": {"roles": {"boss": "root"}},
    "our own name": {"issuer": "t2m-auth"},
    "much leeway": {"leeway_s": 3600},
}


def test_a_good_configuration_is_taken() -> None:
    OidcIssuerSettings.model_validate(GOOD).trusted(allow_loopback=False)


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_configuration_that_lets_in_strangers_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OidcIssuerSettings.model_validate_json(json.dumps({**GOOD, **changes}))


@pytest.mark.parametrize(
    "url", ["http://clerk.example", "ftp://clerk.example", "https://user@clerk.example", "https://", "clerk.example"]
)
def test_keys_are_fetched_by_tls_only(url: str) -> None:
    for changes in ({"issuer": url}, {"jwks_url": url}):
        with pytest.raises(ValueError, match=r"https://|no plain"):
            OidcIssuerSettings.model_validate({**GOOD, **changes}).trusted(allow_loopback=True)


def test_this_machine_may_be_asked_without_tls_while_developing() -> None:
    local = OidcIssuerSettings.model_validate({**GOOD, "issuer": "http://127.0.0.1:8080"})
    local.trusted(allow_loopback=True)
    with pytest.raises(ValueError, match="https://"):
        local.trusted(allow_loopback=False)
