"""In-memory stands-in for auth's ports.

`tests/contract/test_auth_repositories.py` proves the repositories equal to Postgres.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.auth.domain.api_key import ApiKey
from services.auth.domain.attempts import Attempts
from services.auth.domain.erasure import Erasure
from services.auth.domain.errors import CredentialExpired, CredentialInvalid
from services.auth.domain.identity import Identity
from services.auth.domain.mail import EmailToken, Registration
from services.auth.domain.preferences import Preferences
from services.auth.domain.revocation import Revocation, RevocationKind, needed_until
from services.auth.domain.session import RefreshToken, Session
from services.auth.domain.tokens import AccessToken, TokenClaims, TokenKind
from services.auth.domain.user import Role, User
from tests.fakes.auth_audit import FakeAuditTrail, FakeErasures, Note
from tests.fakes.auth_people import (
    FakeAttempts,
    FakeEmailTokens,
    FakeMails,
    FakeRegistrations,
    QueuedMail,
)

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    """Stands still until it is told otherwise."""

    def __init__(self, now: datetime = START) -> None:
        self.moment = now

    def now(self) -> datetime:
        """The moment it was set to."""
        return self.moment

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.moment += by


class CountingIds:
    """UUIDs 1, 2, 3 …"""

    def __init__(self) -> None:
        self._last = 0

    def new_id(self) -> str:
        """The next one."""
        self._last += 1
        return str(UUID(int=self._last))


class FakeHasher:
    """Instant hashes; counts them, and the checks, also those against nobody."""

    def __init__(self) -> None:
        self.generation = 1
        self.checks = 0
        self.hashes = 0

    async def hash(self, password: str) -> str:
        """Reversible on purpose."""
        self.hashes += 1
        return f"{self.generation}:{password}"

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the hash is the password's."""
        self.checks += 1
        return stored is not None and stored.partition(":")[2] == password

    def is_outdated(self, stored: str) -> bool:
        """Whether it is of an earlier generation."""
        return stored.partition(":")[0] != str(self.generation)


class FakeSecrets:
    """Secrets in a known order."""

    def __init__(self) -> None:
        self._made = 0

    def new_secret(self) -> str:
        """43 letters and digits."""
        self._made += 1
        return f"s{self._made:042d}"

    def new_key_id(self) -> str:
        """16 letters and digits."""
        self._made += 1
        return f"{self._made:016d}"

    def digest(self, purpose: str, secret: str) -> bytes:
        """A plain hash."""
        return hashlib.sha256(f"{purpose}:{secret}".encode()).digest()

    def matches(self, purpose: str, secret: str, digest: bytes) -> bool:
        """Whether the digest is the secret's."""
        return self.digest(purpose, secret) == digest


