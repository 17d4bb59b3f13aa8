"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from services.auth.application.identity_ports import IdentityRepository
from services.auth.application.people_ports import (
    AttemptRepository,
    EmailTokenRepository,
    MailRepository,
    RegistrationRepository,
    SessionRepository,
    UserRepository,
)
from services.auth.domain.api_key import ApiKey
from services.auth.domain.revocation import Revocation, RevocationKind
from services.auth.domain.tokens import AccessToken, TokenClaims


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The current moment, aware, in UTC."""
        ...


class Ids(Protocol):
    """Makes identifiers."""

    def new_id(self) -> str:
        """A new UUID, sortable by time."""
        ...


class PasswordHasher(Protocol):
    """A slow, salted hash."""

    async def hash(self, password: str) -> str:
        """The hash to be stored."""
        ...

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password belongs to the hash. Without a hash: False, after just as long."""
        ...

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        ...


class SecretMaker(Protocol):
    """Random secrets, and digests of them that are worthless without the pepper."""

    def new_secret(self) -> str:
        """256 random bits as letters and digits."""
        ...

    def new_key_id(self) -> str:
        """Public half of a new API key: lower-case letters and digits."""
        ...

    def digest(self, purpose: str, secret: str) -> bytes:
        """What is stored in place of the secret; digests of different purposes never agree."""
        ...

    def matches(self, purpose: str, secret: str, digest: bytes) -> bool:
        """Whether the digest is the secret's, in constant time."""
        ...


class TokenSigner(Protocol):
    """Signs tokens and reads its own back."""

    def sign(self, claims: TokenClaims) -> str:
        """The token."""
        ...

    def read_access(self, token: str) -> AccessToken:
        """What an access token says.

        Raises CredentialExpired, and CredentialInvalid for anything that is not a genuine access token.
        """
        ...

    def jwks_json(self) -> str:
        """The public keys as a JWK Set (RFC 7517)."""
        ...


class ApiKeyRepository(Protocol):
    """The API keys."""

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        ...

    async def find(self, api_key_id: str) -> ApiKey | None:
        """The key with this id, whoever owns it: only for checking a credential."""
        ...

    async def page(self, user_id: str, limit: int, after: ApiKey | None = None) -> list[ApiKey]:
        """The user's keys, newest first, from the first one after this one on."""
        ...

    async def count_live(self, user_id: str, now: datetime) -> int:
        """How many of the user's keys work; nobody else counts them until this unit of work ends."""
        ...

    async def touch(self, api_key_id: str, now: datetime) -> None:
        """Note that the key was used."""
        ...

    async def revoke(self, api_key_id: str, user_id: str, now: datetime) -> bool:
        """End the key, if it is the user's; a first revocation stays as it was. False when there is none."""
        ...


class RevocationRepository(Protocol):
    """What ended before its tokens did; every verifier learns of it within seconds of the commit."""

    async def add(self, kind: RevocationKind, subject_id: str, at: datetime) -> None:
        """Revoke a session, an API key, or every token of a user that was issued before `at`."""
        ...

    async def since(self, sequence: int, skipped: Collection[int], now: datetime) -> list[Revocation]:
        """Those with a higher number and those with one of the skipped numbers, by number, that `now` still needs.

        Numbers are given before the commit, so a lower one may appear after a higher one.
        """
        ...

    async def user_revoked_at(self, user_id: str) -> datetime | None:
        """When all tokens of the user were revoked last, as far as it still matters."""
        ...

    async def prune(self, now: datetime) -> int:
        """Forget those that no living token needs any more; how many."""
        ...


class AuditTrail(Protocol):
    """Notes what no call shows: a part of the unit of work, so it is stored if and only if the change is."""

    async def note(self, event: str, user_id: str, resources: Mapping[str, str] | None = None) -> None:
        """Something happened to a user, as `login.locked_out`. `resources`: names and ids, never anything else.

        Time, request id and client address are those of the call being served.
        """
        ...


class UnitOfWork(Protocol):
    """One transaction. What is not committed when its block ends is undone."""

    @property
    def users(self) -> UserRepository:
        """The accounts."""
        ...

    @property
    def sessions(self) -> SessionRepository:
        """The sessions."""
        ...

    @property
    def registrations(self) -> RegistrationRepository:
        """The accounts to be."""
        ...

    @property
    def email_tokens(self) -> EmailTokenRepository:
        """The tokens in mails."""
        ...

    @property
    def mails(self) -> MailRepository:
        """The mails to be sent."""
        ...

    @property
    def attempts(self) -> AttemptRepository:
        """The failures of logins."""
        ...

    @property
    def api_keys(self) -> ApiKeyRepository:
        """The API keys."""
        ...

    @property
    def identities(self) -> IdentityRepository:
        """The people of other issuers."""
        ...

    @property
    def revocations(self) -> RevocationRepository:
        """What ended before its tokens did."""
        ...

    @property
    def audit(self) -> AuditTrail:
        """Where is noted what no call shows."""
        ...

    async def commit(self) -> None:
        """Make everything so far permanent."""
        ...


UnitsOfWork = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
"""Opens a unit of work."""
