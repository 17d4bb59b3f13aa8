"""What a worker does with a delivery, and what the service does with a request: use cases over the fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from services.video_render.adapters.storage.spool import DiskSpool
from services.video_render.application.assemble_step import AssembleStep, best_scene, chapters_of
from services.video_render.application.engine import Ladder, MediaFailed, OnFrames, SceneFailed, SceneOutput
from services.video_render.application.lease import LeaseKeeper, TimeLimitExceeded
from services.video_render.application.plan_step import PlanStep
from services.video_render.application.ports import (
    Delivery,
    FileLost,
    FileSpec,
    FileUnavailable,
    OnBytes,
    RenderStore,
    SceneCrashed,
    SceneProcess,
    StoreUnavailable,
)
from services.video_render.application.renders import Renders
from services.video_render.application.scene_step import SceneStep
from services.video_render.application.steps import StepRunner, StepWork, failure_of
from services.video_render.application.sweeper import Sweeper, SweepPolicy
from services.video_render.application.voice import Voice
from services.video_render.domain.errors import ConfigurationInvalid, PositionAhead, RenderIdTaken
from services.video_render.domain.events import RenderState
from services.video_render.domain.outcomes import StoredFile
from services.video_render.domain.request import Priority, RenderRequest
from services.video_render.domain.steps import LeasePolicy, StepKind, StepState
from services.video_render.domain.storyboard import Storyboard
from services.video_render.domain.violations import StoryboardInvalid
from tests.fakes.live_streams import FakeStreams
from tests.fakes.video_render import (
    FakeLiveness,
    ManualClock,
    MemoryRenderStore,
    ScriptedMedia,
    ScriptedPlanner,
    ScriptedRenderer,
)

POLICY = LeasePolicy(timedelta(seconds=15), 2)


class MemoryQueue:
    """Remembers what it was told; `waiting` is what it answers."""

    def __init__(self) -> None:
        self.revoked: list[str] = []
        self.waiting: int | None = 0

    async def publish(self, delivery: Delivery) -> None:
        """Not used here: tests run deliveries themselves."""

    async def revoke(self, task_ids: Sequence[str]) -> None:
        """Remember."""
        self.revoked += task_ids

    async def depth(self, queue: Priority) -> int | None:
        """As told."""
        return self.waiting


class MemoryFiles:
    """Files by id."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.away = False
        self.refused = 0
        """Files that were not taken while it was away."""
        self.owned: dict[tuple[str, str], bytes] = {}

    async def save(self, source: Path, spec: FileSpec, on_bytes: OnBytes | None = None) -> StoredFile:
        """Keep the bytes."""
        if self.away:
            self.refused += 1
            raise FileUnavailable("away")
        object_id = f"o{len(self.contents)}"
        self.contents[object_id] = source.read_bytes()  # noqa: ASYNC240  # a few bytes
        self.requests.append(spec.request_id)
        if on_bytes is not None:
            on_bytes(len(self.contents[object_id]))
        return StoredFile(object_id, object_id, len(self.contents[object_id]), spec.content_type)

    async def fetch(self, object_id: str, owner_id: str, target: Path) -> None:
        """Those of `owned`."""
        if self.away:
            raise FileUnavailable("away")
        if (owner_id, object_id) not in self.owned:
            raise FileLost(object_id)
        target.write_bytes(self.owned[owner_id, object_id])  # noqa: ASYNC240  # a few bytes

    async def load(self, file: StoredFile, target: Path) -> None:
        """Write them out."""
        if file.object_id not in self.contents:
            raise FileLost(file.object_id)
        target.write_bytes(self.contents[file.object_id])  # noqa: ASYNC240  # a few bytes


class NoSegments:
    """A machine that keeps nothing."""

    async def keep(self, source: Path, sha256: str) -> None:
        """Nothing."""

    async def fetch(self, sha256: str, target: Path) -> bool:
        """Never here."""
        return False


class Folders:
    """Folders under a temporary one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @asynccontextmanager
    async def folder(self, step_id: str, fence: int) -> AsyncIterator[Path]:
        """One that is new."""
        path = self._root / f"{step_id}.{fence}"
        path.mkdir()
        yield path


class InlineProcess:
    """Draws in this process, and counts."""

    def __init__(self) -> None:
        self.drawn = 0

    async def render(
        self, storyboard: Storyboard, index: int, ladder: Ladder, out_dir: Path, on_frames: OnFrames
    ) -> SceneOutput:
        """At once."""
        self.drawn += 1
        return ScriptedRenderer().render(storyboard, index, ladder, out_dir, on_frames)


class EndlessProcess:
    """Draws for ever; says when it was stopped."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()

    async def render(
        self, storyboard: Storyboard, index: int, ladder: Ladder, out_dir: Path, on_frames: OnFrames
    ) -> SceneOutput:
        """Until cancelled."""
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()
        raise AssertionError


