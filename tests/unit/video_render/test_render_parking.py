"""Work that is done while the storage is away: kept, not drawn again, stored when it is back (S4)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from services.video_render.adapters.storage.spool import DiskSpool
from services.video_render.application.engine import QUALITIES, AudioOutput, SceneOutput, SegmentOutput
from services.video_render.application.ports import DrawnScene
from services.video_render.domain.captions import Caption
from services.video_render.domain.events import Logged, Severity, StateChanged
from services.video_render.domain.outcomes import Stage, StepFailure
from services.video_render.domain.steps import LeasePolicy, StepState
from tests.unit.video_render.test_render_machine import POLICY, SCENE, START
from tests.unit.video_render.test_render_steps import Bench, InlineProcess
from tests.unit.video_render.test_render_transitions import planned_render

LONG = timedelta(seconds=60)


async def later(bench: Bench) -> None:
    """The storage is back, and the pauses of all steps are over."""
    bench.files.away = False
    bench.clock.advance(LONG.total_seconds())
    render = await bench.store.get("r1")
    for step in render.steps.values():
        if step.parked:
            assert await bench.runner.run(step.step_id, "again")
    await bench.work()


async def test_S4_what_was_drawn_waits_and_is_not_drawn_again(tmp_path: Path) -> None:
    """S4, V10: every scene is drawn once, no attempt is lost, and the render says what it waits for."""
    process = InlineProcess()
    bench = Bench(tmp_path, process)
    bench.files.away = True
    await bench.start("a 1", "b 2", "c 3")
    await bench.work()
    render = await bench.store.get("r1")
    assert (render.stage, render.waits_for) == (Stage.PUBLISHING, "storage")
    assert [scene.state for scene in render.scenes] == [StepState.QUEUED] * 3
    assert all(not scene.exhausted(POLICY) and scene.attempts == scene.handed_back for scene in render.scenes)
    assert render.progress < 98
    await later(bench)
    render = await bench.store.get("r1")
    assert render.video is not None
    assert bench.files.contents[render.video.video.object_id].count(b"segment of") == 3
    assert process.drawn == 3
    assert (render.waits_for, render.progress) == ("", 100.0)
    assert list((tmp_path / "spool").iterdir()) == []


async def test_S4_the_finished_video_waits_too(bench: Bench) -> None:
    """S4: assembled, and put off in the stage `publishing`."""
    await bench.start("a 1")
    for _ in range(2):  # the plan and the scene
        for delivery in bench.store.take_pending():
            await bench.runner.run(delivery.step_id, delivery.task_id)
    bench.files.away = True
    await bench.work()
    render = await bench.store.get("r1")
    assert (render.stage, render.waits_for) == (Stage.PUBLISHING, "storage")
    await later(bench)
    assert (await bench.store.get("r1")).video is not None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A worker whose scenes are drawn at once."""
    return Bench(tmp_path)


async def test_S4_a_worker_whose_spool_is_full_takes_nothing_else_up(tmp_path: Path) -> None:
    """S4: it holds on to the scene, under its lease, until that is stored."""
    process = InlineProcess()
    bench = Bench(tmp_path, process, spool_max_bytes=0)
    await bench.start("a 1")
    [plan] = bench.store.take_pending()
    await bench.runner.run(plan.step_id, plan.task_id)
    bench.files.away = True
    [scene] = bench.store.take_pending()
    working = asyncio.ensure_future(bench.runner.run(scene.step_id, scene.task_id))
    async with asyncio.timeout(10):
        while bench.files.refused < 10:  # noqa: ASYNC110  # it has come back again and again, and nobody tells
            await asyncio.sleep(0)
    step = (await bench.store.get("r1")).steps[scene.step_id]
    assert (step.state, step.fence, working.done()) == (StepState.RUNNING, 1, False)
    bench.files.away = False
    async with asyncio.timeout(10):
        await working
    await bench.work()
    assert (await bench.store.get("r1")).video is not None
    assert process.drawn == 1


def test_S4_pauses_double_up_to_the_longest() -> None:
    """S4: 1, 2, 4, 8, then 15 seconds, without end."""
    policy = LeasePolicy()
    assert [policy.park(times).total_seconds() for times in (1, 2, 3, 4, 5, 6, 1000)] == [1, 2, 4, 8, 15, 15, 15]


