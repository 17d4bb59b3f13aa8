"""Billing in Postgres: subscriptions and charges, changed with the account that they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, and_, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.auth.adapters.postgres.billing_tables import CHARGES, CUSTOMERS, EVENTS, REQUESTS, SUBSCRIPTIONS
from services.auth.adapters.postgres.credit_tables import CREDIT_ACCOUNTS, CREDIT_ENTRIES
from services.auth.adapters.postgres.credits import lock_account, save_account
from services.auth.adapters.postgres.tables import USERS
from services.auth.adapters.postgres.users import as_uuid
from services.auth.application.billing_ports import Current
from services.auth.domain.billing import Billing, BillingRules
from services.auth.domain.billing_errors import BillingRequestConflict
from services.auth.domain.charges import TO_DO, WANTED, Charge, ChargeState, Purpose
from services.auth.domain.credits import Book
from services.auth.domain.plans import Period, Plans
from services.auth.domain.subscription import Subscription, SubscriptionState

_UNFINISHED = TO_DO | WANTED
_CHARGE, _SUBSCRIPTION = CHARGES.c, SUBSCRIPTIONS.c


class PostgresBilling:
    """The `BillingStore` over Postgres."""

    def __init__(self, engine: AsyncEngine, plans: Plans, rules: BillingRules, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._terms: tuple[Plans, BillingRules, Callable[[], str]] = (plans, rules, new_id)

    @asynccontextmanager
    async def change(
        self,
        user_id: str,
        now: datetime,
        *,
        request: tuple[str, str] = ("", ""),
        charge_id: str = "",
        event_id: str = "",
        wait: bool = True,
    ) -> AsyncIterator[Billing | None]:
        """Everything under the lock of the account's row."""
        async with self._engine.begin() as connection:
            if not wait and not await _lock_free(connection, user_id):
                yield None
                return
            account = await lock_account(connection, user_id, now)
            if account is None:
                yield None
                return
            billing = Billing(account, *self._terms)
            billing.subscription = await _live(connection, account.user_id)
            billing.charges = await _unfinished(connection, account.user_id, charge_id)
            billing.used = await _used(connection, billing.subscription)
            repeated = (
                await _repeated(connection, account.user_id, now, request),
                await _known(connection, event_id, now),
            )
            billing.repeated = any(repeated)
            plan = account.plan
            yield billing
            await _save(connection, billing)
            if account.plan != plan:
                mine = USERS.c.user_id == as_uuid(account.user_id)
                await connection.execute(update(USERS).where(mine).values(plan=account.plan, updated_at=now))

    async def due(self, now: datetime, limit: int) -> list[str]:
        """Users whose subscription has something to happen, longest due first."""
        query = (
            select(_SUBSCRIPTION.user_id).where(_SUBSCRIPTION.due_at <= now).order_by(_SUBSCRIPTION.due_at).limit(limit)
        )
        async with self._engine.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def claim(self, now: datetime, until: datetime, charge_id: str = "") -> Charge | None:
        """A charge about which the provider is to be asked, and nobody else's until then."""
        free = or_(_CHARGE.claimed_until.is_(None), _CHARGE.claimed_until <= now)
        wanted = (
            select(_CHARGE.charge_id)
            .where(_CHARGE.state.in_(TO_DO), _CHARGE.next_attempt_at <= now, free)
            .where(*([_CHARGE.charge_id == charge_id] if charge_id else []))
            .order_by(_CHARGE.next_attempt_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(CHARGES)
            .where(_CHARGE.charge_id == wanted.scalar_subquery())
            .values(claimed_until=until)
            .returning(CHARGES)
        )
        async with self._engine.begin() as connection:
            return _charge((await connection.execute(statement)).first())

    async def postpone(self, charge_id: str, until: datetime) -> None:
        """Ask again then."""
        statement = update(CHARGES).where(_CHARGE.charge_id == charge_id).values(claimed_until=until)
        async with self._engine.begin() as connection:
            await connection.execute(statement)

    async def charge(self, charge_id: str) -> Charge | None:
        """The charge."""
        if as_uuid(charge_id) is None:
            return None
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(CHARGES).where(_CHARGE.charge_id == charge_id))).first()
        return _charge(row)

    async def customer(self, user_id: str, provider: str) -> str | None:
        """Under which name the provider knows the user."""
        mine = and_(CUSTOMERS.c.user_id == user_id, CUSTOMERS.c.provider == provider)
        async with self._engine.connect() as connection:
            found: str | None = (await connection.execute(select(CUSTOMERS.c.customer_id).where(mine))).scalar()
        return found

    async def keep_customer(self, user_id: str, provider: str, customer_id: str) -> str:
        """Remember the name; the one that is kept."""
        values = {"user_id": user_id, "provider": provider, "customer_id": customer_id}
        async with self._engine.begin() as connection:
            await connection.execute(pg_insert(CUSTOMERS).values(values).on_conflict_do_nothing())
        return await self.customer(user_id, provider) or customer_id

    async def current(self, user_id: str) -> Current | None:
        """What applies to the user."""
        owner = as_uuid(user_id)
        newest = select(CHARGES).order_by(_CHARGE.created_at.desc(), _CHARGE.charge_id.desc()).limit(1)
        async with self._engine.connect() as connection:
            plan = (await connection.execute(select(USERS.c.plan).where(USERS.c.user_id == owner))).scalar()
            if plan is None:
                return None
            live, charge = await _live(connection, str(owner)), None
            if live is not None:
                of_it = newest.where(_CHARGE.subscription_id == live.subscription_id)
                charge = _charge((await connection.execute(of_it)).first())
        return Current(plan, live, charge)

    async def subscriptions_of(self, user_id: str) -> list[Subscription]:
        """All that the user ever had, newest first."""
        query = select(SUBSCRIPTIONS).where(_SUBSCRIPTION.user_id == user_id).order_by(_SUBSCRIPTION.created_at.desc())
        async with self._engine.connect() as connection:
            return [_subscription(row) for row in await connection.execute(query)]

    async def charges_of(self, user_id: str, before: str, limit: int) -> list[Charge]:
        """The user's charges, newest first."""
        position = tuple_(_CHARGE.created_at, _CHARGE.charge_id)
        query = select(CHARGES).where(_CHARGE.user_id == user_id)
        if before:
            mark = select(_CHARGE.created_at, _CHARGE.charge_id).where(
                _CHARGE.charge_id == before, _CHARGE.user_id == user_id
            )
            query = query.where(position < mark.scalar_subquery())
        query = query.order_by(_CHARGE.created_at.desc(), _CHARGE.charge_id.desc()).limit(limit)
        return await self._charges(query)

    async def charges_in(self, states: Sequence[ChargeState], limit: int) -> list[Charge]:
        """Charges of all users in these states, oldest first."""
        query = select(CHARGES).where(_CHARGE.state.in_(states)).order_by(_CHARGE.created_at, _CHARGE.charge_id)
        return await self._charges(query.limit(limit))

    async def purge(self, before: datetime) -> None:
        """Forget requests and events that came before this moment."""
        async with self._engine.begin() as connection:
            for table in (REQUESTS, EVENTS):
                await connection.execute(delete(table).where(table.c.created_at < before))

    async def _charges(self, query: Any) -> list[Charge]:
        async with self._engine.connect() as connection:
            found = [_charge(row) for row in await connection.execute(query)]
        return [charge for charge in found if charge is not None]


