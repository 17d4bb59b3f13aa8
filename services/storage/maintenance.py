"""What people run by hand, on the same parts as the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import click

from services.storage.application.orphans import Finding, FindingKind, OrphanPolicy, OrphanReport
from services.storage.bootstrap import build, orphan_policy
from services.storage.domain.errors import StorageError
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
