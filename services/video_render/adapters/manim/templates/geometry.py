"""Figures of the plane and how they move."""

from __future__ import annotations

from functools import partial

from manim import Animation, FadeIn, FadeOut, Rectangle, VGroup
from manim.utils.rate_functions import smooth, squish_rate_func

from services.video_render.adapters.manim import figure_labels, layout, markup, plane
from services.video_render.adapters.manim.figures import FigureDrawing, PutAnimation
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard

_MARGIN = 0.15
_MOST_WARNINGS = 5
_LINE_WIDTH, _TEXT_WIDTH, _LABEL_HEIGHT = 3.4, 6.0, 1.4
_FADE_SECONDS, _MOVE_SECONDS, _POINT_SECONDS = 0.6, 1.8, 1.2


class GeometryScene(StoryScene[storyboard.Geometry]):
    """Figures fitted to the frame over all that happens to them, and under them what is said about it."""

    kind = storyboard.Geometry

    def compose(self) -> None:
        """Reserve the caption, fit the figures to the rest over all steps, then find places for the labels."""
        content = self.content
        self.course = plane.Course(content)
        area = self._reserve_captions()
        self.drawings = [self._drawing(at, figure) for at, figure in enumerate(content.figures)]
        self._fit(area)
        self._warn_of_covered_labels()
        self.block("the figures", self._outer_box(), self.label_em)
        self.pose_at(0, 0.0)

    def pose_at(self, step: int, share: float) -> None:
        """Put every figure where it is when a share of a step (counted from 0) is done."""
        for at, drawing in enumerate(self.drawings):
            pose = self.course.pose(step, share, at) if step < self.course.steps else self.course.rest(step, at)
            drawing.put(self.view.after(pose))

    def shown(self, step: int) -> list[FigureDrawing]:
        """The figures that are to be seen at some time in a step."""
        rests = (step, min(step + 1, self.course.steps))
        return [drawing for at, drawing in enumerate(self.drawings) if any(self.course.visible(r, at) for r in rests)]

    def perform(self) -> None:
        """What is there from the beginning, then step by step."""
        first = [drawing for at, drawing in enumerate(self.drawings) if self.course.visible(0, at)]
        self.appear(*first, seconds=min(_FADE_SECONDS + 0.15 * len(first), 1.5), lag=0.3)
        self.said: Typeset | None = None
        if self.caption is not None:
            self.appear(self.caption)
            self.said = self.caption
        rest = self.spread(self.content.steps, _MOVE_SECONDS)
        for number in range(len(self.content.steps)):
            self._step(number)
            self.wait_frames(rest)

    # -- composing ---------------------------------------------------------------------------------

    def _reserve_captions(self) -> layout.Box:
        """Set the caption and the notes in one place; returns the area over it."""
        area = self.area
        self.caption: Typeset | None = None
        self.notes: list[Typeset | None] = []
        fitted = []
        for source in (self.content.caption, *(step.note for step in self.content.steps)):
            body = f"#set align(center)\n{markup.inline(source, self.accent)}"
            fitted.append(self.fit(body, area.width, 1.0, Type.CAPTION, balance=True) if source.strip() else None)
        height = max((each.typeset.logical_height for each in fitted if each), default=0.0)
        placed = [
            each.typeset.place(-each.typeset.logical_width / 2, area.bottom + height) if each else None
            for each in fitted
        ]
        self.caption, *self.notes = placed
        if height:
            em = min(each.em for each in fitted if each)
            self.block("the caption", VGroup(*(each for each in placed if each is not None)), em)
        return layout.Box(area.left, area.right, area.bottom + (height + 0.25 if height else 0.0), area.top)

    def _drawing(self, at: int, figure: storyboard.GeometryFigure) -> FigureDrawing:
        color = self.theme.accents[figure.color - 1] if figure.color else self.theme.text
        label = self._label(at, figure, color) if figure.label.strip() else None
        return FigureDrawing(figure, color, label, at)

    def _label(self, at: int, figure: storyboard.GeometryFigure, color: str) -> Typeset:
        """A label on one line, or on several when it is long; inside a shape in the colour of text."""
        crowd = sum(bool(each.label) for each in self.content.figures)
        largest = Type.CAPTION if crowd <= 16 else Type.LABEL * 0.9
        ink = self.theme.text if figure.polygon is not None or figure.circle is not None else color
        width = _TEXT_WIDTH if figure.text is not None else _LINE_WIDTH
        body = f"#set align(center)\n{markup.inline(figure.label, self.accent)}"
        fitted = self.fit(body, width, _LABEL_HEIGHT, largest, wrap=False, color=ink)
        if fitted.em < largest:
            fitted = self.fit(body, width, _LABEL_HEIGHT, largest, balance=True, color=ink)
        self.label_em = min(getattr(self, "label_em", largest), fitted.em)
        return fitted.typeset

    def _fit(self, area: layout.Box) -> None:
        """The view: as large as the area allows with the labels that stand out of the figures."""
        self.label_em = getattr(self, "label_em", 0.0)
        bounds = self.course.bounds()
        inner = layout.Box(area.left + _MARGIN, area.right - _MARGIN, area.bottom + _MARGIN, area.top - _MARGIN)
        room = inner
        for _ in range(2):
            self.view = plane.view(bounds, room)
            need = figure_labels.place_labels(self.drawings, self.course, self.view, area, may_stick_out=True)
            room = self._room(bounds, need, inner)
        self.view = plane.view(bounds, room)
        figure_labels.place_labels(self.drawings, self.course, self.view, area, may_stick_out=False)

    def _room(self, bounds: layout.Box, need: layout.Box, inner: layout.Box) -> layout.Box:
        """The inner area less what labels need beside the figures, at most a quarter of it on a side."""
        low, high = self.view(complex(bounds.left, bounds.bottom)), self.view(complex(bounds.right, bounds.top))
        most_x, most_y = inner.width / 4, inner.height / 4
        return layout.Box(
            inner.left + min(max(low.real - need.left, 0.0), most_x),
            inner.right - min(max(need.right - high.real, 0.0), most_x),
            inner.bottom + min(max(low.imag - need.bottom, 0.0), most_y),
            inner.top - min(max(need.top - high.imag, 0.0), most_y),
        )

    def _warn_of_covered_labels(self) -> None:
        """The author decides where figures are: labels that find no free place are named, some of very many."""
        covered = figure_labels.covered(self.drawings, self.course, self.view)
        for first, second in covered[:_MOST_WARNINGS]:
            self.warn(f"the labels of '{first}' and '{second}' cover each other")
        if len(covered) > _MOST_WARNINGS:
            self.warn(f"{len(covered) - _MOST_WARNINGS} more pairs of labels cover each other")

    def _outer_box(self) -> Rectangle:
        """A box around everything at rest and half-way through the motions, for the layout check."""
        boxes: list[layout.Box] = []
        for step in range(self.course.steps + 1):
            for share in (0.0, 0.5):
                self.pose_at(step, share)
                boxes += [layout.measure(drawing) for drawing in self.shown(step)]
        if not boxes:
            return Rectangle(width=0.0, height=0.0)
        around = plane.join(boxes)
        return Rectangle(width=around.width, height=around.height).move_to((*around.center, 0.0))

    # -- performing --------------------------------------------------------------------------------

    def _step(self, number: int) -> None:
        """All of a step at once; a figure that appears or vanishes and also moves does one after the other."""
        step, course = self.content.steps[number], self.course
        comes = [at for at in range(len(self.drawings)) if self._comes(number, at)]
        goes = [
            at for at in range(len(self.drawings)) if course.visible(number, at) and not course.visible(number + 1, at)
        ]
        moves = {at for at in range(len(self.drawings)) if course.moves(number, at)}
        pointed = {course.index(name) for name in step.highlight}
        for at in comes:
            self.drawings[at].put(self.view.after(course.rest(number, at)))
        together: list[Animation] = self._say(self.notes[number])
        first = [self.drawings[at] for at in comes if at in moves | pointed]
        if first:
            self.play(*together, *(FadeIn(drawing, run_time=_FADE_SECONDS) for drawing in first))
            together = []
        together += [FadeIn(self.drawings[at], run_time=_FADE_SECONDS) for at in comes if at not in moves | pointed]
        together += [FadeOut(self.drawings[at], run_time=_FADE_SECONDS) for at in goes if at not in moves]
        shown = [at for at in moves | pointed if course.visible(number, at) or at in comes]
        together += [
            self._put(number, at, at in pointed, at in moves) for at in sorted(shown) if at not in goes or at in moves
        ]
        for at in moves - set(shown):
            self.drawings[at].put(self.view.after(course.rest(number + 1, at)))
        if together:
            self.play(*together)
        last = [self.drawings[at] for at in goes if at in moves]
        if last:
            self.play(*(FadeOut(drawing) for drawing in last), run_time=_FADE_SECONDS)

    def _comes(self, number: int, at: int) -> bool:
        return self.course.visible(number + 1, at) and not self.course.visible(number, at)

    def _put(self, number: int, at: int, pointed_at: bool, moves: bool) -> Animation:
        pose = partial(self._pose, number, at)
        return PutAnimation(self.drawings[at], pose, pointed_at, run_time=_MOVE_SECONDS if moves else _POINT_SECONDS)

    def _pose(self, number: int, at: int, share: float) -> plane.Pose:
        return self.view.after(self.course.pose(number, share, at))

    def _say(self, note: Typeset | None) -> list[Animation]:
        """The note takes the place of what was said before."""
        if note is None:
            return []
        before, self.said = self.said, note
        if before is None:
            return [FadeIn(note, run_time=_FADE_SECONDS)]
        after = squish_rate_func(smooth, 0.4, 1.0)
        return [FadeOut(before, run_time=0.4 * _FADE_SECONDS), FadeIn(note, run_time=_FADE_SECONDS, rate_func=after)]