class FakeSigner:
    """Remembers what it signed."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.signed: dict[str, TokenClaims] = {}

    def sign(self, claims: TokenClaims) -> str:
        """A name for the claims."""
        token = f"token-{len(self.signed)}"
        self.signed[token] = claims
        return token

    def read_access(self, token: str) -> AccessToken:
        """What was signed, if it is an access token."""
        claims = self.signed.get(token)
        if claims is None or claims.kind is not TokenKind.ACCESS or claims.session_id is None:
            raise CredentialInvalid
        if claims.expires_at < self._clock.now():
            raise CredentialExpired
        return AccessToken(claims.subject, claims.session_id, claims.expires_at, claims.issued_at)

    def jwks_json(self) -> str:
        """No keys."""
        return '{"keys":[]}'


@dataclass
class Tables:
    """What is stored."""

    users: dict[str, User] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    tokens: dict[bytes, RefreshToken] = field(default_factory=dict)
    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    revocations: dict[int, Revocation] = field(default_factory=dict)
    identities: dict[tuple[str, str], Identity] = field(default_factory=dict)
    forgotten: dict[tuple[str, str], datetime] = field(default_factory=dict)
    notes: dict[int, Note] = field(default_factory=dict)
    erasures: dict[str, Erasure] = field(default_factory=dict)
    preferences: dict[str, Preferences] = field(default_factory=dict)
    registrations: dict[str, Registration] = field(default_factory=dict)
    email_tokens: dict[bytes, EmailToken] = field(default_factory=dict)
    mails: dict[str, QueuedMail] = field(default_factory=dict)
    attempts: dict[bytes, Attempts] = field(default_factory=dict)
    known_clients: dict[bytes, datetime] = field(default_factory=dict)

    def copy(self) -> Tables:
        """Of the tables, not of the (immutable) rows."""
        return Tables(**{each.name: dict(getattr(self, each.name)) for each in fields(self)})


class FakeUsers:
    """`UserRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._users = tables.users
        self._preferences = tables.preferences

    async def add(self, user: User) -> bool:
        """False when the address is taken."""
        if user.email is not None and await self.find_by_email(user.email) is not None:
            return False
        self._users[user.user_id] = user
        return True

    async def get(self, user_id: str) -> User | None:
        """By id."""
        return self._users.get(user_id)

    async def find_by_email(self, email: str) -> User | None:
        """By address."""
        return next((user for user in self._users.values() if user.email == email), None)

    async def page(self, query: str, role: Role | None, before: str | None, limit: int) -> list[User]:
        """Newest first."""
        sought = query.lower()
        found = [
            user
            for user in self._users.values()
            if sought in (user.email or "") or sought in user.display_name.lower()
            if role is None or user.role is role
            if before is None or user.user_id < before
        ]
        return sorted(found, key=lambda user: user.user_id, reverse=True)[:limit]

    async def lock_admins(self) -> frozenset[str]:
        """All admins; units of work take turns anyway."""
        return frozenset(user.user_id for user in self._users.values() if user.role is Role.ADMIN)

    async def set_role(self, user_id: str, role: Role, now: datetime) -> User | None:
        """The changed account."""
        user = self._users.get(user_id)
        if user is not None:
            user = self._users[user_id] = replace(user, role=role)
        return user

    async def set_plan(self, user_id: str, plan: str, now: datetime) -> User | None:
        """The changed account."""
        user = self._users.get(user_id)
        if user is not None:
            user = self._users[user_id] = replace(user, plan=plan)
        return user

    async def set_display_name(self, user_id: str, name: str, now: datetime) -> User | None:
        """The changed account."""
        user = self._users.get(user_id)
        if user is not None:
            user = self._users[user_id] = replace(user, display_name=name)
        return user

    async def set_email(self, user_id: str, email: str, now: datetime) -> bool:
        """Unless another account has it."""
        user, holder = self._users.get(user_id), await self.find_by_email(email)
        if user is None or holder not in {None, user}:
            return False
        self._users[user_id] = replace(user, email=email, verified_at=now)
        return True

    async def set_password(self, user_id: str, new: str, now: datetime) -> bool:
        """Whatever it was."""
        user = self._users.get(user_id)
        if user is not None:
            self._users[user_id] = replace(user, password_hash=new)
        return user is not None

    async def set_password_hash(self, user_id: str, old: str, new: str, now: datetime) -> bool:
        """Unless it is no longer `old`."""
        held = await self.holds_password(user_id, old)
        return held and await self.set_password(user_id, new, now)

    async def holds_password(self, user_id: str, stored: str) -> bool:
        """Units of work take turns anyway."""
        user = self._users.get(user_id)
        return user is not None and user.password_hash == stored

    async def preferences(self, user_id: str) -> Preferences:
        """The defaults when there are none."""
        return self._preferences.get(user_id, Preferences())

    async def set_preferences(self, user_id: str, preferences: Preferences, now: datetime) -> None:
        """Replace them."""
        self._preferences[user_id] = preferences


class FakeSessions:
    """`SessionRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, session: Session, token: RefreshToken) -> None:
        """With its first token."""
        self._tables.sessions[session.session_id] = session
        self._tables.tokens[token.digest] = token

    async def get(self, session_id: str, user_id: str) -> Session | None:
        """If it is this user's."""
        session = self._tables.sessions.get(session_id)
        return session if session is not None and session.user_id == user_id else None

    async def list_open(self, user_id: str, since: datetime, limit: int) -> list[Session]:
        """Used last first."""
        own = [row for row in self._tables.sessions.values() if row.user_id == user_id and row.active]
        used = {row.session_id: row.last_used_at or row.created_at for row in own}
        fresh = [row for row in own if used[row.session_id] > since]
        return sorted(fresh, key=lambda row: (-used[row.session_id].timestamp(), row.session_id))[:limit]

    async def lock_by_token(self, digest: bytes) -> tuple[Session, RefreshToken] | None:
        """Units of work take turns anyway."""
        token = self._tables.tokens.get(digest)
        return (self._tables.sessions[token.session_id], token) if token is not None else None

    async def trade(self, session: Session, used: RefreshToken, issued: RefreshToken) -> None:
        """Store all three."""
        self._tables.sessions[session.session_id] = session
        self._tables.tokens[used.digest] = replace(used, used_at=used.used_at or issued.issued_at)
        self._tables.tokens[issued.digest] = issued

    async def revoke(self, session_id: str, user_id: str, now: datetime) -> bool:
        """If it is this user's and still open."""
        session = await self.get(session_id, user_id)
        if session is None or not session.active:
            return False
        self._tables.sessions[session_id] = replace(session, revoked_at=now)
        return True

    async def revoke_all(self, user_id: str, now: datetime, keep: str = "") -> list[str]:
        """All but one."""
        ids = [row.session_id for row in self._tables.sessions.values() if row.user_id == user_id]
        return [each for each in ids if each != keep and await self.revoke(each, user_id, now)]

    async def purge(self, before: datetime) -> int:
        """Tokens that ended before, and sessions left without one."""
        tables = self._tables
        ended = [digest for digest, token in tables.tokens.items() if token.expires_at < before]
        for digest in ended:
            del tables.tokens[digest]
        alive = {token.session_id for token in tables.tokens.values()}
        for session_id in [key for key, row in tables.sessions.items() if row.created_at < before]:
            if session_id not in alive:
                del tables.sessions[session_id]
        return len(ended)


