"""What people run by hand, on the same parts as the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from services.runtime.clock import SystemClock
from services.runtime.db import create_engine
from services.storage.adapters.filesystem import FilesystemBlobStore
from services.storage.adapters.postgres import PostgresCopyJournal, PostgresObjectLedger, PostgresObjectRepository
from services.storage.adapters.s3 import S3BlobStore, S3Inventory
from services.storage.application.migrating import BAD, MigrateFiles, MigrationPlan, MigrationReport, Outcome, Tell
from services.storage.application.orphans import Finding, FindingKind, OrphanPolicy, OrphanReport
from services.storage.bootstrap import build, orphan_policy, s3_client
from services.storage.domain.errors import StorageError
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import Bucket, StoredObject
from services.storage.settings import StorageSettings


def sweep_orphans(
    settings: StorageSettings, *, dry_run: bool, grace: float | None, limit: int | None, mark_lost: bool | None
) -> int:
    """Run the orphan sweep once; prints each finding and a summary. The exit code. None: as the settings say."""
    policy = orphan_policy(settings)
    policy = replace(
        policy,
        grace=policy.grace if grace is None else timedelta(seconds=grace),
        limit=limit or policy.limit,
        dry_run=dry_run,
        mark_lost=policy.mark_lost if mark_lost is None else mark_lost,
    )
    unrepaired = [0]

    def note(finding: Finding) -> None:
        if finding.kind in (FindingKind.LOST, FindingKind.DAMAGED):
            unrepaired[0] += not finding.repaired
        state = "repaired" if finding.repaired else "found"
        # Somebody else's key may hold anything, even what a terminal obeys.
        click.echo(f"{state} {finding.kind} {finding.bucket}/{ascii(finding.key)[1:-1]} {finding.object_id}".rstrip())

    try:
        report = asyncio.run(_sweep(settings, policy, note))
    except StorageError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{report.blobs} objects in the store, {report.rows} rows; {sum(report.found.values())} findings, "
        f"{report.repaired} repaired, {report.failed} failed" + (", limit reached" if report.limited else "")
    )
    return 1 if report.failed or unrepaired[0] else 0


async def _sweep(settings: StorageSettings, policy: OrphanPolicy, note: Callable[[Finding], None]) -> OrphanReport:
    storage = build(settings)
    try:
        return await storage.orphans(policy, note)
    finally:
        await storage.close()


def migrate_files(
    settings: StorageSettings, folders: tuple[str, str], *, parallel: int, dry_run: bool, verify_only: bool
) -> int:
    """Copy every object from the file system to S3; prints what is wrong and a summary. The exit code.

    `folders`: region and account in the names of the source's folders; the settings have those of the buckets.
    """
    names = settings.buckets()
    try:
        sources = BucketNames(settings.environment, *folders)
    except ValueError as error:
        raise click.ClickException(f"--from-region, --from-account: {error}") from None
    target = f"{settings.s3_endpoint_url or 's3:'}/{names.of(Bucket.VIDEOS)}"
    plan = MigrationPlan(target, parallel, dry_run=dry_run, verify_only=verify_only)
    try:
        report = asyncio.run(_migrate(settings, sources, plan))
    except StorageError as error:
        raise click.ClickException(str(error)) from None
    sums = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))
    click.echo(f"{report.outcomes.total()} objects: {sums or 'nothing to do'}; {report.copied_bytes} bytes copied")
    return 0 if report.complete or (dry_run and not any(report.outcomes[each] for each in BAD)) else 1


async def _migrate(settings: StorageSettings, sources: BucketNames, plan: MigrationPlan) -> MigrationReport:
    engine = create_engine(settings.database_url, application_name="t2m-migrate-files")
    client, names, threads = s3_client(settings), settings.buckets(), settings.storage_threads
    source = FilesystemBlobStore(settings.storage_root, sources, threads)
    target = S3BlobStore(client, names, threads=max(threads, plan.parallel))
    ledger = PostgresObjectLedger(engine)
    try:
        for bucket in Bucket:
            await S3Inventory(client, names).page(bucket, "", 1)  # is it there, and may we?
        totals = await ledger.totals()
        console = Console(stderr=True)
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            move = MigrateFiles(
                PostgresObjectRepository(engine), ledger, PostgresCopyJournal(engine), source, target, SystemClock()
            )
            return await move(plan, _teller(progress, totals.total_bytes))
    finally:
        await engine.dispose()
        source.close()
        target.close()


def _teller(progress: Progress, total_bytes: int) -> Tell:
    """Moves the bar, and names what is wrong."""
    bar = progress.add_task("files", total=total_bytes)

    def tell(row: StoredObject, outcome: Outcome, why: str) -> None:
        progress.advance(bar, row.size_bytes)
        if outcome in BAD:
            click.echo(f"{outcome}: {row.object_id} {row.placement.bucket}/{row.key}: {why}")

    return tell
