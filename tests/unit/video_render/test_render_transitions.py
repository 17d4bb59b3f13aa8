"""Single transitions of a render (V3, V10, J3); their combinations are in `test_render_machine`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.video_render.domain.errors import ConfigurationInvalid
from services.video_render.domain.events import SceneChanged
from services.video_render.domain.outcomes import StepFailure
from services.video_render.domain.render import Plan, PlannedScene, Render
from services.video_render.domain.request import RenderRequest
from services.video_render.domain.steps import Step, StepState
from tests.unit.video_render.test_render_machine import POLICY, SCENE, START


def planned_render(*cached: bool, fallback: bool = False) -> tuple[Render, list[Step]]:
    """A render with scenes, all uncached ones claimed."""
    render = Render.start(RenderRequest("r1", "u1", "j1", "topic", "context", scene_fallback=fallback), START)
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


BROKEN = StepFailure("TYPESETTING_FAILED", "bad", retryable=False, blames_scene=True)


def test_V10_a_scene_that_cannot_be_drawn_is_replaced_where_that_is_wanted() -> None:
    """V10: the render goes on, the scene says so, and the plain one has attempts of its own."""
    render, (scene,) = planned_render(False, fallback=True)
    assert render.step_failed(scene.step_id, scene.fence, BROKEN, START, POLICY) == []
    assert (scene.state, scene.fallback, render.dispatches) == (StepState.QUEUED, True, [scene.step_id])
    for _ in range(POLICY.max_attempts - 1):
        step = render.claim(scene.step_id, "again", START, POLICY)
        assert step
        lost = StepFailure("SCENE_CRASHED", "gone", retryable=True, blames_scene=True)
        render.step_failed(step.step_id, step.fence, lost, START, POLICY)
        assert render.error is None
    last = render.claim(scene.step_id, "last", START, POLICY)
    assert last
    render.scene_rendered(last.step_id, last.fence, SCENE, START)
    shown = [event.scene for event in render.events if isinstance(event, SceneChanged)][-1]
    assert (shown.fallback, shown.cached, shown.state) == (True, False, StepState.SUCCEEDED)
    assert render.dispatches[-1] == "r1.assemble"


def test_V10_a_plain_scene_that_fails_too_fails_the_render() -> None:
    """V10: once is enough."""
    render, (scene,) = planned_render(False, fallback=True)
    render.step_failed(scene.step_id, scene.fence, BROKEN, START, POLICY)
    again = render.claim(scene.step_id, "again", START, POLICY)
    assert again
    render.step_failed(again.step_id, again.fence, BROKEN, START, POLICY)
    assert render.error
    assert render.error.scene_index == 0


@pytest.mark.parametrize(
    ("fallback", "failure"),
    [(False, BROKEN), (True, StepFailure("STORAGE_UNAVAILABLE", "away", retryable=False))],
    ids=["not wanted", "not the scene's fault"],
)
def test_V10_other_failures_end_the_render(fallback: bool, failure: StepFailure) -> None:
    """V10: a plain scene is for scenes that cannot be drawn."""
    render, (scene,) = planned_render(False, fallback=fallback)
    render.step_failed(scene.step_id, scene.fence, failure, START, POLICY)
    assert render.error is not None


def test_V10_a_scene_whose_workers_all_die_is_replaced() -> None:
    """V10: also when nobody lived to say what was wrong."""
    render, (scene,) = planned_render(False, fallback=True)
    now = START
    for _ in range(POLICY.max_attempts):
        now += timedelta(seconds=60)
        render.claim(scene.step_id, "t", now, POLICY)
    assert (scene.fallback, scene.state, render.error) == (True, StepState.QUEUED, None)


def test_V9_a_storyboard_that_was_ordered_is_there_from_the_beginning() -> None:
    """V9: it is part of what a render id names."""
    board = {"title": "T", "scenes": [{"id": "a", "quote": {"text": "x"}}]}
    request = RenderRequest("r1", "u1", "j1", "", "", storyboard=board)
    assert Render.start(request.validated(), START).storyboard == board
    other = RenderRequest("r1", "u1", "j1", "", "", storyboard={**board, "title": "U"})
    assert other.fingerprint() != request.fingerprint()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"topic": " ", "context": "c"}, "topic"),
        ({"topic": "t", "context": ""}, "context"),
        ({"topic": "", "context": "", "storyboard": {"title": "T", "scenes": []}}, "storyboard.scenes"),
    ],
)
def test_V9_a_request_that_cannot_be_drawn_is_refused(fields: dict[str, Any], path: str) -> None:
    """V9: by its field."""
    with pytest.raises(ConfigurationInvalid) as caught:
        RenderRequest("r1", "u1", "j1", **fields).validated()
    assert [name for name, _ in caught.value.field_violations] == [path]
