"""Cancel at every moment of a render's life: the row wins, and nothing is published after it (J3)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from services.video_render.application.assemble_step import AssembleStep
from services.video_render.application.engine import Chapter, Sound
from services.video_render.application.plan_step import PlanStep
from services.video_render.application.ports import FileKind, FileSpec, OnBytes
from services.video_render.domain.events import RenderState
from services.video_render.domain.outcomes import Stage, StoredFile
from services.video_render.domain.steps import StepKind, StepState
from services.video_render.domain.storyboard import Storyboard
from tests.fakes.video_render import ScriptedMedia, ScriptedPlanner
from tests.unit.video_render.test_render_steps import Bench, Folders, MemoryFiles, NoSegments

_PATIENCE_S = 10


class Gate:
    """A place in the middle of a step, in a thread or not, where it waits until the test lets it go on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached = asyncio.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        """Let it go on."""
        self._opened.set()

    def block(self) -> None:
        """From a thread."""
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self._opened.wait(_PATIENCE_S)

    async def wait(self) -> None:
        """From a coroutine."""
        await asyncio.to_thread(self.block)


class GatedPlanner(ScriptedPlanner):
    """Thinks for long."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def plan(self, topic: str, context: str) -> Storyboard:
        """After the gate."""
        self._gate.block()
        return super().plan(topic, context)


class GatedMedia(ScriptedMedia):
    """Joins for long."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def assemble(
        self, segments: Sequence[Path], out: Path, chapters: Sequence[Chapter], sounds: Sequence[Sound] = ()
    ) -> None:
        """After the gate."""
        self._gate.block()
        super().assemble(segments, out, chapters, sounds)


class GatedFiles(MemoryFiles):
    """Stores a video for long."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    async def save(self, source: Path, spec: FileSpec, on_bytes: OnBytes | None = None) -> StoredFile:
        """After the gate, where it is the video."""
        if spec.kind is FileKind.VIDEO:
            await self._gate.wait()
        return await super().save(source, spec, on_bytes)


def gated(folder: Path, stage: Stage, gate: Gate) -> Bench:
    """A worker that stops in the middle of a stage."""
    bench = Bench(folder)
    if stage is Stage.PUBLISHING:
        bench.files = GatedFiles(gate)
    works = dict(bench.runner.works)
    media = GatedMedia(gate) if stage is Stage.ASSEMBLING else ScriptedMedia()
    works[StepKind.ASSEMBLE] = AssembleStep(bench.store, bench.files, NoSegments(), media, Folders(folder))
    if stage is Stage.PLANNING:
        works[StepKind.PLAN] = PlanStep(bench.store, {"script": GatedPlanner(gate)}, "v1")
    elif stage is Stage.PUBLISHING:
        works[StepKind.SCENE] = replace(works[StepKind.SCENE], files=bench.files)  # type: ignore[type-var]
    bench.runner = replace(bench.runner, works=works)
    return bench


@pytest.mark.parametrize("stage", [Stage.PLANNING, Stage.ASSEMBLING, Stage.PUBLISHING])
async def test_J3_a_cancel_wins_over_the_step_that_runs(tmp_path: Path, stage: Stage) -> None:
    """J3: while it is planned, joined or stored; what the step comes up with later changes nothing."""
    gate = Gate()
    bench = gated(tmp_path, stage, gate)
    await bench.start("a 1")
    working = asyncio.ensure_future(bench.work())
    await asyncio.wait_for(gate.reached.wait(), _PATIENCE_S)
    assert (await bench.store.get("r1")).stage is stage
    cancelled = await bench.renders.cancel("r1")
    gate.open()
    await asyncio.wait_for(working, _PATIENCE_S)
    render = await bench.store.get("r1")
    assert render == cancelled
    assert (render.state, render.video, render.error) == (RenderState.CANCELLED, None, None)
    assert all(step.ended and step.lease_until is None for step in render.steps.values())
    assert bench.store.take_pending() == []
    assert len(bench.queue.revoked) == 1


async def test_J3_a_cancel_during_a_retry_stops_it(bench_of_flaky: Bench) -> None:
    """J3: the scene has failed once and is queued again; the delivery finds nothing to do."""
    bench = bench_of_flaky
    again = bench.store.take_pending()
    assert [delivery.step_id for delivery in again] == ["r1.scene.0"]
    cancelled = await bench.renders.cancel("r1")
    assert cancelled.scenes[0].state is StepState.CANCELLED
    assert bench.queue.revoked == [], "nothing runs that could be killed"
    assert not await bench.runner.run(again[0].step_id, again[0].task_id)
    assert await bench.store.get("r1") == cancelled


@pytest.fixture
async def bench_of_flaky(tmp_path: Path) -> Bench:
    """A render whose scene has failed once."""
    bench = Bench(tmp_path)
    await bench.start("flaky ENCODE_FAILED")
    for _ in ("plan", "scene"):
        [delivery] = bench.store.take_pending()
        assert await bench.runner.run(delivery.step_id, delivery.task_id)
    assert (await bench.store.get("r1")).scenes[0].attempts == 1
    return bench


@pytest.mark.parametrize("script", ["a 1", "fail CODE"])
async def test_J3_a_cancel_after_the_end_changes_nothing(tmp_path: Path, script: str) -> None:
    """J3: whatever the end was; nothing is revoked, no event is told."""
    bench = Bench(tmp_path)
    await bench.start(script)
    await bench.work()
    ended = await bench.store.get("r1")
    assert ended.state.terminal
    assert await bench.renders.cancel("r1") == ended
    assert bench.queue.revoked == []


async def test_J3_a_second_cancel_changes_nothing(tmp_path: Path) -> None:
    """J3: also before anything has begun, and both at once."""
    bench = Bench(tmp_path)
    await bench.start("a 1")
    first, second = await asyncio.gather(bench.renders.cancel("r1"), bench.renders.cancel("r1"))
    assert first == second == await bench.renders.cancel("r1")
    assert first.state is RenderState.CANCELLED
    assert await bench.work() == 1, "the delivery of the plan finds nothing to do"
    assert await bench.store.get("r1") == first
