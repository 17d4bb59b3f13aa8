"""The commands of `python -m services.auth`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from services.auth.adapters.jose.keys import KeyFileError
from services.auth.bootstrap import build_operator, build_server, migrate
from services.auth.domain.errors import AuthError
from services.auth.domain.user import Role
from services.auth.settings import AuthSettings
from services.runtime import telemetry
from services.runtime.settings import ServiceSettings

T = TypeVar("T")


def _settings() -> AuthSettings:
    try:
        return AuthSettings()  # type: ignore[call-arg]  # the environment fills it
    except ValidationError as exc:
        wrong = "; ".join(f"T2M_{str(error['loc'][0]).upper()}: {error['msg']}" for error in exc.errors())
        raise click.ClickException(f"settings: {wrong}") from None


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Serve auth, or run one of the commands. Settings come from the environment (T2M_...)."""
    if context.invoked_subcommand is None:
        settings = _settings()
        telemetry.configure_logging("auth", level=settings.log_level, log_format=settings.log_format)

        async def serve() -> None:
            await build_server(settings).run()

        try:
            telemetry.run(serve())
        except KeyFileError as exc:
            raise click.ClickException(str(exc)) from exc


@main.command("migrate")
def migrate_command() -> None:
    """Bring the database up to date."""
    url = ServiceSettings().database_url  # a migration job holds no other secret
    if not url:
        raise click.ClickException("settings: T2M_DATABASE_URL: is not set")
    telemetry.run(migrate(url))


@main.command("create-admin")
@click.option("--email", required=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, first line.")
def create_admin(email: str, password_stdin: bool) -> None:
    """Make an admin. Prints a generated password once, unless one is given."""
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None

    async def create() -> str | None:
        operator, engine = build_operator(_settings())
        try:
            user, generated = await operator.create_admin(email, password)
        finally:
            await engine.dispose()
        click.echo(f"admin {user.email} created", err=True)
        return generated

    generated = _run(create)
    if generated is not None:
        click.echo(generated)


@main.command("create-key")
@click.option("--email", required=True)
@click.option("--role", type=click.Choice([role.value for role in Role]), help="Of a user that is made.")
@click.option("--name", default="made by the operator", show_default=True)
@click.option("--scope", "scopes", multiple=True, help="resource:verb; none for everything its owner may.")
def create_key(email: str, role: str | None, name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key; its user too, if there is none. Prints the key once, alone on standard output."""

    async def create() -> str:
        operator, engine = build_operator(_settings())
        try:
            _, text = await operator.create_key(email, Role(role) if role else None, name, scopes)
        finally:
            await engine.dispose()
        return text

    click.echo(_run(create))


def _run(create: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        return asyncio.run(create())
    except AuthError as exc:
        raise click.ClickException(str(exc)) from exc
    except (OSError, SQLAlchemyError) as exc:
        raise click.ClickException(f"database: {exc}") from exc
