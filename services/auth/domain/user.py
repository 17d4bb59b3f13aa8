"""Users: who may log in and what they may do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from email_validator import EmailNotValidError, validate_email

from services.auth.domain.errors import InvalidValue

PASSWORD_MIN, PASSWORD_MAX = 12, 128
"""Length of a password in code points. Rules about kinds of characters make passwords worse (NIST SP 800-63B): beside
length it only counts how easy they are to guess."""
EMAIL_MAX = 254
NAME_MAX = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of the text around a name."""


class Role(StrEnum):
    """What a user may do, from least to most."""

    READONLY = "readonly"
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    user_id: str
    email: str | None
    """Normalised, so that equality of text is equality of addresses; None for an account of another issuer that came
    without one.
    """
    display_name: str
    role: Role
    password_hash: str | None = field(repr=False)
    """None for an account that only uses API keys."""
    created_at: datetime
    plan: str = "free"
    """Decides limits, retention and whether credits count."""
    verified_at: datetime | None = None
    """When somebody proved to read what is sent to the address."""


def normalise_email(text: str, path: str = "email") -> str:
    """The form in which addresses are stored and compared: lower case, all ASCII, the domain as IDNA writes it.

    The part before the @ must be ASCII as it is: letters that only look alike would make two accounts look like one.
    Raises InvalidValue, naming the field, when it is no such address.
    """
    try:
        found = validate_email(text.strip(), check_deliverability=False, allow_smtputf8=False).ascii_email
    except EmailNotValidError as exc:
        raise InvalidValue([(path, "must be an e-mail address, in ASCII before the @")]) from exc
    if found is None or len(found) > EMAIL_MAX:
        raise InvalidValue([(path, f"must be an e-mail address of at most {EMAIL_MAX} characters")])
    return found.lower()


def checked_name(text: str, path: str = "display_name") -> str:
    """The name as it is stored. Raises InvalidValue."""
    name = text.strip()
    if len(name) > NAME_MAX:
        raise InvalidValue([(path, f"must have at most {NAME_MAX} characters")])
    if _CONTROL.search(name):
        raise InvalidValue([(path, "must not contain control characters")])
    return name


def check_password(password: str, path: str = "password") -> None:
    """Return when the password has an acceptable length. Raises InvalidValue, naming the field."""
    if len(password.strip()) < PASSWORD_MIN:
        raise InvalidValue([(path, f"must have at least {PASSWORD_MIN} characters")])
    if len(password) > PASSWORD_MAX:
        raise InvalidValue([(path, f"must have at most {PASSWORD_MAX} characters")])
