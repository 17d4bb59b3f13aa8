"""Charges: amounts that the provider is asked for, each kept for good, each collected at most once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Purpose(StrEnum):
    """What a charge pays."""

    SUBSCRIBE = "subscribe"
    RENEW = "renew"
    UPGRADE = "upgrade"


class ChargeState(StrEnum):
    """What became of a charge; `PAID`, `VOID` and `REFUNDED` are final but for a payment that comes too late."""

    DUE = "due"
    """The provider is to be asked, at `next_attempt_at`; without one, once the payer asks for it."""
    OPEN = "open"
    """The provider waits for the payer: a page to pay on, an invoice, a bank."""
    PAID = "paid"
    VOIDING = "voiding"
    """To be withdrawn from the provider."""
    VOID = "void"
    REFUNDING = "refunding"
    """Paid when it was no longer wanted; to be paid back."""
    REFUNDED = "refunded"


WANTED = frozenset({ChargeState.DUE, ChargeState.OPEN})
"""States of a charge that somebody is still to pay."""
TO_DO = frozenset({ChargeState.DUE, ChargeState.VOIDING, ChargeState.REFUNDING})
"""States in which the provider is to be asked for something."""


@dataclass(slots=True)
class Charge:
    """An amount for a subscription."""

    charge_id: str
    subscription_id: str
    user_id: str
    purpose: Purpose
    plan: str
    period_index: int
    """Which period of the subscription it pays, from 0."""
    amount: int
    """In minor units."""
    currency: str
    credits: int
    """Granted when it is paid; agreed with the amount, so that the two always belong together."""
    state: ChargeState
    provider: str
    created_at: datetime
    attempt: int = 1
    """The payment that is under way, or next: each has a name of its own at the provider."""
    present: bool = False
    """Whether the payer waits for an answer, and can be sent to a page."""
    next_attempt_at: datetime | None = None
    claimed_until: datetime | None = None
    """Somebody is asking the provider; who dies over it is given up then."""
    reference: str = ""
    """The provider's name of the payment or the page."""
    page_url: str = ""
    """Where to pay it while it is open."""
    failure: str = ""
    """Why the last attempt did not succeed, in words for the payer."""
    settled_at: datetime | None = None
    """When it was paid, withdrawn or paid back."""

    @property
    def attempt_id(self) -> str:
        """Names this attempt at the provider: however often it is repeated, it moves money once."""
        return f"{self.charge_id}-{self.attempt}"

    def retry(self, now: datetime | None, *, failure: str, present: bool = False) -> None:
        """Go on with another attempt: at this moment, or, without one, when the payer asks for it."""
        self.state, self.attempt, self.next_attempt_at = ChargeState.DUE, self.attempt + 1, now
        self.reference, self.page_url, self.failure, self.present = "", "", failure, present

    def open(self, reference: str, page_url: str) -> None:
        """The provider waits for the payer."""
        self.state, self.next_attempt_at = ChargeState.OPEN, None
        self.reference, self.page_url = reference, page_url

    def withdraw(self, now: datetime) -> None:
        """It is not wanted any more."""
        self.state, self.next_attempt_at, self.page_url = ChargeState.VOIDING, now, ""

    def finish(self, state: ChargeState, now: datetime) -> None:
        """The end."""
        self.state, self.settled_at, self.next_attempt_at, self.page_url = state, now, None, ""


class Result(StrEnum):
    """What the provider says of a charge."""

    PAID = "paid"
    OPEN = "open"
    DECLINED = "declined"
    VOIDED = "voided"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer or an event of the provider."""

    result: Result
    attempt: int
    """Of which attempt. Only a payment counts whichever it was."""
    reference: str = ""
    page_url: str = ""
    reason: str = ""
