"""Reserve, spend and give back credits; grant them (A6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from services.auth.application.ports import Clock
from services.auth.domain.credits import Account, Reservation
from services.auth.domain.errors import AuthError, ReservationConflict, ReservationNotFound, UserNotFound
from services.auth.domain.plans import Plans

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's credits, and whether they limit what it may order."""

    available: int
    reserved: int
    spent: int
    plan: str
    metered: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """Credits to be set aside for a job."""

    user_id: str
    job_id: str
    amount: int


@dataclass(slots=True)
class Desk:
    """Accounts under their locks, by user, and the reservations that there are for some jobs, whosever they are."""

    accounts: Mapping[str, Account]
    known: Mapping[str, Reservation]
    made: dict[str, Reservation] = field(default_factory=dict)
    """To be stored, by job."""


class CreditStore(Protocol):
    """The accounts, the reservations and the ledger."""

    def change(
        self, user_id: str, now: datetime, *, job_id: str = "", request_id: str = ""
    ) -> AbstractAsyncContextManager[Account | None]:
        """The user's account under its lock, with the job's reservation and the request's grant if there are, whosever
        they are; None for an unknown user. On leaving, balance, reservation and transfers are stored in one
        transaction.
        """
        ...

    async def set_aside(
        self, wishes: Sequence[Wish], until: datetime, unmetered: Collection[str], now: datetime
    ) -> list[Reservation]:
        """Make reservations where there can be no doubt: for all wishes of a user whose balance covers them together,
        or whose plan is among the `unmetered` ones, for jobs that have none. Atomic; what is left out has not moved.
        """
        ...

    def change_all(self, wishes: Sequence[Wish], now: datetime) -> AbstractAsyncContextManager[Desk]:
        """The accounts and reservations that the wishes are about, locked. On leaving, balances, transfers and what was
        made are stored in one transaction.
        """
        ...

    async def confirm(self, job_ids: Sequence[str]) -> list[Reservation]:
        """Turn those of the jobs' reservations that wait for it into confirmed ones; these. No credits move."""
        ...

    async def account(self, user_id: str, now: datetime) -> Account | None:
        """The account as of one moment; None for an unknown user."""
        ...

    async def owner_of(self, job_id: str) -> str | None:
        """Whose credits are reserved for the job."""
        ...

    async def lapsed(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """(user, job) of reservations that nobody has confirmed in time."""
        ...


class Credits:
    """The use cases behind `CreditService`."""

    def __init__(
        self, store: CreditStore, plans: Plans, clock: Clock, unconfirmed: timedelta = timedelta(minutes=15)
    ) -> None:
        """`unconfirmed`: how long credits are kept for a job of which nobody has said that it is stored."""
        self._store = store
        self._plans = plans
        self._clock = clock
        self._unconfirmed = unconfirmed

    async def reserve(self, user_id: str, job_id: str, amount: int) -> Reservation:
        """Set credits aside for a job. Raises UserNotFound, CreditsExhausted, ReservationConflict."""
        [outcome] = await self.reserve_all([Wish(user_id, job_id, amount)])
        if isinstance(outcome, AuthError):
            raise outcome
        return outcome

    async def reserve_all(self, wishes: Sequence[Wish]) -> list[Reservation | AuthError]:
        """Set credits aside for several jobs, in their order, in one transaction; what `reserve` would give or raise
        for each.
        """
        now = self._clock.now()
        unmetered = [plan.name for plan in self._plans if not plan.metered]
        sure = await self._store.set_aside(wishes, now + self._unconfirmed, unmetered, now)
        made = {reservation.job_id: reservation for reservation in sure}
        doubtful = [wish for wish in wishes if not _answers(made.get(wish.job_id), wish)]
        if not doubtful:
            return [made[wish.job_id] for wish in wishes]
        # Whoever cannot pay for everything, repeats and strangers: one by one, under the accounts' locks.
        async with self._store.change_all(doubtful, now) as desk:
            rest = {wish: self._reserved(desk, wish) for wish in doubtful}
        return [rest[wish] if wish in rest else made[wish.job_id] for wish in wishes]

    def _reserved(self, desk: Desk, wish: Wish) -> Reservation | AuthError:
        account = desk.accounts.get(wish.user_id)
        if account is None:
            return UserNotFound()
        account.reservation = desk.made.get(wish.job_id) or desk.known.get(wish.job_id)
        new = account.reservation is None
        try:
            reservation = account.reserve(wish.job_id, wish.amount, self._plans.of(account.plan), self._unconfirmed)
        except AuthError as refused:  # raised before anything has moved
            return refused
        if new:
            desk.made[wish.job_id] = reservation
        return reservation

    async def confirm(self, job_id: str) -> Reservation:
        """Keep a reservation. Raises ReservationNotFound, ReservationEnded."""
        return await self._of_job(job_id, Account.confirm)

    async def confirm_all(self, job_ids: Sequence[str]) -> list[Reservation | AuthError]:
        """Keep several reservations; what `confirm` would give or raise for each.

        Those that wait for it, nearly all, are changed in one statement, without their accounts' locks: their credits
        stay where they are.
        """
        kept = {reservation.job_id: reservation for reservation in await self._store.confirm(job_ids)}
        return [kept.get(job_id) or await self._confirmed(job_id) for job_id in job_ids]

    async def _confirmed(self, job_id: str) -> Reservation | AuthError:
        try:
            return await self.confirm(job_id)
        except AuthError as refused:
            return refused

    async def settle(self, job_id: str) -> Reservation:
        """Spend a reservation. Raises ReservationNotFound, ReservationEnded."""
        return await self._of_job(job_id, Account.settle)

    async def release(self, job_id: str) -> None:
        """Give a reservation back. Raises ReservationEnded."""
        owner = await self._store.owner_of(job_id)
        if owner is None:
            return
        async with self._store.change(owner, self._clock.now(), job_id=job_id) as account:
            if account is not None:
                account.release()

    async def refund(self, job_id: str) -> Reservation:
        """Give back what a job has spent. Raises ReservationNotFound, NotRefundable."""
        return await self._of_job(job_id, Account.refund)

    async def balance(self, user_id: str) -> Balance:
        """A user's credits. Raises UserNotFound."""
        account = await self._store.account(user_id, self._clock.now())
        if account is None:
            raise UserNotFound
        metered = self._plans.of(account.plan).metered
        return Balance(account.available, account.reserved, account.spent, account.plan, metered)

    async def grant(self, user_id: str, amount: int, reason: str, request_id: str) -> Balance:
        """Add credits, or take them away, once for each request id. Raises UserNotFound, GrantConflict."""
        async with self._store.change(user_id, self._clock.now(), request_id=request_id) as account:
            if account is None:
                raise UserNotFound
            account.grant(amount, f"grant: {reason}", request_id)
        return await self.balance(user_id)

    async def welcome(self, user_id: str) -> None:
        """Give a new user the credits of the plan, once."""
        request_id = f"signup {user_id}"
        async with self._store.change(user_id, self._clock.now(), request_id=request_id) as account:
            if account is None:
                raise UserNotFound
            if account.granted is None:
                account.grant(self._plans.of(account.plan).signup_credits, "signup", request_id)

    async def lapse(self) -> int:
        """Give back what was reserved by somebody who then died; how many reservations."""
        count = 0
        now = self._clock.now()
        for user_id, job_id in await self._store.lapsed(now, _BATCH):
            async with self._store.change(user_id, now, job_id=job_id) as account:
                count += account is not None and account.lapse()
        return count

    async def _of_job(self, job_id: str, change: Callable[[Account], Reservation]) -> Reservation:
        owner = await self._store.owner_of(job_id)
        if owner is None:
            raise ReservationNotFound
        async with self._store.change(owner, self._clock.now(), job_id=job_id) as account:
            if account is None:
                raise ReservationConflict
            return change(account)


def _answers(made: Reservation | None, wish: Wish) -> bool:
    return made is not None and (made.user_id, made.amount) == (wish.user_id, wish.amount)
