"""A matrix, row by row."""

from __future__ import annotations

from functools import partial

import numpy as np
from manim import FadeIn, RoundedRectangle, VGroup, VMobject
from manim.utils.rate_functions import ease_out_cubic

from services.video_render.adapters.manim import captions, curves, layout, markup
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.domain import storyboard

_LARGEST = 0.95
_PADDING = 0.11
_DELIMITERS = {
    storyboard.MatrixBrackets.SQUARE: "[",
    storyboard.MatrixBrackets.ROUND: "(",
    storyboard.MatrixBrackets.BARS: "|",
}


class MatrixScene(StoryScene[storyboard.Matrix]):
    """Brackets and what stands beside them, then the rows; a box goes to the highlighted entries in turn."""

    kind = storyboard.Matrix

    def compose(self) -> None:
        """One formula; its entries are told apart by colours that nobody sees."""
        content = self.content
        self.caption, area = captions.reserve(self, content.caption)
        room = layout.Box(area.left + 0.3, area.right - 0.3, area.bottom + 0.25, area.top - 0.25)
        fitted = self.fit(self._source(), room.width, room.height, _LARGEST, wrap=False, by_glyph=True)
        self.formula = fitted.typeset.place_center(*area.center)
        self.entries = self._entries(self.formula)
        self.boxes = [
            self._box(self.entries[place.row - 1, place.column - 1])
            for place in content.highlights
            if len(self.entries[place.row - 1, place.column - 1])
        ]
        members = {id(glyph) for entry in self.entries.values() for glyph in entry}
        self.around = VGroup(*(glyph for glyph in self.formula if id(glyph) not in members))
        self.block("the matrix", VGroup(self.formula, *self.boxes), fitted.em)

    def perform(self) -> None:
        """Brackets, rows, boxes, caption."""
        rows = [self._row(number) for number in range(len(self.content.rows))]
        self.appear(self.around)
        rest = self.spread([*rows, *self.boxes], 0.7)
        for row in rows:
            if len(row):
                self.appear(*row, seconds=0.7, lag=0.15)
            self.wait_frames(min(rest, 1.0))
        if self.boxes:
            self._point(rest)
        if self.caption is not None:
            self.appear(self.caption)

    def _point(self, rest: float) -> None:
        """One box that goes from entry to entry."""
        box = self.boxes[0].copy()
        self.play(FadeIn(box, scale=1.15), run_time=0.5, rate_func=ease_out_cubic)
        for before, after in zip(self.boxes, self.boxes[1:], strict=False):
            self.wait_frames(min(rest, 1.2))
            self.play(curves.Run(box, partial(_between, box, before, after), 0.0, 1.0), run_time=0.6)
        self.wait_frames(min(rest, 1.2))

    def _source(self) -> str:
        """The formula as Typst; each entry in a colour of its own, as content so that commas do not divide it."""
        rows = []
        for row, each in enumerate(self.content.rows):
            entries = (f'text(fill: rgb("{_code(row, at)}"), ${entry}$)' for at, entry in enumerate(each.entries))
            rows.append(f"({', '.join(entries)},)")
        delimiter = markup.literal(_DELIMITERS[self.content.brackets])
        return (
            "#set math.mat(row-gap: 0.55em, column-gap: 1em)\n"
            f"$ {self.content.before} #math.mat(delim: {delimiter}, {', '.join(rows)}) {self.content.after} $"
        )

    def _entries(self, formula: Typeset) -> dict[tuple[int, int], VGroup]:
        """The glyphs of each entry, by row and column from 0, in the colour of text."""
        found = {
            (row, column): VGroup() for row, each in enumerate(self.content.rows) for column in range(len(each.entries))
        }
        codes = {_code(*place): place for place in found}
        for glyph, outline in zip(formula, formula.page.outlines, strict=True):
            place = codes.get((outline.fill or outline.stroke or "").lower())
            if place is None:
                continue
            if outline.fill:
                glyph.set_fill(self.theme.text)
            if outline.stroke:
                glyph.set_stroke(self.theme.text)
            found[place].add(glyph)
        return found

    def _row(self, number: int) -> VGroup:
        entries = (self.entries[number, column] for column in range(len(self.content.rows[number].entries)))
        return VGroup(*(entry for entry in entries if len(entry)))

    def _box(self, entry: VGroup) -> VMobject:
        box = layout.measure(entry)
        frame = RoundedRectangle(
            width=box.width + 2 * _PADDING, height=box.height + 2 * _PADDING, corner_radius=0.08, stroke_width=4
        )
        return frame.set_stroke(self.accent).move_to((*box.center, 0.0))


def _code(row: int, column: int) -> str:
    """A colour that no theme has."""
    return f"#0102{8 * row + column:02x}"


def _between(box: VMobject, before: VMobject, after: VMobject, share: float) -> None:
    box.set_points(before.points + share * (np.asarray(after.points) - before.points))
