"""What the use cases around other issuers need from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from services.auth.domain.identity import ExternalPerson, Identity


class ExternalTokens(Protocol):
    """Reads tokens of the issuers that are configured."""

    def is_foreign(self, token: str) -> bool:
        """Whether the token says that one of these issuers made it; nothing is checked yet."""
        ...

    async def read(self, token: str) -> ExternalPerson:
        """Whom a genuine token names.

        Raises CredentialExpired, IssuerAway while the issuer's keys are not known, and CredentialInvalid for
        everything else that is wrong with it.
        """
        ...


class IdentityRepository(Protocol):
    """Which user a person of another issuer is."""

    async def find(self, issuer: str, subject: str) -> Identity | None:
        """The person, if known."""
        ...

    async def is_known_elsewhere(self, user_id: str) -> bool:
        """Whether another issuer vouches for the user."""
        ...

    async def add(self, identity: Identity, now: datetime) -> bool:
        """Remember who they are; False when somebody else has done so, however close in time."""
        ...

    async def advance(self, issuer: str, subject: str, issued_at: datetime) -> bool:
        """Let the claims of a token issued then change the user: False when those of a newer one have.

        Others who ask for the same person wait until this unit of work has ended.
        """
        ...

    async def forget(self, user_id: str, now: datetime) -> None:
        """Remove the user's identities, for ever; only a digest keeps older tokens from making a user anew."""
        ...

    async def forgotten_at(self, issuer: str, subject: str) -> datetime | None:
        """When the person was forgotten, as far as it still matters."""
        ...

    async def prune(self, before: datetime) -> int:
        """Drop what is left of people forgotten before this moment; how many."""
        ...
