"""What the operator's commands about money do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
from sqlalchemy.exc import SQLAlchemyError

from services.auth.bootstrap.billing import BillingPart, build_billing
from services.auth.domain.errors import AuthError
from services.auth.settings import AuthSettings
from services.runtime.clock import SystemClock
from services.runtime.command import load_settings
from services.runtime.db import create_engine
from services.runtime.ids import new_id

T = TypeVar("T")


class _Ids:
    def new_id(self) -> str:
        return new_id()


def check_ledger() -> None:
    """Print what in the books does not fit, and fail if there is anything."""
    faults = _run(lambda billing: billing.usage.check())
    for fault in faults:
        click.echo(fault)
    if faults:
        raise click.ClickException(f"{len(faults)} faults")
    click.echo("the books are in order", err=True)


def list_charges() -> None:
    """Print the charges that wait for a payment: id, state, amount in minor units, plan, user, since when."""
    for charge in _run(lambda billing: billing.subscriptions.outstanding()):
        amount = f"{charge.amount} {charge.currency}"
        columns = (charge.charge_id, charge.state, amount, charge.plan, charge.user_id, charge.created_at.isoformat())
        click.echo("  ".join(columns))


def mark_paid(charge_id: str, reference: str) -> None:
    """Note that an invoice was paid."""
    charge = _run(lambda billing: billing.payments.mark_paid(charge_id, reference))
    click.echo(f"{charge.charge_id} is {charge.state}", err=True)


def _run(ask: Callable[[BillingPart], Awaitable[T]]) -> T:
    async def run() -> T:
        settings = load_settings(AuthSettings)
        engine = create_engine(settings.database_url, application_name="t2m-auth-operator", pool_size=1)
        billing = build_billing(settings, engine, SystemClock(), _Ids())
        try:
            return await ask(billing)
        finally:
            await billing.close()
            await engine.dispose()

    try:
        return asyncio.run(run())
    except AuthError as exc:
        raise click.ClickException(str(exc)) from exc
    except (OSError, SQLAlchemyError) as exc:
        raise click.ClickException(f"database: {exc}") from exc
