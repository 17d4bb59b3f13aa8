"""Auth's use cases, put together on fakes."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.auth.application.accounts import Accounts
from services.auth.application.api_keys import ApiKeys
from services.auth.application.operator import Operator
from services.auth.application.sessions import Sessions
from services.auth.application.tokens import Tokens
from services.auth.domain.service_client import ServiceClients
from tests.fakes.auth import CountingIds, FakeClock, FakeHasher, FakeSecrets, FakeSigner, FakeUnits

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
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
        self.accounts = Accounts(self.units, self.hasher, self.clock, self.ids)
        self.sessions = Sessions(self.units, self.hasher, self.secrets, self.signer, clock=self.clock, ids=self.ids)
        self.api_keys = ApiKeys(self.units, self.secrets, self.clock)
        clients = ServiceClients({"job": SERVICE_SECRET})
        self.tokens = Tokens(self.units, self.secrets, self.signer, clients, self.clock)
        self.operator = Operator(self.accounts, self.api_keys, self.secrets)