class Signal:
    """A `Shutdown` that a test begins."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def wait(self) -> None:
        """Until begun."""
        await self.begun.wait()


class Bench:
    """A worker over fakes."""

    def __init__(
        self,
        folder: Path,
        process: SceneProcess | None = None,
        *,
        limit_s: float = 60,
        voice: Voice | None = None,
        spool_max_bytes: int = 10**9,
    ) -> None:
        self.clock = ManualClock()
        self.store = MemoryRenderStore(self.clock.now)
        self.queue = MemoryQueue()
        self.liveness = FakeLiveness()
        self.files = MemoryFiles()
        self.shutdown = Signal()
        self.renders = Renders(self.store, self.queue, FakeStreams())
        workspace, segments = Folders(folder), NoSegments()
        keeper = LeaseKeeper(self.store, self.shutdown, POLICY.lease, 0.01, limit_s)
        works: dict[StepKind, StepWork] = {
            StepKind.PLAN: PlanStep(self.store, {"script": ScriptedPlanner()}, "v1"),
            StepKind.SCENE: SceneStep(
                self.store,
                self.files,
                segments,
                process or InlineProcess(),
                ScriptedMedia(),
                voice,
                workspace,
                DiskSpool(folder, spool_max_bytes),
                0.01,
                0.01,
            ),
            StepKind.ASSEMBLE: AssembleStep(self.store, self.files, segments, ScriptedMedia(), workspace),
        }
        self.runner = StepRunner(self.store, self.queue, POLICY, keeper, self.liveness, works)

    async def start(self, *lines: str, render_id: str = "r1", **fields: object) -> None:
        """A render with a scene per line."""
        context = "\n".join(lines)
        request = RenderRequest(render_id, "u1", "j1", "A topic", context, **fields)  # type: ignore[arg-type]
        await self.renders.start(request)

    async def work(self) -> int:
        """Run deliveries until none is left; how many there were."""
        count = 0
        while pending := self.store.take_pending():
            for delivery in pending:
                await self.runner.run(delivery.step_id, delivery.task_id)
                count += 1
        return count


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A worker whose scenes are drawn at once."""
    return Bench(tmp_path)


async def test_V10_a_render_runs_from_order_to_video(bench: Bench) -> None:
    """V10, V12: plan, scenes, assembly; files named by render, step, fence and kind."""
    await bench.start("a 1", "b 2")
    assert await bench.work() == 4
    render = await bench.store.get("r1")
    assert render.state is RenderState.SUCCEEDED
    assert render.video
    assert bench.files.contents[render.video.video.object_id] == b"segment of a 1\nsegment of b 2\n"
    assert "r1:scene.0:1:segment-720p" in bench.files.requests
    assert {"r1:assemble:1:video-720p", "r1:assemble:1:poster", "r1:assemble:1:storyboard"} <= set(bench.files.requests)
    assert [(chapter.title, chapter.start_s) for chapter in render.video.chapters] == [("Scene 0", 0), ("Scene 1", 1)]


async def test_V10_a_known_scene_is_not_drawn_again(bench: Bench) -> None:
    """V10: the second render has one new scene, and draws one."""
    await bench.start("a 1", "b 2")
    await bench.work()
    await bench.start("a 1", "c 3", render_id="r2")
    assert await bench.work() == 3, "plan, one scene, assembly"
    await bench.start("a 1", render_id="r3", configuration={"theme": "light"})
    assert await bench.work() == 3, "another look is another scene"


async def test_V10_a_scene_that_another_render_finished_meanwhile_is_taken_over(bench: Bench) -> None:
    """V10: two renders of the same scene, planned before either was drawn."""
    await bench.start("a 1")
    await bench.start("a 1", render_id="r2")
    await bench.work()
    assert [name for name in bench.files.requests if "segment" in name] == ["r1:scene.0:1:segment-720p"]
    assert (await bench.store.get("r2")).state is RenderState.SUCCEEDED


async def test_V10_a_flaky_scene_is_tried_again_then_given_up(bench: Bench) -> None:
    """J6: as often as the policy says."""
    await bench.start("flaky ENCODE_FAILED")
    await bench.work()
    render = await bench.store.get("r1")
    assert render.error
    assert (render.error.code, render.error.retryable, render.scenes[0].attempts) == ("ENCODE_FAILED", True, 2)


async def test_a_lost_segment_sends_its_scene_back(bench: Bench) -> None:
    """V10: referenced and missing is repaired, and forgotten by the cache."""
    await bench.start("a 1")
    await bench.work()
    bench.files.contents.clear()
    await bench.start("a 1", render_id="r2")
    await bench.work()
    render = await bench.store.get("r2")
    assert render.state is RenderState.SUCCEEDED
    assert render.scenes[0].attempts == 1
    assert render.step(StepKind.ASSEMBLE).attempts == 2


