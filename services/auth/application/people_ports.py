"""What the use cases around people need from outside: their accounts, sessions and mail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.auth.domain.attempts import Attempts
from services.auth.domain.mail import EmailToken, Mail, MailKind, Registration, TokenPurpose
from services.auth.domain.preferences import Preferences
from services.auth.domain.session import RefreshToken, Session
from services.auth.domain.user import Role, User


class PasswordPolicy(Protocol):
    """Knows passwords that are easy to guess, without asking anybody outside."""

    async def weakness(self, password: str, about: Sequence[str]) -> str | None:
        """Why the password is easy to guess and what would be better, as a sentence without its subject; None for a
        good one. `about`: what everybody knows of the person.
        """
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A mail, ready to be sent."""

    message_id: str
    """Of the mail, the same at every attempt."""
    recipient: str
    subject: str
    plain: str = field(repr=False)
    html: str = field(repr=False)
    sent_at: datetime


class MailTransport(Protocol):
    """Hands mail over."""

    async def send(self, message: Message) -> None:
        """Return once somebody else is responsible for it.

        Raises MailRefused when it will never be taken, MailAway when it may be later.
        """
        ...


class MailRefused(Exception):
    """The recipient or the message was refused for good."""


class MailAway(Exception):
    """Nobody took the mail this time."""


class UserRepository(Protocol):
    """The accounts."""

    async def add(self, user: User) -> bool:
        """Store a new account; False when the address is taken."""
        ...

    async def get(self, user_id: str) -> User | None:
        """The account with this id."""
        ...

    async def find_by_email(self, email: str) -> User | None:
        """The account with this (normalised) address."""
        ...

    async def page(self, query: str, role: Role | None, before: str | None, limit: int) -> list[User]:
        """Accounts with ids smaller than `before` whose address or name contains `query`, newest first."""
        ...

    async def lock_admins(self) -> frozenset[str]:
        """The ids of all admins, none of whom can lose the role elsewhere until this unit of work ends."""
        ...

    async def set_role(self, user_id: str, role: Role, now: datetime) -> User | None:
        """Give the role; the changed account, None when there is none."""
        ...

    async def set_plan(self, user_id: str, plan: str, now: datetime) -> User | None:
        """Give the plan; the changed account, None when there is none."""
        ...

    async def set_display_name(self, user_id: str, name: str, now: datetime) -> User | None:
        """Give the name; the changed account, None when there is none."""
        ...

    async def set_email(self, user_id: str, email: str, now: datetime) -> bool:
        """Give the address, verified now; False when another account has it, or there is no such user."""
        ...

    async def set_password(self, user_id: str, new: str, now: datetime) -> bool:
        """Replace the hash, whatever it was; False when there is no such user."""
        ...

    async def set_password_hash(self, user_id: str, old: str, new: str, now: datetime) -> bool:
        """Replace the hash; False when it is no longer `old`."""
        ...

    async def holds_password(self, user_id: str, stored: str) -> bool:
        """Whether the account's hash is still `stored`; it then stays so until this unit of work ends."""
        ...

    async def preferences(self, user_id: str) -> Preferences:
        """The user's preferences; the defaults when none are stored."""
        ...

    async def set_preferences(self, user_id: str, preferences: Preferences, now: datetime) -> None:
        """Replace the preferences of a user who exists."""
        ...


class SessionRepository(Protocol):
    """Sessions and their chains of refresh tokens."""

    async def add(self, session: Session, token: RefreshToken) -> None:
        """Store a new session with its first token."""
        ...

    async def get(self, session_id: str, user_id: str) -> Session | None:
        """The session, if it is this user's."""
        ...

    async def list_open(self, user_id: str, since: datetime, limit: int) -> list[Session]:
        """The user's open sessions that were used after `since`, the one used last first."""
        ...

    async def lock_by_token(self, digest: bytes) -> tuple[Session, RefreshToken] | None:
        """The refresh token with this digest and its session, which nobody else changes until this unit ends."""
        ...

    async def trade(self, session: Session, used: RefreshToken, issued: RefreshToken) -> None:
        """Store what became of a session that is locked: its state, the token used, the token issued."""
        ...

    async def revoke(self, session_id: str, user_id: str, now: datetime) -> bool:
        """Close the session, if it is this user's and still open; whether it was."""
        ...

    async def revoke_all(self, user_id: str, now: datetime, keep: str = "") -> list[str]:
        """Close all open sessions of the user but `keep`; their ids."""
        ...

    async def purge(self, before: datetime) -> int:
        """Delete the refresh tokens that ended before this moment, and sessions that have none left.

        How many tokens.
        """
        ...


class RegistrationRepository(Protocol):
    """Registrations whose address is not verified yet."""

    async def add(self, registration: Registration) -> None:
        """Store a new one, beside others of the same address."""
        ...

    async def get(self, registration_id: str) -> Registration | None:
        """The one with this id; nobody else changes it until this unit of work ends."""
        ...

    async def newest(self, email: str, now: datetime) -> Registration | None:
        """The newest of the address that has not ended and has become no account."""
        ...

    async def complete(self, registration: Registration, user_id: str) -> None:
        """It became an account. Its hash is forgotten, and so are the other registrations of the address."""
        ...

    async def purge(self, now: datetime) -> int:
        """Delete those that have ended; how many."""
        ...


class EmailTokenRepository(Protocol):
    """The tokens in mails, by digest."""

    async def add(self, token: EmailToken) -> None:
        """Store a new one."""
        ...

    async def lock(self, digest: bytes) -> EmailToken | None:
        """The token; nobody else uses it until this unit of work ends."""
        ...

    async def use(self, digest: bytes, now: datetime) -> None:
        """Mark it used."""
        ...

    async def revoke_all(self, user_id: str, purposes: Collection[TokenPurpose]) -> None:
        """Delete the unused tokens of the user that are for these purposes."""
        ...

    async def purge(self, now: datetime) -> int:
        """Delete those that have ended; how many."""
        ...


class MailRepository(Protocol):
    """The mails to be sent; a queue that survives everything."""

    async def add(self, mail: Mail) -> None:
        """Put a mail into the queue."""
        ...

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[Mail]:
        """Take mails that are due. Nobody else gets them before `until`; whoever dies meanwhile loses them then."""
        ...

    async def sent_since(self, recipient: str, kinds: Collection[MailKind], moment: datetime) -> int:
        """How many mails of these kinds the address got since then."""
        ...

    async def finish(self, mail_id: str, state: str, now: datetime, error: str = "") -> None:
        """It was `sent`, `dropped` or `failed`."""
        ...

    async def put_off(self, mail_id: str, until: datetime, error: str) -> None:
        """Try it again then."""
        ...

    async def purge(self, before: datetime) -> int:
        """Delete those that ended before; how many."""
        ...


class AttemptRepository(Protocol):
    """What is known of failed logins, by digest."""

    async def is_known(self, client: bytes, since: datetime) -> bool:
        """Whether this client at this address has logged in since then."""
        ...

    async def remember(self, client: bytes, now: datetime) -> None:
        """It has logged in."""
        ...

    async def lock(self, keys: Collection[bytes], now: datetime) -> Mapping[bytes, Attempts]:
        """What is known of each key, locked in one order until this unit of work ends; without failures for a new
        one.
        """
        ...

    async def store(self, found: Mapping[bytes, Attempts]) -> None:
        """Replace what is known of keys that are locked."""
        ...

    async def purge(self, failed_before: datetime, seen_before: datetime) -> int:
        """Forget old failures and clients; how many."""
        ...