def test_S4_others_go_on_and_what_is_waited_for_is_said_once() -> None:
    """S4: the stage stays while anything else is drawn; the log has one line, however often it is tried."""
    render, (first, second) = planned_render(False, False)
    render.park(first.step_id, first.fence, "away", START, POLICY)
    assert (render.stage, render.waits_for) == (Stage.RENDERING, "storage")
    for number in range(3):
        again = render.claim(first.step_id, f"again{number}", START + LONG * (number + 1), POLICY)
        assert again is not None
        render.park(again.step_id, again.fence, "away", START + LONG * (number + 1), POLICY)
    render.scene_rendered(second.step_id, second.fence, SCENE, START)
    last = render.claim(first.step_id, "last", START + LONG * 9, POLICY)
    assert last is not None
    render.scene_rendered(last.step_id, last.fence, SCENE, START)
    said = [
        event.message for event in render.events if isinstance(event, Logged) and event.severity is Severity.WARNING
    ]
    assert said == ["scene 0 waits for the storage: away"]
    changes = [event.waits_for for event in render.events if isinstance(event, StateChanged)]
    assert changes == ["storage", ""]


def test_S4_a_parked_step_that_then_fails_counts_from_there() -> None:
    """S4, J6: it waits for the storage no more, and has all its attempts."""
    render, (scene,) = planned_render(False)
    render.park(scene.step_id, scene.fence, "away", START, POLICY)
    again = render.claim(scene.step_id, "again", START + LONG, POLICY)
    assert again is not None
    render.step_failed(scene.step_id, again.fence, StepFailure("X", "x", retryable=True), START + LONG, POLICY)
    assert (render.waits_for, again.attempts - again.handed_back) == ("", 1)


def test_V3_stored_bytes_are_progress() -> None:
    """V3, S4: from 98 to almost 100, only while the video is published, never back."""
    render, (scene,) = planned_render(False)
    render.scene_rendered(scene.step_id, scene.fence, SCENE, START)
    assembly = render.claim("r1.assemble", "t", START, POLICY)
    assert assembly is not None
    render.publishing(assembly.step_id, assembly.fence, START)
    reached = []
    for share in (0.0, 0.5, 0.25, 1.0):
        render.stored_bytes(assembly.step_id, assembly.fence, share)
        reached.append(render.progress)
    assert reached == [98.0, pytest.approx(98.95), pytest.approx(98.95), 99.9]


# The spool on disk


def drawn(folder: Path, text: str = "x") -> DrawnScene:
    """A scene of two files and sound."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("video.mp4", "poster.png", "audio.mp4"):
        (folder / name).write_text(f"{name} {text}")
    segment = SegmentOutput(QUALITIES["low"], folder / "video.mp4", "avc1", 30, 100, (5, 6), 15)
    output = SceneOutput((segment,), 30, 2.0, folder / "poster.png", ("a warning",))
    audio = AudioOutput(folder / "audio.mp4", "mp4a", 90, 46.875, 10, (1, 2), 50)
    return DrawnScene(output, audio, (Caption(0.0, 1.5, "Grüße"),), "no voice")


async def test_S4_a_spooled_scene_comes_back_as_it_was(tmp_path: Path) -> None:
    """S4: in another folder, and for another process; until it is dropped."""
    assert await DiskSpool(tmp_path, 10**6).put("r1.scene.0", drawn(tmp_path / "one"))
    spool, target = DiskSpool(tmp_path, 10**6), tmp_path / "two"
    target.mkdir()
    found = await spool.take("r1.scene.0", target)
    assert found == drawn(tmp_path / "two")
    assert await spool.take("r1.scene.1", tmp_path) is None
    await spool.drop("r1.scene.0")
    assert await spool.take("r1.scene.0", tmp_path) is None
    assert (target / "video.mp4").exists()


@pytest.mark.parametrize("damage", ["changed", "gone", "manifest"])
async def test_S4_a_damaged_scene_is_drawn_again(tmp_path: Path, damage: str) -> None:
    """S4: as after a crash of the machine; nothing of it is left in the way."""
    spool = DiskSpool(tmp_path, 10**6)
    await spool.put("r1.scene.0", drawn(tmp_path / "one"))
    kept = tmp_path / "spool" / "r1.scene.0"
    match damage:
        case "changed":
            (kept / "video.mp4").unlink()
            (kept / "video.mp4").write_text("other bytes")
        case "gone":
            (kept / "video.mp4").unlink()
        case "manifest":
            (kept / "scene.json").write_text("{")
    folder = tmp_path / "two"
    folder.mkdir()
    assert await spool.take("r1.scene.0", folder) is None
    assert not kept.exists()


async def test_S4_the_spool_has_a_limit(tmp_path: Path) -> None:
    """S4: what does not fit is refused; what is in it already stays."""
    spool = DiskSpool(tmp_path, 1000)
    scene = drawn(tmp_path / "one", "x" * 50)
    assert await spool.put("a", scene)
    assert await spool.put("a", scene)
    assert not await spool.put("b", drawn(tmp_path / "two", "x" * 400))
    folder = tmp_path / "three"
    folder.mkdir()
    assert await spool.take("a", folder) is not None