async def test_a_wrong_storyboard_fails_at_once(bench: Bench) -> None:
    """V3: planning that cannot succeed is not repeated."""
    await bench.start("", "a 1")
    await bench.work()
    render = await bench.store.get("r1")
    assert render.error
    assert (render.error.code, render.error.retryable, render.error.scene_index) == ("STORYBOARD_INVALID", False, None)


async def test_deliveries_without_work_change_nothing(bench: Bench) -> None:
    """DESIGN §3: repeated, late, and unknown deliveries."""
    await bench.start("a 1")
    await bench.work()
    before = await bench.store.get("r1")
    for step_id in ["r1.plan", "r1.scene.0", "r1.assemble", "r1.scene.9", "unknown.plan"]:
        assert not await bench.runner.run(step_id, "again")
    assert await bench.store.get("r1") == before


async def test_J3_a_cancelled_scene_is_stopped_by_its_heartbeat(tmp_path: Path) -> None:
    """J3: without a revocation the next renewal finds out; the result is refused."""
    process = EndlessProcess()
    bench = Bench(tmp_path, process)
    await bench.start("a 1")
    running = asyncio.ensure_future(bench.work())
    await asyncio.wait_for(process.started.wait(), 5)
    await bench.renders.cancel("r1")
    await asyncio.wait_for(running, 5)
    assert process.stopped.is_set()
    assert len(bench.queue.revoked) == 1
    assert (await bench.store.get("r1")).state is RenderState.CANCELLED


async def test_O4_a_stopping_worker_hands_back_without_losing_an_attempt(tmp_path: Path) -> None:
    """O4: the step is queued again at once."""
    process = EndlessProcess()
    bench = Bench(tmp_path, process)
    await bench.start("a 1")
    [plan] = bench.store.take_pending()
    await bench.runner.run(plan.step_id, plan.task_id)
    [scene] = bench.store.take_pending()
    running = asyncio.ensure_future(bench.runner.run(scene.step_id, scene.task_id))
    await asyncio.wait_for(process.started.wait(), 5)
    bench.shutdown.begun.set()
    await asyncio.wait_for(running, 5)
    step = (await bench.store.get("r1")).scenes[0]
    assert (step.state, step.attempts, step.handed_back) == (StepState.QUEUED, 1, 1)
    assert [delivery.step_id for delivery in bench.store.take_pending()] == [step.step_id]


async def test_J6_a_scene_past_its_limit_is_stopped(tmp_path: Path) -> None:
    """J6: the soft limit."""
    process = EndlessProcess()
    bench = Bench(tmp_path, process, limit_s=0.05)
    await bench.start("a 1")
    await asyncio.wait_for(bench.work(), 5)
    assert process.stopped.is_set()
    render = await bench.store.get("r1")
    assert render.error
    assert render.error.code == "TIME_LIMIT_EXCEEDED"