class FakeApiKeys:
    """`ApiKeyRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._keys = tables.api_keys

    async def add(self, key: ApiKey) -> None:
        """A new one."""
        self._keys[key.api_key_id] = key

    async def find(self, api_key_id: str) -> ApiKey | None:
        """Whoever owns it."""
        return self._keys.get(api_key_id)

    async def page(self, user_id: str, limit: int, after: ApiKey | None = None) -> list[ApiKey]:
        """Newest first."""

        def place(key: ApiKey) -> tuple[float, str]:
            return -key.created_at.timestamp(), key.api_key_id

        own = [key for key in self._keys.values() if key.user_id == user_id]
        return sorted((key for key in own if after is None or place(key) > place(after)), key=place)[:limit]

    async def count_live(self, user_id: str, now: datetime) -> int:
        """Those that work."""
        own = [key for key in self._keys.values() if key.user_id == user_id and key.revoked_at is None]
        return sum(key.expires_at is None or key.expires_at > now for key in own)

    async def touch(self, api_key_id: str, now: datetime) -> None:
        """Used."""
        self._keys[api_key_id] = replace(self._keys[api_key_id], last_used_at=now)

    async def revoke(self, api_key_id: str, user_id: str, now: datetime) -> bool:
        """False for somebody else's."""
        key = self._keys.get(api_key_id)
        if key is None or key.user_id != user_id:
            return False
        self._keys[api_key_id] = replace(key, revoked_at=key.revoked_at or now)
        return True


