"""What people run by hand, on the same parts as the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import click
from redis.asyncio import Redis
from rich.console import Console
from rich.status import Status

from services.job.adapters.older_redis import RedisOlderSystem
from services.job.adapters.postgres.imports import PostgresImports
from services.job.api.codec import event_payload
from services.job.application.importing.use_case import ImportJobs, ImportOutcome, ImportReport
from services.job.settings import JobSettings
from services.runtime.clock import SystemClock
from services.runtime.db import create_engine


def import_redis(settings: JobSettings, source: str, *, owners: Path | None, cursor: int, dry_run: bool) -> int:
    """Take over the jobs that the Redis at the URL `source` has; prints what is to be said of each key, and the sums.

    The exit code: 1 when anything was refused.
    """
    try:
        report = asyncio.run(_import(settings, source, _owner_map(owners), cursor, dry_run=dry_run))
    except ConnectionError as error:
        raise click.ClickException(str(error)) from None
    sums = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))
    click.echo(sums or "no keys jobs:*")
    return 1 if report.outcomes[ImportOutcome.REFUSED] else 0


async def _import(
    settings: JobSettings, source: str, owners: Mapping[str, str], cursor: int, *, dry_run: bool
) -> ImportReport:
    engine = create_engine(settings.database_url, application_name="t2m-import-redis")
    redis = Redis.from_url(source)
    console = Console(stderr=True)
    older, store = RedisOlderSystem(redis), PostgresImports(engine, event_payload)
    run = ImportJobs(older, store, settings.known_plans(), SystemClock(), owners)
    try:
        with Status("reading", console=console) as status:

            def at(reached: int) -> None:
                if console.is_terminal:
                    status.update(f"stored everything before cursor {reached}")
                else:
                    click.echo(f"cursor {reached}", err=True)

            return await run(_tell, at, cursor=cursor, dry_run=dry_run)
    finally:
        await redis.aclose()
        await engine.dispose()


def _tell(key: str, outcome: ImportOutcome, text: str) -> None:
    """Keys and values are somebody else's: they may hold anything, even what a terminal obeys."""
    if text:
        click.echo(f"{outcome} {ascii(key)[1:-1]}: {ascii(text)[1:-1]}")


def _owner_map(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from None
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise click.ClickException(f"{path}: is no JSON object of texts")
    return value
