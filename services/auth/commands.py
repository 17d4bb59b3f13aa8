"""What the operator's commands of `python -m services.auth` do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy.exc import SQLAlchemyError

from services.auth.adapters.jose import keyring
from services.auth.adapters.jose.keys import KeyFileError
from services.auth.bootstrap import build_operator
from services.auth.domain.errors import AuthError
from services.auth.domain.user import Role
from services.auth.settings import AuthSettings
from services.runtime.command import load_settings

T = TypeVar("T")


def create_admin(email: str, *, password_stdin: bool) -> None:
    """Make an admin; print a generated password unless one comes from standard input."""
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None

    async def create() -> str | None:
        operator, engine = build_operator(load_settings(AuthSettings))
        try:
            user, generated = await operator.create_admin(email, password)
        finally:
            await engine.dispose()
        click.echo(f"admin {user.email} created", err=True)
        return generated

    generated = _run(create)
    if generated is not None:
        click.echo(generated)


def create_key(email: str, role: str | None, name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key, and its user if there is none; print the key."""

    async def create() -> str:
        operator, engine = build_operator(load_settings(AuthSettings))
        try:
            _, text = await operator.create_key(email, Role(role) if role else None, name, scopes)
        finally:
            await engine.dispose()
        return text

    click.echo(_run(create))


def set_plan(email: str, plan: str) -> None:
    """Give a user another plan."""

    async def change() -> str:
        operator, engine = build_operator(load_settings(AuthSettings))
        try:
            user = await operator.set_plan(email, plan)
        finally:
            await engine.dispose()
        return f"{user.email} has plan {user.plan}"

    click.echo(_run(change))


def rotate_key(folder: Path, lead_s: float) -> None:
    """Lay a new signing key; print its id and when it begins to sign."""
    now, lead = datetime.now(UTC), timedelta(seconds=lead_s)
    key = _change_keys(lambda: keyring.rotate(folder, now, lead))
    click.echo(f"{key.kid} is published and signs from {now + lead:%Y-%m-%d %H:%M:%S} UTC on")


def retire_keys(folder: Path, lead_s: float) -> None:
    """Remove the keys whose last token has ended; print their ids."""
    now = datetime.now(UTC)
    for kid in _change_keys(lambda: keyring.retire(folder, now, timedelta(seconds=lead_s))):
        click.echo(kid)


def withdraw_key(folder: Path, kid: str) -> None:
    """Remove a key that somebody else may have."""
    _change_keys(lambda: keyring.withdraw(folder, kid, datetime.now(UTC)))
    click.echo(f"{kid} is withdrawn: its tokens are refused as soon as every replica sees the folder", err=True)


def _change_keys(change: Callable[[], T]) -> T:
    try:
        return change()
    except (KeyFileError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


def _run(create: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        return asyncio.run(create())
    except AuthError as exc:
        raise click.ClickException(str(exc)) from exc
    except (OSError, SQLAlchemyError) as exc:
        raise click.ClickException(f"database: {exc}") from exc
