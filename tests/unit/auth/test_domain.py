"""The rules of auth's domain, as tables (rows A1, A4, A5)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.auth.domain.api_key import (
    ApiKey,
    api_key_id_of,
    check_new_key,
    check_scopes,
    compose_api_key,
)
from services.auth.domain.errors import (
    CredentialExpired,
    CredentialInvalid,
    InvalidValue,
    ScopeBeyondCaller,
)
from services.auth.domain.service_client import ServiceClients
from services.auth.domain.user import check_password, normalise_email
from tests.fakes.auth import START

SECRET = "S" * 43


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Lovelace@Example.COM\n", "ada.lovelace@example.com"),
        ("ada@Bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),  # two spellings of one letter
        ("ada@ｅｘａｍｐｌｅ.com", "ada@example.com"),
        ("ada@раypal.com", "ada@xn--ypal-43d9g.com"),  # Cyrillic р and а do not pass for Latin
    ],
)
def test_an_address_is_compared_in_one_form(sent: str, stored: str) -> None:
    assert normalise_email(sent) == stored


@pytest.mark.parametrize(
    "sent",
    [
        *("", "ada", "@example.com", "ada@", "ada@host", "a b@example.com", "a@b@c.de", "a" * 250 + "@b.de"),
        *("Zoë@example.com", "аda@example.com", "ada\u200b@example.com"),  # letters that look like others, or like none
        *("ada@example.com\r\nBcc: eve@example.com", '"a b"@example.com', "ada@[127.0.0.1]"),
        *("ada@example..com", "ada@host.local", "ada@-example.com"),
    ],
)
def test_what_is_no_address_is_refused(sent: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        normalise_email(sent)
    assert [path for path, _ in refused.value.field_violations] == ["email"]


@pytest.mark.parametrize(
    ("password", "fine"),
    [
        ("x" * 12, True),
        ("x" * 128, True),
        ("ö" * 12, True),
        ("x" * 11, False),
        ("x" * 129, False),
        (" " * 20, False),
    ],
)
def test_the_length_of_a_password(password: str, fine: bool) -> None:
    if fine:
        check_password(password)
    else:
        with pytest.raises(InvalidValue):
            check_password(password)


def test_a_key_names_its_public_half() -> None:
    assert api_key_id_of(compose_api_key("0123456789abcdef", SECRET)) == "0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t2m_",
        f"t2m__{SECRET}",
        f"x2m_0123456789abcdef_{SECRET}",
        "t2m_0123456789abcdef_short",
        f"t2m_0123456789ABCDEF_{SECRET}",
        f"t2m_0123456789abcdef_{SECRET}\n",
        f"t2m_0123456789abcdef_{SECRET}\x00",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(CredentialInvalid):
        api_key_id_of(text)


@pytest.mark.parametrize(
    ("name", "scopes", "ends_in", "paths"),
    [
        ("nightly", ["jobs:read"], timedelta(days=1), []),
        ("", [], None, ["name"]),
        ("n" * 101, [], None, ["name"]),
        ("nightly", ["jobs:read", "jobs"], None, ["scopes[1]"]),
        ("nightly", ["jobs:read", "job:read", "videos:read"], None, ["scopes[1]"]),
        ("nightly", ["Jobs:read", "a:b:c", "*"], None, ["scopes[0]", "scopes[1]", "scopes[2]"]),
        ("nightly", [], timedelta(0), ["expires_at"]),
        ("", ["x"], timedelta(days=-1), ["name", "scopes[0]", "expires_at"]),
    ],
)
def test_every_fault_of_a_new_key_is_named(
    name: str, scopes: list[str], ends_in: timedelta | None, paths: list[str]
) -> None:
    ends = START + ends_in if ends_in is not None else None
    found: list[str] = []
    try:
        check_new_key(name, scopes, ends, START, {"jobs:read", "videos:read"})
    except InvalidValue as refused:
        found = [path for path, _ in refused.field_violations]
    assert found == paths


@pytest.mark.parametrize(
    ("requested", "own", "fine"),
    [
        ([], None, True),
        (["jobs:read"], None, True),
        (["jobs:read"], {"jobs:read", "jobs:write"}, True),
        (["jobs:read", "jobs:write"], {"jobs:read"}, False),
        ([], {"jobs:read"}, False),  # an unrestricted key is more than a restricted one
        (["jobs:read"], set[str](), False),
    ],
)
def test_a_caller_hands_on_only_what_it_has(requested: list[str], own: set[str] | None, fine: bool) -> None:
    if fine:
        check_scopes(requested, own)
    else:
        with pytest.raises(ScopeBeyondCaller):
            check_scopes(requested, own)


@pytest.mark.parametrize(
    ("ends_in", "revoked", "error"),
    [
        (None, False, None),
        (timedelta(seconds=1), False, None),
        (timedelta(0), False, CredentialExpired),
        (None, True, CredentialInvalid),
        (timedelta(seconds=-1), True, CredentialInvalid),
    ],
)
def test_when_a_key_works(ends_in: timedelta | None, revoked: bool, error: type[Exception] | None) -> None:
    ends = START + ends_in if ends_in is not None else None
    key = ApiKey("id", "user", "name", (), b"", START, ends, START if revoked else None)
    if error is None:
        key.check_usable(START)
    else:
        with pytest.raises(error):
            key.check_usable(START)


def test_a_service_is_known_by_its_secret_only() -> None:
    clients = ServiceClients({"job": "a secret of the job service"})
    assert clients.accepts("job", "a secret of the job service")
    assert not clients.accepts("job", "a secret of the job servicE")
    assert not clients.accepts("storage", "a secret of the job service")
    assert not clients.accepts("", "")


def test_a_short_service_secret_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="job"):
        ServiceClients({"job": "password"})
