"""Auth's use cases, put together on fakes."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.auth.application.accounts import Accounts
from services.auth.application.api_keys import ApiKeys
from services.auth.application.login_guard import LoginGuard
from services.auth.application.mailroom import Mailroom
from services.auth.application.operator import Operator
from services.auth.application.passwords import Passwords
from services.auth.application.people_ports import Message
from services.auth.application.profiles import Profiles
from services.auth.application.recovery import Recovery
from services.auth.application.registrations import Registrations
from services.auth.application.sessions import Sessions
from services.auth.application.tokens import Tokens
from services.auth.domain.mail_texts import Links
from services.auth.domain.service_client import ServiceClients
from tests.fakes.auth import CountingIds, FakeClock, FakeHasher, FakeSecrets, FakeSigner, FakeUnits
from tests.fakes.auth_people import FakePolicy, FakeTransport

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
SCOPES = frozenset({"api_keys:read", "api_keys:write", "jobs:read", "jobs:write"})
SERVICE_SECRET = "the secret of the job service"


@dataclass
class World:
    """Everything that a use case needs, and the use cases."""

    clock: FakeClock = field(default_factory=FakeClock)
    ids: CountingIds = field(default_factory=CountingIds)
    hasher: FakeHasher = field(default_factory=FakeHasher)
    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    units: FakeUnits = field(default_factory=FakeUnits)

    def __post_init__(self) -> None:
        self.signer = FakeSigner(self.clock)
        self.policy = FakePolicy()
        self.transport = FakeTransport()
        self._build_people()
        self.api_keys = ApiKeys(self.units, self.secrets, self.clock, SCOPES, most=3)
        clients = ServiceClients({"job": SERVICE_SECRET})
        self.tokens = Tokens(self.units, self.secrets, self.signer, clients, self.clock)
        self.operator = Operator(self.accounts, self.api_keys, self.secrets)

    def _build_people(self) -> None:
        units, secrets, clock, ids = self.units, self.secrets, self.clock, self.ids
        passwords = Passwords(self.policy, self.hasher)
        self.guard = guard = LoginGuard(units, secrets, clock)
        self.accounts = Accounts(units, passwords, clock, ids)
        self.sessions = Sessions(units, passwords, secrets, self.signer, guard, clock=clock, ids=ids)
        self.registrations = Registrations(units, passwords, secrets, guard, clock=clock, ids=ids)
        self.unverified = Registrations(units, passwords, secrets, guard, clock=clock, ids=ids, verified=False)
        self.recovery = Recovery(units, passwords, secrets, guard, clock=clock, ids=ids)
        self.profiles = Profiles(units, passwords, guard, clock=clock, ids=ids)
        links = Links("https://t2m.example/verify?token={token}", "https://t2m.example/reset?token={token}")
        self.mailroom = Mailroom(units, self.transport, secrets, clock, links)

    async def mail(self, recipient: str) -> Message:
        """The newest mail that the address got, once everything due is sent."""
        await self.mailroom.deliver()
        return self.transport.to(recipient)[-1]

    async def code(self, recipient: str) -> str:
        """The token in that mail."""
        message = await self.mail(recipient)
        return next(line for line in message.plain.splitlines() if line.isalnum())