class AwayStore(MemoryRenderStore):
    """Cannot renew; the clock of the worker runs on at every try."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self.tries = 0

    async def renew(self, step_id: str, fence: int, lease: timedelta) -> bool:
        """Not now."""
        self.tries += 1
        raise StoreUnavailable("away")


async def test_a_worker_that_cannot_renew_stops_before_its_lease_ends() -> None:
    """DESIGN §3: by its own clock, well before another worker may claim the step."""
    store = AwayStore(ManualClock().now)
    # Each look at the clock is 4 s later: renewals fail at 4, 8 and 12 s, and 13 s is the end.
    times = iter(range(0, 400, 4))
    keeper = LeaseKeeper(store, Signal(), timedelta(seconds=15), 0.001, 60, monotonic=lambda: next(times))
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(Exception, match="no longer held"):
        await keeper.hold("r1.plan", 1, float(next(times)), work())
    assert stopped.is_set()
    assert store.tries == 3


async def test_the_sweeper_offers_what_an_empty_queue_has_lost(bench: Bench) -> None:
    """DESIGN §3: soon where the queue is empty, late where the step may still be in it or nobody can tell."""
    policy = SweepPolicy(timedelta(seconds=3), timedelta(minutes=10))
    sweeper = Sweeper(bench.store, bench.queue, POLICY, policy, FakeLiveness())
    await bench.start("a 1")
    assert await sweeper.sweep() == 0, "still in the outbox"
    bench.store.take_pending()
    bench.clock.advance(2)
    assert await sweeper.sweep() == 0
    bench.clock.advance(2)
    for depth in (5, None):
        bench.queue.waiting = depth
        assert await sweeper.sweep() == 0
    bench.queue.waiting = 0
    assert await sweeper.sweep() == 1
    assert [delivery.step_id for delivery in bench.store.take_pending()] == ["r1.plan"]
    assert await sweeper.sweep() == 0, "offered a moment ago"
    bench.queue.waiting = 5
    bench.clock.advance(601)
    assert await sweeper.sweep() == 1


async def test_the_sweeper_takes_expired_steps_and_caps_attempts(bench: Bench) -> None:
    """DESIGN §3: a lost worker costs an attempt, the last one the render."""
    sweeper = Sweeper(bench.store, bench.queue, POLICY, SweepPolicy(), FakeLiveness())
    await bench.start("a 1")
    for attempt in (1, 2):
        [delivery] = bench.store.take_pending()
        async with bench.store.change("r1") as change:
            assert change.render.claim(delivery.step_id, delivery.task_id, change.now, POLICY)
        assert await sweeper.sweep() == 0, "the lease is live"
        bench.clock.advance(16)
        assert await sweeper.sweep() == 1, attempt
    render = await bench.store.get("r1")
    assert render.error
    assert (render.error.code, render.error.retryable) == ("WORKER_LOST", True)


async def test_V1_a_start_is_idempotent_by_its_whole_request(bench: Bench) -> None:
    """V1: the same again is the same render; anything else under the id is refused."""
    await bench.start("a 1", configuration={"theme": "light", "x": [1, {"y": 2}]})
    await bench.start("a 1", configuration={"x": [1, {"y": 2}], "theme": "light"})
    assert len(bench.store.take_pending()) == 1
    with pytest.raises(RenderIdTaken):
        await bench.start("a 2", configuration={"theme": "light", "x": [1, {"y": 2}]})


async def test_an_unknown_theme_is_refused_with_its_path(bench: Bench) -> None:
    """O6: nothing is stored."""
    with pytest.raises(ConfigurationInvalid) as caught:
        await bench.start("a 1", configuration={"theme": "plaid"})
    assert caught.value.field_violations[0][0] == "configuration.theme"
    assert bench.store.take_pending() == []


async def test_J7_a_position_ahead_of_the_render_is_refused(bench: Bench) -> None:
    """J7: nobody can have seen it."""
    await bench.start("a 1")
    await bench.renders.watchable("r1", 1)
    with pytest.raises(PositionAhead):
        await bench.renders.watchable("r1", 2)


@pytest.mark.parametrize(
    ("exc", "code", "retryable"),
    [
        (StoryboardInvalid([]), "STORYBOARD_INVALID", False),
        (SceneFailed("TYPESETTING_FAILED", "m", retryable=False), "TYPESETTING_FAILED", False),
        (SceneCrashed("SCENE_RENDER_FAILED", "gone"), "SCENE_RENDER_FAILED", True),
        (SceneCrashed("OUT_OF_MEMORY", "gone"), "OUT_OF_MEMORY", True),
        (MediaFailed("broken"), "ASSEMBLY_FAILED", True),
        (TimeLimitExceeded("late"), "TIME_LIMIT_EXCEEDED", False),
        (ZeroDivisionError("secret"), "INTERNAL", True),
    ],
)
def test_every_exception_has_a_meaning(exc: Exception, code: str, retryable: bool) -> None:
    """V3: stable codes; an unknown fault tells nothing of its inside."""
    failure = failure_of(exc)
    assert (failure.code, failure.retryable) == (code, retryable)
    assert "secret" not in failure.message


async def test_the_best_scene_gives_the_poster(bench: Bench) -> None:
    """V7: a plot tells more than a title, a title more than text."""
    await bench.start("a 1", "b 2", "c 3")
    await bench.work()
    scenes = (await bench.store.get("r1")).scenes
    assert best_scene(scenes).index == 0
    scenes[1].scene_kind, scenes[2].scene_kind = "title", "function_plot"
    assert best_scene(scenes).index == 2
    assert [chapter.kind for chapter in chapters_of(scenes)] == ["paragraph", "title", "function_plot"]


def _typed(store: MemoryRenderStore) -> RenderStore:
    """The fake is the port, says the type checker."""
    return store


async def test_V10_a_dead_holder_is_not_waited_for(bench: Bench) -> None:
    """V10: by the sweeper, or by whoever the queue delivers the step to again; a silent holder is waited for."""
    sweeper = Sweeper(bench.store, bench.queue, POLICY, SweepPolicy(), bench.liveness)
    for render_id in ("r1", "r2"):
        await bench.start("a 1", render_id=render_id)
        async with bench.store.change(render_id) as change:
            assert change.render.claim(f"{render_id}.plan", "t", change.now, POLICY, render_id)
    assert await sweeper.sweep() == 0
    bench.liveness.dead.add("r1")
    assert await sweeper.sweep() == 1
    bench.liveness.dead.add("r2")
    assert await bench.runner.run("r2.plan", "delivered again")
    assert (await bench.store.get("r2")).scenes, "it was planned under the new claim"
