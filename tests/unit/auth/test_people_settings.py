"""Settings of mail and passwords (row A1): what makes no sense is named at the start."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.auth.bootstrap.people import build_people
from services.auth.settings import AuthSettings
from tests.unit.auth.world import World

NEEDED = {"database_url": "postgresql://x", "keys_dir": "keys", "api_key_pepper": "a pepper of the test"}


def settings(**more: Any) -> AuthSettings:
    """With the least that auth needs."""
    return AuthSettings(**{**NEEDED, **more})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"smtp_host": "mail.example.com", "mail_from": "a@b.example", "mail_outbox": "out"}, "exclude each other"),
        ({"smtp_host": "mail.example.com"}, "needs mail_from"),
        ({"mail_from": "nobody"}, "must be an e-mail address"),
        ({"mail_from": "a@b.example\r\nBcc: eve@example.com"}, "must be an e-mail address"),
        ({"mail_verify_link": "https://app.example.com/verify"}, "with {token} in it"),
        ({"mail_reset_link": "javascript:alert({token})"}, "with {token} in it"),
        ({"smtp_security": "ssl"}, "starttls"),
        ({"email_verification": "no"}, "required"),
        ({"refresh_grace_s": 3600}, "60"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**wrong)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("mail", "sends"),
    [
        ({}, False),
        ({"mail_outbox": "out"}, True),
        ({"smtp_host": "mail.example.com", "mail_from": "a@b.example"}, True),
    ],
)
def test_mail_is_sent_where_something_takes_it(world: World, mail: dict[str, Any], sends: bool) -> None:
    people = build_people(settings(**mail), world.units, world.secrets, world.signer, world.clock, world.ids)
    assert (people.mailroom is not None) is sends
    assert ("send mail" in [task.name for task in people.background()]) is sends


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"environment": "prod", "password_memory_kib": 19_455, "password_passes": 2}, "OWASP"),
        ({"environment": "staging", "password_memory_kib": 64, "password_passes": 600}, "OWASP"),
        ({"password_memory_kib": 64, "password_lanes": 9}, "password_lanes"),
        ({"password_passes": 0}, "password_passes"),
    ],
)
def test_A1_a_password_that_is_cheap_to_guess_is_refused(more: dict[str, Any], fault: str) -> None:
    """A1: where people's passwords are, their hashes cost what they should."""
    with pytest.raises(ValidationError, match=fault):
        settings(**more)


def test_A1_the_least_that_is_accepted() -> None:
    """A1: OWASP's, with one lane."""
    least = settings(environment="prod", password_memory_kib=19_456, password_passes=2, password_lanes=1)
    assert (least.password_memory_kib, least.password_passes) == (19_456, 2)