async def _lock_free(connection: AsyncConnection, user_id: str) -> bool:
    """Take the account's lock, unless somebody has it."""
    mine = select(CREDIT_ACCOUNTS.c.user_id).where(CREDIT_ACCOUNTS.c.user_id == as_uuid(user_id))
    return (await connection.execute(mine.with_for_update(skip_locked=True))).first() is not None


async def _live(connection: AsyncConnection, user_id: str) -> Subscription | None:
    query = select(SUBSCRIPTIONS).where(_SUBSCRIPTION.user_id == user_id, _SUBSCRIPTION.ended_at.is_(None))
    row = (await connection.execute(query)).first()
    return None if row is None else _subscription(row)


async def _unfinished(connection: AsyncConnection, user_id: str, charge_id: str) -> list[Charge]:
    """The user's charges that are not finished, and the one with this id."""
    chosen = or_(_CHARGE.state.in_(_UNFINISHED), *([_CHARGE.charge_id == charge_id] if charge_id else []))
    # Locked, because a claim takes no lock of the account.
    query = select(CHARGES).where(_CHARGE.user_id == user_id, chosen).with_for_update()
    return [charge for row in await connection.execute(query) if (charge := _charge(row)) is not None]


async def _used(connection: AsyncConnection, live: Subscription | None) -> int:
    """Credits that jobs took, less those that they gave back, since the period's were granted."""
    if live is None or live.credits_since is None:
        return 0
    entry = CREDIT_ENTRIES.c
    query = select(func.coalesce(-func.sum(entry.amount), 0)).where(
        entry.user_id == as_uuid(live.user_id),
        entry.book == Book.AVAILABLE.value,
        entry.job_id != "",
        entry.created_at >= live.credits_since,
    )
    return int((await connection.execute(query)).scalar_one())


async def _repeated(connection: AsyncConnection, user_id: str, now: datetime, request: tuple[str, str]) -> bool:
    request_id, fingerprint = request
    if not request_id:
        return False
    known = select(REQUESTS.c.fingerprint).where(REQUESTS.c.user_id == user_id, REQUESTS.c.request_id == request_id)
    found = (await connection.execute(known)).scalar()
    if found is None:
        values = {"user_id": user_id, "request_id": request_id, "fingerprint": fingerprint, "created_at": now}
        await connection.execute(insert(REQUESTS).values(values))
    elif found != fingerprint:
        raise BillingRequestConflict
    return found is not None


async def _known(connection: AsyncConnection, event_id: str, now: datetime) -> bool:
    """Whether the event was taken before; one that is being taken elsewhere is waited for."""
    if not event_id:
        return False
    statement = pg_insert(EVENTS).values(event_id=event_id, created_at=now).on_conflict_do_nothing()
    return (await connection.execute(statement.returning(EVENTS.c.event_id))).first() is None


async def _save(connection: AsyncConnection, billing: Billing) -> None:
    await save_account(connection, billing.account)
    # Those that ended first: a user has one live subscription, and a subscription one wanted charge, at any moment.
    for subscription in (*billing.ended, *([billing.subscription] if billing.subscription else [])):
        await _upsert(connection, SUBSCRIPTIONS, asdict(subscription))
    for charge in sorted(billing.charges, key=lambda each: each.state in WANTED):
        await _upsert(connection, CHARGES, asdict(charge))


async def _upsert(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> None:
    statement = pg_insert(table).values(values)
    [key] = table.primary_key.columns
    changed = {name: statement.excluded[name] for name in values if name != key.name}
    await connection.execute(statement.on_conflict_do_update(index_elements=[key.name], set_=changed))


def _subscription(row: Row[Any]) -> Subscription:
    values = dict(row._mapping)  # noqa: SLF001 - its documented name
    return Subscription(**values | {"state": SubscriptionState(values["state"]), "period": Period(values["period"])})


def _charge(row: Row[Any] | None) -> Charge | None:
    if row is None:
        return None
    values = dict(row._mapping)  # noqa: SLF001 - its documented name
    return Charge(**values | {"state": ChargeState(values["state"]), "purpose": Purpose(values["purpose"])})
