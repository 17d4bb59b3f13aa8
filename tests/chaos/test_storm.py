"""A short storm with one fault of every kind; `python -m tests.chaos` blows for longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.arena import DISKS, Arena, mounted, unmount
from tests.chaos.clock import library
from tests.chaos.faults import kinds
from tests.chaos.history import History
from tests.chaos.invariants import broken
from tests.chaos.report import table
from tests.chaos.storm import Storm, blow

LEASE_S = 6.0
"""Shorter than by default, so that a zombie need not sleep for long."""


def test_every_kind_of_fault_is_possible_here(tmp_path: Path) -> None:
    """A machine that cannot mount a small disk, or skew a clock, would leave those faults out without a word."""
    disks = dict(mounted(tmp_path))
    unmount(disks.values())
    lacking = [*(DISKS.keys() - disks.keys()), *([] if library() else ["clock skew"])]
    if lacking:
        reason = f"no full disk or clock skew here: {', '.join(lacking)} (mount needs root, libfaketime its package)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.mark.timeout(400)
async def test_V10_J1_J3_J7_a_storm_breaks_nothing(tmp_path: Path) -> None:
    """V10, J1, J3, J7 and DESIGN §3: every kind of fault once, over six jobs; every invariant holds afterwards."""
    arena = Arena(tmp_path / "stack", lease_s=LEASE_S)
    with History(path=tmp_path / "history.jsonl") as history:
        async with arena.running():
            known = kinds(arena)
            await blow(Storm(seed=1, faults=len(known), jobs=6, at_once=3, settle_s=200), arena, history)
    assert {fault["kind"] for fault in history.of("fault")} == set(known)
    assert not broken(history), f"{tmp_path / 'history.jsonl'}\n{table(history)}"
