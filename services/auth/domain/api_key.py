"""API keys: `t2m_{api_key_id}_{secret}`, of which only a digest is kept."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from services.auth.domain.errors import CredentialExpired, CredentialInvalid, InvalidValue, ScopeBeyondCaller

PREFIX = "t2m"
NAME_MAX = 100
_KEY = re.compile(r"t2m_([0-9a-z]{8,64})_([0-9A-Za-z]{32,128})")
_SCOPE = re.compile(r"[a-z_]+:[a-z_]+")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a user, without its secret."""

    api_key_id: str
    user_id: str
    name: str
    scopes: tuple[str, ...]
    """What it may do; empty for everything that its owner may."""
    digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute or so."""

    def check_usable(self, now: datetime) -> None:
        """Return when the key works at this moment. Raises CredentialInvalid or CredentialExpired."""
        if self.revoked_at is not None:
            raise CredentialInvalid
        if self.expires_at is not None and self.expires_at <= now:
            raise CredentialExpired


def compose_api_key(api_key_id: str, secret: str) -> str:
    """The text that the owner keeps."""
    return f"{PREFIX}_{api_key_id}_{secret}"


def api_key_id_of(text: str) -> str:
    """The public half of a key as sent by a client. Raises CredentialInvalid when it is no key at all."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise CredentialInvalid
    return match[1]


def check_new_key(
    name: str, scopes: Collection[str], expires_at: datetime | None, now: datetime, known: Collection[str]
) -> None:
    """Return when a key like this may exist; `known` are the scopes there are. Raises InvalidValue."""
    violations = []
    if not 1 <= len(name) <= NAME_MAX:
        violations.append(("name", f"must have 1 to {NAME_MAX} characters"))
    for index, scope in enumerate(scopes):
        if not _SCOPE.fullmatch(scope):
            violations.append((f"scopes[{index}]", "must have the form resource:verb"))
        elif scope not in known:
            violations.append((f"scopes[{index}]", f"is unknown; there are {', '.join(sorted(known))}"))
    if expires_at is not None and expires_at <= now:
        violations.append(("expires_at", "must be in the future"))
    if violations:
        raise InvalidValue(violations)


def check_scopes(requested: Collection[str], own: Collection[str] | None) -> None:
    """Return when a caller who is restricted to `own` (None: unrestricted) may hand `requested` on.

    Raises ScopeBeyondCaller. No requested scope means an unrestricted key, which a restricted caller may not
    make.
    """
    if own is not None and (not requested or not set(requested) <= set(own)):
        raise ScopeBeyondCaller
