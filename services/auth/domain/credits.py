"""Credits: set aside when a job is accepted, spent when it completes, given back otherwise.

Every movement is a transaction of postings that sum to zero (double entry): what a user gains, another account loses.
The postings are only ever added; the balance of an account is their sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.auth.domain.billing_errors import NotRefundable
from services.auth.domain.errors import (
    CreditsExhausted,
    GrantConflict,
    ReservationConflict,
    ReservationEnded,
    ReservationNotFound,
)
from services.auth.domain.plans import DEFAULT_PLAN, Plan


class Book(StrEnum):
    """The accounts between which credits move; `ISSUED` is the deployment's, the others are a user's."""

    ISSUED = "issued"
    AVAILABLE = "available"
    RESERVED = "reserved"
    SPENT = "spent"


class ReservationState(StrEnum):
    """What became of a reservation; the last two are final, and only what was settled is refunded."""

    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    SETTLED = "settled"
    RELEASED = "released"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Credits set aside for a job."""

    job_id: str
    user_id: str
    amount: int
    state: ReservationState
    created_at: datetime
    expires_at: datetime | None

    @property
    def held(self) -> bool:
        """Whether the credits are set aside now."""
        return self.state in (ReservationState.RESERVED, ReservationState.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transaction: `amount` moves from one book to the other."""

    source: Book
    target: Book
    amount: int
    kind: str
    job_id: str = ""
    request_id: str = ""


@dataclass(slots=True)
class Account:
    """A user's credits, and the reservation that a change is about, both under the account's lock."""

    user_id: str
    now: datetime
    """When the change happens."""
    plan: str = DEFAULT_PLAN
    available: int = 0
    reserved: int = 0
    spent: int = 0
    reservation: Reservation | None = None
    granted: tuple[str, int] | None = None
    """(user, amount) of the grant that was made under the request id of this change."""
    transfers: list[Transfer] = field(default_factory=list)
    """Made since the account was loaded; not stored yet."""

    def reserve(self, job_id: str, amount: int, plan: Plan, unconfirmed: timedelta) -> Reservation:
        """Set credits aside; a repeat returns the reservation as it is. It lapses after `unconfirmed` if nobody has
        said by then that the job is stored.

        Raises CreditsExhausted, ReservationConflict.
        """
        known = self.reservation
        if known is not None:
            if (known.user_id, known.amount) != (self.user_id, amount):
                raise ReservationConflict
            return known
        if plan.metered and self.available < amount:
            raise CreditsExhausted(amount, self.available)
        self._move(Transfer(Book.AVAILABLE, Book.RESERVED, amount, "reserve", job_id))
        until = self.now + unconfirmed
        self.reservation = Reservation(job_id, self.user_id, amount, ReservationState.RESERVED, self.now, until)
        return self.reservation

    def confirm(self) -> Reservation:
        """Keep the reservation; one that has lapsed is made anew, even below zero.

        Raises ReservationNotFound, ReservationEnded.
        """
        known = self._known()
        if known.state is ReservationState.RELEASED and known.expires_at is not None:
            # It lapsed, nobody gave it back: the job is stored, and will be paid for.
            self._move(Transfer(Book.AVAILABLE, Book.RESERVED, known.amount, "reserve", known.job_id))
        elif known.state is ReservationState.RELEASED:
            raise ReservationEnded(known.state)
        if known.held or known.state is ReservationState.RELEASED:
            self._turn(known, ReservationState.CONFIRMED)
        return self._known()

    def settle(self) -> Reservation:
        """Spend the reservation. Raises ReservationNotFound, ReservationEnded."""
        known = self.confirm()
        if known.held:
            self._move(Transfer(Book.RESERVED, Book.SPENT, known.amount, "settle", known.job_id))
            self._turn(known, ReservationState.SETTLED)
        return self._known()

    def release(self) -> None:
        """Give the reservation back; nothing happens to one that is not there or was refunded.

        Raises ReservationEnded when spent.
        """
        known = self.reservation
        if known is None or known.state is ReservationState.REFUNDED:
            return
        if known.state is ReservationState.SETTLED:
            raise ReservationEnded(known.state)
        if known.held:
            self._move(Transfer(Book.RESERVED, Book.AVAILABLE, known.amount, "release", known.job_id))
        self._turn(known, ReservationState.RELEASED)

    def refund(self) -> Reservation:
        """Give back what was spent, once. Raises ReservationNotFound, NotRefundable."""
        known = self._known()
        if known.state is ReservationState.SETTLED:
            self._move(Transfer(Book.SPENT, Book.AVAILABLE, known.amount, "refund", known.job_id))
            self._turn(known, ReservationState.REFUNDED)
        elif known.state is not ReservationState.REFUNDED:
            raise NotRefundable(known.state)
        return self._known()

    def lapse(self) -> bool:
        """Give back what nobody has confirmed in time; whether there was something."""
        known = self.reservation
        if known is None or known.state is not ReservationState.RESERVED or (known.expires_at or self.now) > self.now:
            return False
        self._move(Transfer(Book.RESERVED, Book.AVAILABLE, known.amount, "lapse", known.job_id))
        self.reservation = replace(known, state=ReservationState.RELEASED)
        return True

    def grant(self, amount: int, kind: str, request_id: str) -> None:
        """Add credits, or take them away, once for each request id. Raises GrantConflict for another amount or user."""
        if self.granted not in (None, (self.user_id, amount)):
            raise GrantConflict
        if amount and self.granted is None:
            self._move(Transfer(Book.ISSUED, Book.AVAILABLE, amount, kind, request_id=request_id))

    def expire(self, amount: int) -> None:
        """Take back what was granted for a period that is over."""
        if amount:
            self._move(Transfer(Book.AVAILABLE, Book.ISSUED, amount, "expire"))

    def _known(self) -> Reservation:
        if self.reservation is None:
            raise ReservationNotFound
        return self.reservation

    def _turn(self, known: Reservation, state: ReservationState) -> None:
        self.reservation = replace(known, state=state, expires_at=None)

    def _move(self, transfer: Transfer) -> None:
        for book, amount in ((transfer.source, -transfer.amount), (transfer.target, transfer.amount)):
            if book is not Book.ISSUED:
                setattr(self, book.value, getattr(self, book.value) + amount)
        self.transfers.append(transfer)