class FakeIdentities:
    """`IdentityRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._known = tables.identities
        self._forgotten = tables.forgotten

    async def find(self, issuer: str, subject: str) -> Identity | None:
        """By both."""
        return self._known.get((issuer, subject))

    async def is_known_elsewhere(self, user_id: str) -> bool:
        """Of any issuer."""
        return any(identity.user_id == user_id for identity in self._known.values())

    async def add(self, identity: Identity, now: datetime) -> bool:
        """Once."""
        key = (identity.issuer, identity.subject)
        return self._known.setdefault(key, identity) is identity

    async def advance(self, issuer: str, subject: str, issued_at: datetime) -> bool:
        """Only forward."""
        known = self._known.get((issuer, subject))
        if known is None or known.changed_at >= issued_at:
            return False
        self._known[issuer, subject] = replace(known, changed_at=issued_at)
        return True

    async def forget(self, user_id: str, now: datetime) -> None:
        """All of the user's."""
        for key in [key for key, each in self._known.items() if each.user_id == user_id]:
            del self._known[key]
            self._forgotten[key] = now

    async def forgotten_at(self, issuer: str, subject: str) -> datetime | None:
        """By both."""
        return self._forgotten.get((issuer, subject))

    async def prune(self, before: datetime) -> int:
        """The older ones."""
        old = [key for key, moment in self._forgotten.items() if moment < before]
        for key in old:
            del self._forgotten[key]
        return len(old)


class FakeRevocations:
    """`RevocationRepository`."""

    def __init__(self, tables: Tables, numbers: Iterator[int]) -> None:
        self._rows = tables.revocations
        self._numbers = numbers

    async def add(self, kind: RevocationKind, subject_id: str, at: datetime) -> None:
        """With the next number, which is spent even if the unit is undone."""
        number = next(self._numbers)
        self._rows[number] = Revocation(number, kind, subject_id, at, needed_until(kind, at))

    async def since(self, sequence: int, skipped: Collection[int], now: datetime) -> list[Revocation]:
        """In order."""
        wanted = [row for row in self._rows.values() if row.sequence > sequence or row.sequence in skipped]
        return sorted((row for row in wanted if row.until > now), key=lambda row: row.sequence)

    async def user_revoked_at(self, user_id: str) -> datetime | None:
        """The latest."""
        rows = self._rows.values()
        return max(
            (row.at for row in rows if (row.kind, row.subject_id) == (RevocationKind.USER, user_id)), default=None
        )

    async def prune(self, now: datetime) -> int:
        """Those that nobody needs."""
        old = [number for number, row in self._rows.items() if row.until <= now]
        for number in old:
            del self._rows[number]
        return len(old)


class FakeUnit:
    """`UnitOfWork` on a copy of the tables."""

    def __init__(self, store: FakeUnits) -> None:
        self._store = store
        self._copy = store.tables.copy()
        self._bind()

    def _bind(self) -> None:
        self.users = FakeUsers(self._copy)
        self.sessions = FakeSessions(self._copy)
        self.registrations = FakeRegistrations(self._copy.registrations, self._copy.email_tokens)
        self.email_tokens = FakeEmailTokens(self._copy.email_tokens)
        self.mails = FakeMails(self._copy.mails)
        self.attempts = FakeAttempts(self._copy.attempts, self._copy.known_clients)
        self.api_keys = FakeApiKeys(self._copy)
        self.audit = FakeAuditTrail(self._copy.notes)
        self.erasures = FakeErasures(self._copy)
        self.identities = FakeIdentities(self._copy)
        self.revocations = FakeRevocations(self._copy, self._store.revocation_numbers)

    async def commit(self) -> None:
        """Make the copy the truth."""
        self._store.tables = self._copy
        self._copy = self._copy.copy()
        self._bind()


class FakeUnits:
    """Opens units of work, one at a time."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.revocation_numbers = itertools.count(1)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[FakeUnit]:
        """A unit whose uncommitted changes vanish."""
        async with self._turn:
            yield FakeUnit(self)
