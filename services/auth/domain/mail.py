"""Mail: what is to be sent, the tokens in it, and how often it is tried."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

VERIFY_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(hours=1)
ASKED_PER_HOUR = 5
"""How many mails that anybody can ask for an address gets in an hour; more would be a nuisance made by us."""
GIVE_UP_AFTER = timedelta(hours=24)
"""Age at which a mail that could not be handed over is of no use any more."""
KEPT_FOR = timedelta(days=7)
"""How long a mail is kept after its end, for whoever looks into a complaint."""
_FIRST_RETRY, _LONGEST_RETRY = timedelta(seconds=10), timedelta(hours=1)


class MailKind(StrEnum):
    """Why a mail is sent."""

    REGISTER = "register"
    """Somebody registered with the address."""
    RESEND = "resend"
    """Somebody asked for the mail of a registration again."""
    RESET = "reset"
    """Somebody says to have forgotten the password of the address."""
    CHANGE = "change"
    """An account wants to have the address."""
    CHANGE_ASKED = "change_asked"
    """To an account's address: another one was asked for."""
    CHANGED = "changed"
    """To an account's address of before: there is another one now."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - not a secret


ASKED = frozenset({MailKind.REGISTER, MailKind.RESEND, MailKind.RESET, MailKind.CHANGE})
"""Kinds that somebody else than the account can cause."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that is to be sent. What it says is found out when it is sent."""

    mail_id: str
    kind: MailKind
    recipient: str
    created_at: datetime
    user_id: str | None = None
    registration_id: str | None = None
    about: str = ""
    """The other address, for mail about a change."""
    attempts: int = 0

    def retry_at(self, now: datetime) -> datetime | None:
        """When to try again after a failure; None when it is too late."""
        delay = min(_FIRST_RETRY * 2 ** min(self.attempts - 1, 20), _LONGEST_RETRY)
        return now + delay if now + delay - self.created_at <= GIVE_UP_AFTER else None


class TokenPurpose(StrEnum):
    """What a token from a mail is good for."""

    VERIFY = "verify"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class EmailToken:
    """What is kept of a token in a mail: of a registration, or of an account."""

    digest: bytes = field(repr=False)
    purpose: TokenPurpose
    email: str
    """Where it was sent."""
    expires_at: datetime
    registration_id: str | None = None
    user_id: str | None = None
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """Somebody wants an account; it exists once the address is verified."""

    registration_id: str
    email: str
    display_name: str
    password_hash: str = field(repr=False)
    created_at: datetime
    expires_at: datetime
    user_id: str | None = None
    """The account that it became."""
