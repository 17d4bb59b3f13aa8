"""Scenes of formulas: equation and derivation."""

from __future__ import annotations

from itertools import pairwise

from manim import Animation, FadeIn, LaggedStart, SurroundingRectangle, VGroup, Write
from manim.utils.rate_functions import ease_out_cubic, smooth, squish_rate_func

from services.video_render.adapters.manim import markup, matching
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.base import Fitted, StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard


class EquationScene(StoryScene[storyboard.Equation]):
    """One formula, written in the middle, with a caption under it."""

    kind = storyboard.Equation

    def compose(self) -> None:
        """Formula and caption, centred together."""
        content = self.content
        area = self.area
        caption: Typeset | None = None
        caption_em = 0.0
        if content.caption:
            width = area.width * 0.85
            source = f"#set align(center)\n{markup.inline(content.caption, self.accent)}"
            set_caption = self.fit(source, width, 1.6, Type.CAPTION, balance=True, color=self.theme.muted)
            caption, caption_em = set_caption.typeset, set_caption.em
        room = area.height - (caption.logical_height + 0.6 if caption else 0.0)
        formula = self.fit(markup.math(content.math), area.width * 0.94, room, Type.EQUATION, wrap=False, by_glyph=True)
        x, y = area.center
        total = formula.typeset.logical_height + (caption.logical_height + 0.6 if caption else 0.0)
        formula.typeset.place_center(x, y + total / 2 - formula.typeset.logical_height / 2)
        self.formula = formula.typeset
        self.block("the equation", self.formula, formula.em)
        self.caption = caption
        if caption is not None:
            caption.place_center(x, y - total / 2 + caption.logical_height / 2)
            self.block("the caption", caption, caption_em)

    def perform(self) -> None:
        """The formula is written, then the caption appears."""
        self.play(Write(self.formula), run_time=min(0.8 + 0.05 * len(self.formula), 2.2))
        if self.caption is not None:
            self.appear(self.caption)


class DerivationScene(StoryScene[storyboard.Derivation]):
    """Lines of a derivation, aligned, each with its reason; the last one is framed."""

    kind = storyboard.Derivation

    def compose(self) -> None:
        """Formulas in one aligned block, notes in a column at its right."""
        content = self.content
        has_notes = any(step.note for step in content.steps)
        area = self.area
        width = area.width * (0.6 if has_notes else 0.92)
        source = " \\ ".join(step.math for step in content.steps)
        page = f"#set math.equation(numbering: none)\n#show math.equation: set par(leading: 0.75em)\n$ {source} $"
        fitted = self.fit(page, width, area.height - 0.3, 0.78, wrap=False, by_glyph=True)
        block = fitted.typeset
        left = area.left + 0.3 if has_notes else -block.logical_width / 2
        block.place(left, area.center[1] + block.logical_height / 2)
        self.lines = block.runs(self._glyph_counts(content, fitted.em))
        middles = [float(line.get_center()[1]) for line in self.lines]
        pitch = min((above - below for above, below in pairwise(middles)), default=area.height) - 0.1
        self.notes = [
            self._note(step.note, y, pitch, area.left + width + 0.65, area.right)
            for step, y in zip(content.steps, middles, strict=True)
        ]
        self.frame = SurroundingRectangle(
            self.lines[-1], color=self.accent, buff=0.16, corner_radius=0.1, stroke_width=3
        )
        self.block("the derivation", VGroup(block, self.frame), fitted.em)
        for index, note in enumerate(self.notes):
            if note is not None:
                self.block(f"note {index + 1}", note.typeset, note.em)

    def perform(self) -> None:
        """Line by line: each comes out of the one above, or is revealed."""
        rest = self.spread(self.lines, 1.2)
        moves = self.content.style is storyboard.DerivationStyle.MOVE
        for number, (line, note) in enumerate(zip(self.lines, self.notes, strict=True)):
            entrances: list[Animation] = []
            if number and moves:
                entrances.append(self._moved(number))
            elif len(line):
                entrances.append(LaggedStart(*(FadeIn(glyph) for glyph in line), lag_ratio=0.12, run_time=1.0))
            if note is not None:
                entrances.append(FadeIn(note.typeset, rate_func=squish_rate_func(smooth, 0.3, 1.0), run_time=1.2))
            if entrances:
                self.play(*entrances)
            self.wait_frames(rest)
        self.play(FadeIn(self.frame, scale=1.06), run_time=0.5, rate_func=ease_out_cubic)

    def _moved(self, number: int) -> Animation:
        """A line comes out of the one above it: what is common to both moves down."""
        above, line = self.lines[number - 1], self.lines[number]
        classes = matching.shape_classes([glyph.points for glyph in (*above, *line)])
        moved = matching.pairs(classes[: len(above)], classes[len(above) :])
        return matching.MoveGlyphs(line, above, moved, run_time=1.2)

    def _glyph_counts(self, content: storyboard.Derivation, em: float) -> list[int]:
        """How many glyphs each line has: Typst draws a block line by line, in order."""
        return [len(self.page(markup.math(step.math), em, self.theme.text).outlines) for step in content.steps]

    def _note(self, source: str, y: float, height: float, left: float, right: float) -> Fitted | None:
        if not source:
            return None
        body = markup.inline(source, self.accent)
        note = self.fit(body, right - left, height, Type.LABEL, color=self.theme.muted)
        note.typeset.place(left, y + note.typeset.logical_height / 2)
        return note
