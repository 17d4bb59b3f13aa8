"""Single transitions of a render (V3, V10, J3); their combinations are in `test_render_machine`."""

from __future__ import annotations

from datetime import timedelta

from services.video_render.domain.events import SceneChanged
from services.video_render.domain.outcomes import StepFailure
from services.video_render.domain.render import Plan, PlannedScene, Render
from services.video_render.domain.request import RenderRequest
from services.video_render.domain.steps import Step, StepState
from tests.unit.video_render.test_render_machine import POLICY, SCENE, START


def planned_render(*cached: bool) -> tuple[Render, list[Step]]:
    """A render with scenes, all uncached ones claimed."""
    render = Render.start(RenderRequest("r1", "u1", "j1", "topic", "context"), START)
    plan_step = render.claim("r1.plan", "t0", START, POLICY)
    assert plan_step
    scenes = tuple(PlannedScene("S", "paragraph", "h", 60, SCENE if known else None) for known in cached)
    render.planned(plan_step.step_id, plan_step.fence, Plan("T", {}, scenes), START)
    claimed = [render.claim(scene.step_id, f"t{scene.index}", START, POLICY) for scene in render.scenes]
    render.events.clear()
    render.dispatches.clear()
    return render, [step for step in claimed if step]


def test_V10_the_last_scene_queues_the_assembly_once() -> None:
    """V10: fan-in without a race: only the completing transition that brings the counter to 0 dispatches."""
    render, (first, second) = planned_render(False, False)
    render.scene_rendered(second.step_id, second.fence, SCENE, START)
    assert render.dispatches == []
    render.scene_rendered(first.step_id, first.fence, SCENE, START)
    assert render.dispatches == ["r1.assemble"]


def test_V10_scenes_that_are_all_known_go_straight_to_the_assembly() -> None:
    """V10: nothing is drawn again."""
    render = Render.start(RenderRequest("r1", "u1", "j1", "topic", "context"), START)
    step = render.claim("r1.plan", "t0", START, POLICY)
    assert step
    render.dispatches.clear()
    render.planned(step.step_id, step.fence, Plan("T", {}, (PlannedScene("S", "p", "h", 60, SCENE),)), START)
    assert render.dispatches == ["r1.assemble"]


def test_progress_keeps_the_maximum_when_a_scene_restarts() -> None:
    """V3: a repeated scene starts at frame 0 again, its figures do not."""
    render, (scene,) = planned_render(False)
    render.progressed(scene.step_id, scene.fence, 50, 60)
    high = render.progress
    later = START + timedelta(seconds=60)
    again = render.claim(scene.step_id, "t9", later, POLICY)
    assert again
    render.progressed(scene.step_id, again.fence, 5, 60)
    assert (render.progress, again.frames_done) == (high, 50)


def test_J3_cancel_names_the_deliveries_to_kill() -> None:
    """J3: exactly the running ones."""
    render, (first, second) = planned_render(False, False)
    render.scene_rendered(first.step_id, first.fence, SCENE, START)
    assert render.cancel(START) == [f"t{second.index}"]
    assert render.cancel(START) == []


def test_a_failed_scene_is_named_in_the_error() -> None:
    """V3: code, stage, scene, retryable."""
    render, (first, second) = planned_render(False, False)
    stopped = render.step_failed(
        second.step_id, second.fence, StepFailure("TYPESETTING_FAILED", "bad", retryable=False), START, POLICY
    )
    assert stopped == [f"t{first.index}"]
    assert render.error
    assert (render.error.code, render.error.scene_index, render.error.retryable) == ("TYPESETTING_FAILED", 1, False)
    changes = [event.scene.state for event in render.events if isinstance(event, SceneChanged)]
    assert changes == [StepState.FAILED]


def test_V10_a_step_is_taken_only_from_the_holder_that_died() -> None:
    """V10: who died is compared with who holds it now; a step without a known holder waits for its lease."""
    render, (scene,) = planned_render(False)
    assert not render.orphaned(scene.step_id, "", START, POLICY)
    assert not render.orphaned(scene.step_id, "p1", START, POLICY)
    later = START + timedelta(seconds=60)
    assert render.claim(scene.step_id, "t9", later, POLICY, "p2")
    assert not render.orphaned(scene.step_id, "p1", later, POLICY)
    assert (scene.state, scene.holder) == (StepState.RUNNING, "p2")
    assert render.orphaned(scene.step_id, "p2", later, POLICY)
    assert (scene.state, scene.holder) == (StepState.QUEUED, "")
    assert render.dispatches == [scene.step_id]
