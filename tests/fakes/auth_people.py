"""In-memory stand-ins for what auth's people need: registrations, mail, failed logins.

`tests/contract/test_auth_people.py` proves the repositories equal to Postgres, `test_auth_mail.py` the transport equal
to SMTP and the outbox.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.auth.application.people_ports import MailAway, MailRefused, Message
from services.auth.domain.attempts import Attempts
from services.auth.domain.mail import EmailToken, Mail, MailKind, Registration, TokenPurpose


class FakePolicy:
    """Finds `password` easy to guess, and what everybody knows of the person."""

    def __init__(self) -> None:
        self.judged = 0

    async def weakness(self, password: str, about: Sequence[str]) -> str | None:
        """By containment."""
        self.judged += 1
        return "is easy to guess" if any(word in password for word in ("password", *about)) else None


@dataclass
class FakeTransport:
    """Keeps what it is given, and fails on demand."""

    sent: list[Message] = field(default_factory=list)
    away: bool = False
    refused: set[str] = field(default_factory=set)

    async def send(self, message: Message) -> None:
        """Keep it."""
        if self.away:
            raise MailAway("away on demand")
        if message.recipient in self.refused or not message.subject.isprintable():
            raise MailRefused("refused on demand")
        self.sent.append(message)

    def to(self, recipient: str) -> list[Message]:
        """What the address got."""
        return [message for message in self.sent if message.recipient == recipient]


@dataclass(frozen=True)
class QueuedMail:
    """A mail and where it stands."""

    mail: Mail
    next_at: datetime
    state: str = "due"
    ended_at: datetime | None = None
    error: str = ""


class FakeRegistrations:
    """`RegistrationRepository`."""

    def __init__(self, rows: dict[str, Registration], tokens: dict[bytes, EmailToken]) -> None:
        self._rows = rows
        self._tokens = tokens

    async def add(self, registration: Registration) -> None:
        """A new one."""
        self._rows[registration.registration_id] = registration

    async def get(self, registration_id: str) -> Registration | None:
        """By id."""
        return self._rows.get(registration_id)

    async def newest(self, email: str, now: datetime) -> Registration | None:
        """The newest open one."""
        rows = [row for row in self._rows.values() if row.email == email and row.expires_at > now]
        rows = [row for row in rows if row.user_id is None]
        return max(rows, key=lambda row: (row.created_at, row.registration_id), default=None)

    async def complete(self, registration: Registration, user_id: str) -> None:
        """Without the hash and without the others."""
        self._drop(
            [
                row.registration_id
                for row in self._rows.values()
                if row.email == registration.email and row.user_id is None
            ],
            but=registration.registration_id,
        )
        self._rows[registration.registration_id] = replace(registration, user_id=user_id, password_hash="")

    async def purge(self, now: datetime) -> int:
        """Those that ended."""
        ended = [row.registration_id for row in self._rows.values() if row.expires_at <= now]
        self._drop(ended)
        return len(ended)

    def _drop(self, ids: Collection[str], but: str = "") -> None:
        for each in set(ids) - {but}:
            del self._rows[each]
            for digest in [key for key, token in self._tokens.items() if token.registration_id == each]:
                del self._tokens[digest]


class FakeEmailTokens:
    """`EmailTokenRepository`."""

    def __init__(self, rows: dict[bytes, EmailToken]) -> None:
        self._rows = rows

    async def add(self, token: EmailToken) -> None:
        """A new one."""
        self._rows[token.digest] = token

    async def lock(self, digest: bytes) -> EmailToken | None:
        """Units of work take turns anyway."""
        return self._rows.get(digest)

    async def use(self, digest: bytes, now: datetime) -> None:
        """Mark it."""
        self._rows[digest] = replace(self._rows[digest], used_at=now)

    async def revoke_all(self, user_id: str, purposes: Collection[TokenPurpose]) -> None:
        """The unused ones."""
        for token in list(self._rows.values()):
            if token.user_id == user_id and token.purpose in purposes and token.used_at is None:
                del self._rows[token.digest]

    async def purge(self, now: datetime) -> int:
        """Those that ended."""
        ended = [token.digest for token in self._rows.values() if token.expires_at <= now]
        for digest in ended:
            del self._rows[digest]
        return len(ended)


class FakeMails:
    """`MailRepository`."""

    def __init__(self, rows: dict[str, QueuedMail]) -> None:
        self._rows = rows

    async def add(self, mail: Mail) -> None:
        """Due at once."""
        self._rows[mail.mail_id] = QueuedMail(mail, mail.created_at)

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[Mail]:
        """Those that are due, for as long as it takes."""
        due = [row for row in self._rows.values() if row.state == "due" and row.next_at <= now]
        taken = []
        for row in sorted(due, key=lambda row: row.next_at)[:limit]:
            mail = replace(row.mail, attempts=row.mail.attempts + 1)
            self._rows[mail.mail_id] = replace(row, mail=mail, next_at=until)
            taken.append(mail)
        return sorted(taken, key=lambda mail: (mail.created_at, mail.mail_id))

    async def sent_since(self, recipient: str, kinds: Collection[MailKind], moment: datetime) -> int:
        """How many."""
        rows = [row for row in self._rows.values() if row.state == "sent" and row.mail.recipient == recipient]
        return sum(row.mail.kind in kinds and row.mail.created_at > moment for row in rows)

    async def finish(self, mail_id: str, state: str, now: datetime, error: str = "") -> None:
        """Its end."""
        self._rows[mail_id] = replace(self._rows[mail_id], state=state, ended_at=now, error=error)

    async def put_off(self, mail_id: str, until: datetime, error: str) -> None:
        """Not now."""
        self._rows[mail_id] = replace(self._rows[mail_id], next_at=until, error=error)

    async def purge(self, before: datetime) -> int:
        """Those that ended before."""
        old = [key for key, row in self._rows.items() if row.ended_at is not None and row.ended_at < before]
        for mail_id in old:
            del self._rows[mail_id]
        return len(old)


class FakeAttempts:
    """`AttemptRepository`."""

    def __init__(self, rows: dict[bytes, Attempts], known: dict[bytes, datetime]) -> None:
        self._rows = rows
        self._known = known

    async def is_known(self, client: bytes, since: datetime) -> bool:
        """Whether it was seen since then."""
        seen = self._known.get(client)
        return seen is not None and seen > since

    async def remember(self, client: bytes, now: datetime) -> None:
        """Seen now."""
        self._known[client] = now

    async def lock(self, keys: Collection[bytes], now: datetime) -> Mapping[bytes, Attempts]:
        """Units of work take turns anyway."""
        return {key: self._rows.get(key, Attempts(0, None, now)) for key in keys}

    async def store(self, found: Mapping[bytes, Attempts]) -> None:
        """Replace them."""
        self._rows.update(found)

    async def purge(self, failed_before: datetime, seen_before: datetime) -> int:
        """Of both kinds."""
        failures = [key for key, row in self._rows.items() if row.updated_at < failed_before]
        clients = [key for key, seen in self._known.items() if seen < seen_before]
        for key in failures:
            del self._rows[key]
        for key in clients:
            del self._known[key]
        return len(failures) + len(clients)
