"""The state machine of a render under workers that die, sleep, repeat themselves and lie (V10, DESIGN §3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.video_render.domain.errors import LeaseLost
from services.video_render.domain.events import Event, RenderState, StateChanged
from services.video_render.domain.outcomes import RenderedScene, RenderedVideo, Segment, StepFailure, StoredFile
from services.video_render.domain.render import Plan, PlannedScene, Render
from services.video_render.domain.request import RenderRequest
from services.video_render.domain.steps import LeasePolicy, Step, StepKind, StepState

POLICY = LeasePolicy(lease=timedelta(seconds=15), max_attempts=3)
FILE = StoredFile("o1", "0" * 64, 10, "video/mp4")
SCENE = RenderedScene((Segment("720p", FILE, 30, 1, (9,), 60),), FILE, frames=30, duration_s=1.0)
VIDEO = RenderedVideo(FILE, FILE, FILE, "T", 1.0, 1, 1, 30.0, "h264", 30, ())
START = datetime(2026, 1, 1, tzinfo=UTC)
Held = tuple[str, int]


def holder_of(fence: int) -> str:
    """The process that claims under a fence: each time another."""
    return f"process {fence}"


class RenderMachine(RuleBasedStateMachine):
    """Workers hold (step, fence) pairs for as long as they like and use them whenever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.render = Render.start(RenderRequest("r1", "u1", "j1", "topic", "context"), START)
        self.history: list[Event] = []
        self.offered: list[str] = []
        self.held: list[Held] = []
        self.accepted: set[Held] = set()
        self.highest = 0.0
        self.assembly = StepState.WAITING
        self.ended: RenderState | None = None
        self.settle()

    def settle(self) -> None:
        """What the store does at a commit."""
        self.check_fan_in()
        self.history += self.render.events
        self.offered += self.render.dispatches
        self.render.seq += len(self.render.events)
        self.render.events.clear()
        self.render.dispatches.clear()

    def check_fan_in(self) -> None:
        """The assembly is offered once when its wait ends, and never while it waits."""
        assembly = self.render.step(StepKind.ASSEMBLE)
        if self.assembly is StepState.WAITING:
            offered = self.render.dispatches.count(assembly.step_id)
            assert offered == (1 if assembly.state is StepState.QUEUED else 0)
        self.assembly = assembly.state

    def claimed(self, step_id: str) -> Step | None:
        """A delivery arrives at a process that has claimed nothing before."""
        known = self.render.steps.get(step_id)
        return self.render.claim(step_id, "task", self.now, POLICY, holder_of(known.fence + 1 if known else 1))

    def is_current(self, held: Held) -> bool:
        """Whether the pair is the step's present holder."""
        step = self.render.steps[held[0]]
        return step.state is StepState.RUNNING and step.fence == held[1]

    def pick(self, data: st.DataObject, *kinds: StepKind) -> Held | None:
        """Somebody who holds, or once held, a step of these kinds: present holders come up more often."""
        pairs = [pair for pair in self.held if self.render.steps[pair[0]].kind in kinds]
        current = [pair for pair in pairs if self.is_current(pair)]
        return data.draw(st.sampled_from(pairs + current * 3)) if pairs else None

    def attempt(self, held: Held, result: Callable[[], object], *, final: bool = True) -> None:
        """A result arrives: accepted exactly when the pair holds the step, and only once when it is final."""
        if self.is_current(held):
            assert held not in self.accepted, "a result was accepted twice"
            result()
            if final:
                self.accepted.add(held)
                assert not self.is_current(held)
        else:
            with pytest.raises(LeaseLost):
                result()
        self.settle()

    @initialize(scenes=st.lists(st.sampled_from([False, False, True]), min_size=1, max_size=3))
    def plan(self, scenes: list[bool]) -> None:
        """Planning is claimed and done; some scenes are cached."""
        step = self.claimed("r1.plan")
        assert step is not None
        self.held.append((step.step_id, step.fence))
        planned = tuple(
            PlannedScene(f"S{number}", "paragraph", f"h{number}", 60, SCENE if cached else None)
            for number, cached in enumerate(scenes)
        )
        held = self.held[0]
        self.attempt(held, lambda: self.render.planned(*held, Plan("T", {}, planned), self.now))

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """A delivery of any step, known or not, as often as the queue likes; mostly of one that waits."""
        waiting = [step.step_id for step in self.render.steps.values() if step.claimable(self.now)]
        step_id = data.draw(st.sampled_from([*self.render.steps, "r1.scene.77", *waiting * 4]))
        step = self.claimed(step_id)
        self.settle()
        if step is not None:
            assert step_id in waiting, "a step with a live lease was given away"
            assert (step_id, step.fence) not in self.held, "a fence was given out twice"
            self.held.append((step_id, step.fence))

    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """A good worker: claims what waits and finishes it."""
        waiting = [step for step in self.render.steps.values() if step.state is StepState.QUEUED]
        if not waiting:
            return
        step_id = data.draw(st.sampled_from(waiting)).step_id
        step = self.claimed(step_id)
        self.settle()
        if step is None:
            return
        held = (step_id, step.fence)
        self.held.append(held)
        if step.kind is StepKind.SCENE:
            self.attempt(held, lambda: self.render.scene_rendered(*held, SCENE, self.now))

    @rule(seconds=st.sampled_from([1, 10, 20]))
    def pass_time(self, seconds: int) -> None:
        """Time passes for all; leases that nobody renews run out."""
        self.now += timedelta(seconds=seconds)

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        """A heartbeat, as the store does it."""
        held = self.pick(data, *StepKind)
        if held and self.is_current(held):
            self.render.steps[held[0]].lease_until = self.now + POLICY.lease

    @rule(data=st.data())
    def holder_dies(self, data: st.DataObject) -> None:
        """Somebody who holds, or held, a step is found dead: it is taken from exactly the present holder."""
        held = data.draw(st.sampled_from(self.held)) if self.held else None
        if held:
            dead = self.is_current(held)
            attempts = self.render.steps[held[0]].attempts
            assert self.render.orphaned(held[0], holder_of(held[1]), self.now, POLICY) == dead
            assert not self.is_current(held)
            assert self.render.steps[held[0]].attempts == attempts
            self.settle()

    @rule()
    def sweep(self) -> None:
        """The sweeper looks at every step."""
        for step in list(self.render.steps.values()):
            self.render.expire(step.step_id, self.now, POLICY)
            self.render.republish(step.step_id, self.now)
        self.settle()

    @rule(data=st.data(), done=st.integers(0, 200), total=st.integers(0, 200))
    def progress(self, data: st.DataObject, done: int, total: int) -> None:
        """Frames are reported, in any order, with any nonsense."""
        held = self.pick(data, StepKind.SCENE)
        if held:
            self.attempt(held, lambda: self.render.progressed(*held, done, total), final=False)

    @rule(data=st.data())
    def finish_scene(self, data: st.DataObject) -> None:
        """A scene's result arrives, perhaps late, perhaps again."""
        held = self.pick(data, StepKind.SCENE)
        if held:
            self.attempt(held, lambda: self.render.scene_rendered(*held, SCENE, self.now))

    @rule(data=st.data(), lost=st.sets(st.integers(0, 2)))
    def finish_assembly(self, data: st.DataObject, lost: set[int]) -> None:
        """The video arrives, or the assembly finds segments missing."""
        held = self.pick(data, StepKind.ASSEMBLE)
        if held is None:
            return
        indexes = [scene.index for scene in self.render.scenes if scene.index in lost]
        if indexes:
            self.attempt(held, lambda: self.render.scenes_lost(*held, indexes, self.now))
        else:
            self.attempt(held, lambda: self.render.publishing(*held, self.now), final=False)
            self.attempt(held, lambda: self.render.published(*held, VIDEO, self.now))

    @rule(data=st.data(), retryable=st.sampled_from([True, True, False]))
    def fail(self, data: st.DataObject, retryable: bool) -> None:
        """An attempt fails."""
        failure = StepFailure("RENDER_FAILED", "no", retryable)
        held = self.pick(data, *StepKind)
        if held:
            self.attempt(held, lambda: self.render.step_failed(*held, failure, self.now, POLICY))

    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        """A worker stops in good order."""
        held = self.pick(data, *StepKind)
        if held:
            self.attempt(held, lambda: self.render.hand_back(*held, self.now))

    @rule(sure=st.integers(0, 19))
    def cancel(self, sure: int) -> None:
        """The caller stops the render, now and then; often after it has ended."""
        if sure == 19 or self.render.state.terminal:
            self.render.cancel(self.now)
            self.settle()

    @invariant()
    def events_are_numbered_without_a_gap(self) -> None:
        """One number per event; nothing is told outside of a commit."""
        assert self.render.seq == len(self.history)
        assert not self.render.events
        assert not self.render.dispatches

    @invariant()
    def only_running_steps_have_holders(self) -> None:
        """A lease, a delivery and a holder: all, or none of them."""
        for step in self.render.steps.values():
            running = step.state is StepState.RUNNING
            assert (step.lease_until is not None) == running
            assert bool(step.task_id) == bool(step.holder) == running

    @invariant()
    def fan_in_counts_the_scenes_without_a_result(self) -> None:
        """The counter is what it says, and the assembly waits for it."""
        unfinished = [scene for scene in self.render.scenes if scene.state is not StepState.SUCCEEDED]
        assert self.render.scenes_left == len(unfinished)
        assembly = self.render.step(StepKind.ASSEMBLE)
        if assembly.state in (StepState.QUEUED, StepState.RUNNING, StepState.SUCCEEDED):
            assert not unfinished
            assert self.render.scenes

    @invariant()
    def an_open_render_can_go_on(self) -> None:
        """No dead end: something runs, or is queued and was offered."""
        if self.render.state.terminal:
            assert all(step.ended for step in self.render.steps.values())
            return
        live = [s for s in self.render.steps.values() if s.state in (StepState.QUEUED, StepState.RUNNING)]
        assert live
        assert all(step.step_id in self.offered for step in live)

    @invariant()
    def attempts_are_capped(self) -> None:
        """No step is begun more often than allowed, hand-backs aside."""
        assert all(s.attempts - s.handed_back <= POLICY.max_attempts for s in self.render.steps.values())

    @invariant()
    def progress_never_falls(self) -> None:
        """Neither of the render nor in what watchers were told."""
        assert self.highest <= self.render.progress <= 100
        self.highest = self.render.progress
        told = [event.progress for event in self.history if hasattr(event, "progress")]
        assert told == sorted(told)

    @invariant()
    def a_terminal_state_never_changes(self) -> None:
        """The first terminal event is the last event."""
        states = [event.state for event in self.history if isinstance(event, StateChanged)]
        ended = [state for state in states if state.terminal]
        assert len(ended) == (1 if self.render.state.terminal else 0)
        assert self.ended in (None, self.render.state)
        self.ended = self.render.state if self.render.state.terminal else None
        if ended:
            last = self.history[-1]
            assert isinstance(last, StateChanged)
            assert last.state is self.render.state
        assert (self.render.state is RenderState.SUCCEEDED) == (self.render.video is not None)
        assert (self.render.state is RenderState.FAILED) == (self.render.error is not None)


RenderMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestRenderMachine = RenderMachine.TestCase
