"""Hashes, secrets and the error table of auth (rows A1, A4)."""

from __future__ import annotations

import inspect
from typing import ClassVar, Literal

import argon2
import grpc
import pytest

from services.auth.adapters.argon2 import Argon2Hasher
from services.auth.adapters.passwords import JUDGED_MAX, ZxcvbnPolicy
from services.auth.adapters.secrets import PepperedSecrets
from services.auth.api.errors import TABLE
from services.auth.domain import errors
from services.auth.domain.api_key import api_key_id_of, compose_api_key
from services.runtime.errors import reason_name, status_from_exception

PEPPER = "a pepper of the test"
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)

EXPECTED = {
    "InvalidValue": ("INVALID_ARGUMENT", "VALIDATION_FAILED"),
    "EmailTaken": ("ALREADY_EXISTS", "ALREADY_EXISTS"),
    "TooManyAttempts": ("RESOURCE_EXHAUSTED", "RATE_LIMITED"),
    "SessionNotFound": ("NOT_FOUND", "NOT_FOUND"),
    "UserNotFound": ("NOT_FOUND", "NOT_FOUND"),
    "ApiKeyNotFound": ("NOT_FOUND", "NOT_FOUND"),
    "CreditsExhausted": ("RESOURCE_EXHAUSTED", "QUOTA_EXHAUSTED"),
    "GrantConflict": ("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT"),
    "ReservationConflict": ("ALREADY_EXISTS", "ALREADY_EXISTS"),
    "ReservationEnded": ("FAILED_PRECONDITION", "STATE_CONFLICT"),
    "ReservationNotFound": ("NOT_FOUND", "NOT_FOUND"),
    "LastAdmin": ("FAILED_PRECONDITION", "STATE_CONFLICT"),
    "ScopeBeyondCaller": ("PERMISSION_DENIED", "PERMISSION_DENIED"),
    "CredentialInvalid": ("UNAUTHENTICATED", "CREDENTIAL_INVALID"),
    "LoginRefused": ("UNAUTHENTICATED", "CREDENTIAL_INVALID"),
    "CredentialExpired": ("UNAUTHENTICATED", "CREDENTIAL_EXPIRED"),
    "ErasureByKey": ("PERMISSION_DENIED", "PERMISSION_DENIED"),
    "ErasureNotFound": ("NOT_FOUND", "NOT_FOUND"),
    "LoginTooOld": ("UNAUTHENTICATED", "CREDENTIAL_EXPIRED"),
    "TooManyKeys": ("RESOURCE_EXHAUSTED", "QUOTA_EXHAUSTED"),
    "IssuerAway": ("UNAVAILABLE", "UNAVAILABLE"),
    "FollowerTooSlow": ("ABORTED", "READER_TOO_SLOW"),
}
"""What each domain error is on the wire."""


def test_every_domain_error_has_its_code_and_reason() -> None:
    found = {}
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.AuthError) and kind is not errors.AuthError:
            spec = TABLE.lookup(kind)
            assert spec is not None, f"{name} is not mapped"
            found[name] = (spec.code.name, reason_name(spec.reason))
    assert found == EXPECTED


def test_field_violations_travel_with_the_status() -> None:
    status = status_from_exception(errors.InvalidValue([("email", "must be an e-mail address")]), TABLE)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert len(status.details) == 2


async def test_a_password_is_checked_against_its_hash() -> None:
    hasher = Argon2Hasher(CHEAP)
    stored = await hasher.hash("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await hasher.verify("correct horse battery", stored)
    assert not await hasher.verify("correct horse batterY", stored)
    assert not await hasher.verify("correct horse battery", "not a hash")
    assert not hasher.is_outdated(stored)
    assert Argon2Hasher(argon2.PasswordHasher(time_cost=2, memory_cost=64)).is_outdated(stored)


class Recording(argon2.PasswordHasher):
    """Remembers which hashes it was asked to compute."""

    seen: ClassVar[list[str]] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        """As the original."""
        self.seen.append(str(hash))
        return super().verify(hash, password)


async def test_nobody_costs_as_much_as_somebody() -> None:
    hasher = Argon2Hasher(Recording(time_cost=1, memory_cost=64, parallelism=1))
    stored = await hasher.hash("correct horse battery")
    assert not await hasher.verify("whatever password", stored)
    assert not await hasher.verify("whatever password", None)
    real, dummy = map(argon2.extract_parameters, Recording.seen)
    assert real == dummy


def test_secrets_are_long_unlike_and_make_a_key() -> None:
    secrets = PepperedSecrets(PEPPER)
    made = {secrets.new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(len(secret) == 43 and secret.isalnum() for secret in made)
    key_id = secrets.new_key_id()
    assert api_key_id_of(compose_api_key(key_id, made.pop())) == key_id


def test_a_digest_depends_on_secret_purpose_and_pepper() -> None:
    secrets = PepperedSecrets(PEPPER)
    digests = {
        secrets.digest("api_key", "a"),
        secrets.digest("api_key", "b"),
        secrets.digest("refresh", "a"),
        PepperedSecrets(PEPPER + "!").digest("api_key", "a"),
    }
    assert len(digests) == 4
    assert secrets.matches("api_key", "a", secrets.digest("api_key", "a"))
    assert not secrets.matches("refresh", "a", secrets.digest("api_key", "a"))


def test_a_short_pepper_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="PEPPER"):
        PepperedSecrets("pepper")


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("correct horse battery", None),
        ("xq7!vB2#mK9z", None),
        ("Password1234!", "similar to a commonly used password"),
        ("qwertyuiop[]", "is easy to guess"),
        ("aaaaaaaaaaaaaaaa", "repeats like"),
        ("monkeymonkeymonkey", "is easy to guess"),
        ("ada.lovelace@example.com", "is easy to guess"),
        ("AdaLovelaceAdaLovelace", "is easy to guess"),
        ("L0velace1815", "is easy to guess"),
        ("t2mt2mt2mt2m", "is easy to guess"),
    ],
)
async def test_passwords_that_are_easy_to_guess_are_refused_with_advice(password: str, said: str | None) -> None:
    about = ["ada.lovelace@example.com", "Ada Lovelace"]
    weakness = await ZxcvbnPolicy().weakness(password, about)
    if said is None:
        assert weakness is None
    else:
        assert weakness is not None
        assert weakness.startswith("is easy to guess")
        assert said in weakness
        assert weakness.endswith(".")  # advice follows


async def test_only_so_much_of_a_long_password_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[tuple[int, int]] = []

    def judge(password: str, user_inputs: list[str]) -> dict[str, int]:
        judged.append((len(password), max(map(len, user_inputs))))
        return {"score": 4}

    monkeypatch.setattr("services.auth.adapters.passwords.zxcvbn", judge)
    assert await ZxcvbnPolicy().weakness("4@3!1|0$" * 16, ["n" * 254]) is None
    assert judged == [(JUDGED_MAX, 64)]
