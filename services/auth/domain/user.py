"""Users: who may log in and what they may do."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.auth.domain.errors import InvalidValue

PASSWORD_MIN, PASSWORD_MAX = 12, 128
"""Length of a password in code points. Length is the whole policy (NIST SP 800-63B): rules about kinds of
characters make passwords worse."""
EMAIL_MAX = 254
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


class Role(StrEnum):
    """What a user may do, from least to most."""

    READONLY = "readonly"
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    user_id: str
    email: str
    """Normalised, so that equality of text is equality of addresses."""
    display_name: str
    role: Role
    password_hash: str | None = field(repr=False)
    """None for an account that only uses API keys."""
    created_at: datetime
    plan: str = "free"
    """Decides limits, retention and whether credits count."""


def normalise_email(text: str) -> str:
    """The form in which addresses are stored and compared: trimmed, NFC, lower case.

    Raises InvalidValue when it is no address.
    """
    email = unicodedata.normalize("NFC", text.strip()).lower()
    if len(email) > EMAIL_MAX or not _EMAIL.fullmatch(email):
        raise InvalidValue([("email", "must be an e-mail address")])
    return email


def check_password(password: str) -> None:
    """Return when the password is acceptable for a new account. Raises InvalidValue."""
    if len(password.strip()) < PASSWORD_MIN:
        raise InvalidValue([("password", f"must have at least {PASSWORD_MIN} characters")])
    if len(password) > PASSWORD_MAX:
        raise InvalidValue([("password", f"must have at most {PASSWORD_MAX} characters")])
