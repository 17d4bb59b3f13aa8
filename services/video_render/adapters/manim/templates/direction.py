"""How the parts of a scene come and go: the scene's `animation` applied to whatever its template plays.

A template says what comes on and when; entrance, order, pace and way out are changed here, for all kinds alike.
What is left at its default is played as the template wrote it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

from manim import (
    LEFT,
    RIGHT,
    UP,
    Animation,
    AnimationGroup,
    FadeIn,
    FadeOut,
    Group,
    GrowFromCenter,
    LaggedStart,
    Mobject,
    MoveToTarget,
    Scene,
    VGroup,
    VMobject,
    Wait,
    Write,
    config,
)
from manim.animation.animation import prepare_animation
from manim.utils.rate_functions import ease_in_out_cubic, ease_out_cubic

from services.video_render.adapters.manim.mobjects import Picture
from services.video_render.adapters.manim.themes import Frame
from services.video_render.domain import storyboard
from services.video_render.domain.storyboard import Entrance, Order, Transition

ENTER_SECONDS = 0.6
LEAVE_SECONDS = 0.4
SHORTEST_HOLD = 1.0
_RISE = UP * 0.15
_SLIDE = RIGHT * 1.6
_LONGEST_PAUSE = 0.6
_SECONDS_PER_MEMBER = 0.25


class DirectedScene(Scene):
    """A Manim scene whose entrances, order, pace and way out follow a storyboard scene's `animation`."""

    def __init__(self, scene: storyboard.Scene, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = scene
        self._waiting: list[Animation] = []
        """Entrances that are held back to come on together."""

    def play(self, *animations: Any, **kwargs: Any) -> None:
        """Play animations (keywords as in Manim) the way the scene wants them."""
        if any(isinstance(animation, Wait) for animation in animations):
            if not self._waiting:
                super().play(*animations, **kwargs)
            return
        if self.spec.animation == storyboard.AS_USUAL:
            super().play(*animations, **kwargs)
            return
        made = [prepare_animation(animation) for animation in animations]
        for animation in made:
            for name, value in kwargs.items():
                setattr(animation, name, value)
        if all(introduces(animation) for animation in made):
            self._enter(made)
        else:
            self.play_waiting()
            self._play_at_pace([self._restyled(animation) for animation in made])

    def play_waiting(self) -> None:
        """Bring on what was held back."""
        waiting, self._waiting = self._waiting, []
        self._play_at_pace(waiting)

    def appear(self, *parts: VMobject, seconds: float = ENTER_SECONDS, lag: float = 0.0) -> None:
        """Fade parts in with a small rise, one after the other when `lag` is not 0."""
        entrances: list[Animation] = [FadeIn(part, shift=_RISE) for part in parts if len(part.get_family())]
        if entrances:
            self.play(LaggedStart(*entrances, lag_ratio=lag), run_time=seconds, rate_func=ease_out_cubic)

    def wait_frames(self, seconds: float) -> None:
        """Wait a whole number of frames."""
        frames = round(seconds * config.frame_rate)
        if frames > 0:
            self.wait((frames + 0.25) / config.frame_rate)

    def spread(self, parts: Sequence[Any], seconds_each: float = ENTER_SECONDS) -> float:
        """Seconds to pause after each part so that the parts fill the scene's target duration evenly."""
        if not parts:
            return 0.0
        playing = 0.0
        if self.spec.animation.entrance is not Entrance.NONE:
            playing = _frames(seconds_each / self.spec.animation.speed) / config.frame_rate
        left = self.spec.duration_s - self.time - self._leave_seconds - SHORTEST_HOLD - len(parts) * playing
        pause = min(max(left / len(parts), 0.25), 3.5)
        # Whole frames, rounded down: many pauses rounded up would be longer than what is left.
        return math.floor(pause * config.frame_rate + 1e-6) / config.frame_rate

    def hold_until_due(self) -> None:
        """Stand still until it is time to leave."""
        self.play_waiting()
        left = self.spec.duration_s - self.time - self._leave_seconds
        self.wait_frames(max(left, SHORTEST_HOLD))

    def leave(self) -> None:
        """Everything goes, in the way the scene ends."""
        everything = Group(*self.mobjects)
        if self.spec.animation.transition is Transition.FADE:
            self.play(FadeOut(everything), run_time=LEAVE_SECONDS)
        elif self.spec.animation.transition is Transition.SLIDE:
            everything.suspend_updating()
            everything.generate_target().shift(LEFT * Frame.WIDTH)
            self.play(MoveToTarget(everything), run_time=LEAVE_SECONDS, rate_func=ease_in_out_cubic)

    @property
    def _leave_seconds(self) -> float:
        if self.spec.animation.transition is Transition.CUT:
            return 0.0
        if self.spec.animation == storyboard.AS_USUAL:
            return LEAVE_SECONDS
        return _frames(LEAVE_SECONDS / self.spec.animation.speed) / config.frame_rate

    def _enter(self, entrances: list[Animation]) -> None:
        """Bring parts on, in the scene's order."""
        styled = [self._restyled(entrance) for entrance in entrances]
        if self.spec.animation.order is Order.TOGETHER:
            self._waiting += [_simultaneous(entrance) for entrance in styled]
        elif self.spec.animation.order is Order.ONE_BY_ONE:
            pause = min(self.spread(styled), _LONGEST_PAUSE) if len(styled) > 1 else 0.0
            for number, entrance in enumerate(styled):
                self.wait_frames(pause if number else 0.0)
                self._play_at_pace([_successive(entrance)])
        else:
            self._play_at_pace(styled)

    def _restyled(self, animation: Animation) -> Animation:
        return with_entrance(animation, self.spec.animation.entrance)

    def _play_at_pace(self, animations: list[Animation]) -> None:
        """Play animations faster or slower, for a whole number of frames; with no entrance, parts are just there."""
        playing: list[Animation] = []
        for animation in animations:
            if self.spec.animation.entrance is Entrance.NONE and introduces(animation):
                self.add(*_mobjects(animation))
            else:
                frames = _frames(animation.run_time / self.spec.animation.speed)
                animation.run_time = max(frames - 0.25, 1.0) / config.frame_rate
                playing.append(animation)
        if playing:
            super().play(*playing)


def _frames(seconds: float) -> int:
    """A whole number of frames, at least one."""
    return max(round(seconds * config.frame_rate), 1)


def introduces(animation: Animation) -> bool:
    """Whether an animation does nothing but bring something on."""
    if isinstance(animation, AnimationGroup):
        return bool(animation.animations) and all(introduces(member) for member in animation.animations)
    return animation.is_introducer() and not animation.remover


def with_entrance(animation: Animation, entrance: Entrance) -> Animation:
    """An animation with another way of coming on; what brings nothing on stays as it is."""
    if entrance in (Entrance.DEFAULT, Entrance.NONE) or not introduces(animation):
        return animation
    if isinstance(animation, AnimationGroup):
        return _regrouped(animation, [with_entrance(member, entrance) for member in animation.animations])
    mobject = _mobject(animation)
    look: dict[str, Any] = {"run_time": animation.run_time, "rate_func": animation.rate_func}
    if entrance is Entrance.SLIDE:
        return FadeIn(mobject, shift=_SLIDE, **look)
    if entrance is Entrance.GROW:
        return GrowFromCenter(mobject, **look)
    written = _writable(mobject) if entrance is Entrance.WRITE else None
    return Write(written, **look) if written is not None else FadeIn(mobject, shift=_RISE, **look)


def _writable(mobject: Mobject) -> VMobject | None:
    """A mobject that can be drawn stroke by stroke; None when a picture is in it."""
    if any(isinstance(member, Picture) for member in mobject.get_family()):
        return None
    if isinstance(mobject, VMobject):
        return mobject
    members = [_writable(member) for member in mobject.submobjects]
    written = [member for member in members if member is not None]
    return VGroup(*written) if len(written) == len(members) else None


def _regrouped(group: AnimationGroup, members: list[Animation], **look: Any) -> AnimationGroup:
    same = {"lag_ratio": group.lag_ratio, "rate_func": group.rate_func, "run_time": group.run_time}
    return AnimationGroup(*members, **{**same, **look})


def _simultaneous(entrance: Animation) -> Animation:
    """The members of a group all at once."""
    if not isinstance(entrance, AnimationGroup):
        return entrance
    return _regrouped(entrance, [_simultaneous(member) for member in entrance.animations], lag_ratio=0.0)


def _successive(entrance: Animation) -> Animation:
    """The members of a group one after the other, with time for each."""
    if not isinstance(entrance, AnimationGroup) or len(entrance.animations) < 2:
        return entrance
    seconds = max(entrance.run_time, min(_SECONDS_PER_MEMBER * len(entrance.animations), 3.0))
    return _regrouped(entrance, entrance.animations, lag_ratio=1.0, run_time=seconds)


def _mobjects(animation: Animation) -> list[Mobject]:
    if isinstance(animation, AnimationGroup):
        return [mobject for member in animation.animations for mobject in _mobjects(member)]
    return [_mobject(animation)]


def _mobject(animation: Animation) -> Mobject:
    return cast(Mobject, animation.mobject)
