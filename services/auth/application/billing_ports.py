"""What the use cases of billing need from outside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from services.auth.domain.billing import Billing
from services.auth.domain.charges import Charge, ChargeState, Outcome
from services.auth.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Current:
    """What applies to a user."""

    plan: str
    subscription: Subscription | None
    charge: Charge | None
    """The newest one of the subscription."""


class BillingStore(Protocol):
    """Subscriptions, charges, and the accounts that they change."""

    def change(
        self,
        user_id: str,
        now: datetime,
        *,
        request: tuple[str, str] = ("", ""),
        charge_id: str = "",
        event_id: str = "",
        wait: bool = True,
    ) -> AbstractAsyncContextManager[Billing | None]:
        """Everything about the user's money under its lock; None for an unknown user and, unless `wait`, while somebody
        else holds the lock. On leaving, all changes are stored in one transaction.

        `request`: id and fingerprint of the call; `repeated` is set when it was made before. Raises
        BillingRequestConflict when the id was used for another one. `charge_id`: a charge to be loaded though it is
        finished. `event_id`: `repeated` is set when this event was taken before.
        """
        ...

    async def due(self, now: datetime, limit: int) -> list[str]:
        """Users whose subscription has something to happen, longest due first."""
        ...

    async def claim(self, now: datetime, until: datetime, charge_id: str = "") -> Charge | None:
        """A charge about which the provider is to be asked, this one or any, and nobody else's until then."""
        ...

    async def postpone(self, charge_id: str, until: datetime) -> None:
        """Ask again then: the provider did not answer."""
        ...

    async def charge(self, charge_id: str) -> Charge | None:
        """The charge."""
        ...

    async def customer(self, user_id: str, provider: str) -> str | None:
        """Under which name the provider knows the user."""
        ...

    async def keep_customer(self, user_id: str, provider: str, customer_id: str) -> str:
        """Remember the name; the one that is kept, which is the first one."""
        ...

    async def current(self, user_id: str) -> Current | None:
        """What applies to the user; None for an unknown one."""
        ...

    async def subscriptions_of(self, user_id: str) -> list[Subscription]:
        """All that the user ever had, newest first."""
        ...

    async def charges_of(self, user_id: str, before: str, limit: int) -> list[Charge]:
        """The user's charges, newest first, older than the one with this id if one is given."""
        ...

    async def charges_in(self, states: Sequence[ChargeState], limit: int) -> list[Charge]:
        """Charges of all users in these states, oldest first."""
        ...

    async def purge(self, before: datetime) -> None:
        """Forget requests and events that came before this moment."""
        ...


class BillingProvider(Protocol):
    """Moves money. Every question may be asked again: the same attempt of a charge moves money once.

    Every method raises ProviderAway when it is not known what came of it.
    """

    async def customer(self, user_id: str) -> str:
        """The provider's name of a user; empty where it needs none."""
        ...

    async def collect(self, charge: Charge, customer_id: str) -> Outcome:
        """Have the charge paid: paid, declined, or open for the payer to act."""
        ...

    async def void(self, charge: Charge, customer_id: str) -> Outcome:
        """Make sure that it is not paid any more; voided, or paid where it was too late."""
        ...

    async def refund(self, charge: Charge) -> Outcome:
        """Pay it back."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """Something that the provider tells."""

    event_id: str
    charge_id: str
    """Empty when it is about none of ours."""
    amount: int
    currency: str
    outcome: Outcome | None
    """None when nothing follows from it."""


class EventReader(Protocol):
    """Reads the provider's events."""

    def read(self, body: bytes, signature: str, now: datetime) -> ProviderEvent:
        """The event. Raises SignatureInvalid."""
        ...


@dataclass(frozen=True, slots=True)
class UsageDay:
    """What a user's credits did on a day."""

    day: date | None
    jobs_ordered: int = 0
    jobs_completed: int = 0
    reserved: int = 0
    spent: int = 0
    released: int = 0
    refunded: int = 0
    granted: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One side of a movement."""

    entry_id: int
    transaction_id: str
    book: str
    amount: int
    kind: str
    job_id: str
    created_at: datetime


class LedgerReader(Protocol):
    """Reads the ledger."""

    async def usage(self, user_id: str, first: date, last: date) -> list[UsageDay]:
        """The days on which something happened, in order, both ends included."""
        ...

    async def entries(self, user_id: str, before: int | None, limit: int) -> list[LedgerEntry]:
        """The user's entries with smaller ids, newest first."""
        ...

    async def faults(self) -> list[str]:
        """What in the books does not fit, in words; empty when everything does. Read as of one moment."""
        ...
