"""Scenes that are one statement: section and quote."""

from __future__ import annotations

from manim import DOWN, FadeIn, GrowFromEdge, RoundedRectangle
from manim.utils.rate_functions import ease_out_cubic

from services.video_render.adapters.manim import markup
from services.video_render.adapters.manim.templates.base import Fitted, StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard

_INDENT = 0.75
_MARK_HEIGHT = 1.05


class SectionScene(StoryScene[storyboard.Section]):
    """The part's number, its name and a line about it, beside a bar that grows."""

    kind = storyboard.Section

    def compose(self) -> None:
        """Number over name over line, all beginning at the same edge."""
        content = self.content
        width = self.area.width - 2 * _INDENT
        name = self.fit(self._strong(content.text), width, 2.7, Type.TITLE * 0.95, balance=True)
        parts = [("the name", name, 0.0)]
        if content.number:
            color = self.accent
            number = self.fit(self._strong(content.number), width, 0.7, Type.HEADING, wrap=False, color=color)
            parts.insert(0, ("the number", number, 0.3))
        if content.subtitle:
            parts[-1] = (*parts[-1][:2], 0.38)
            source = markup.inline(content.subtitle, self.accent)
            largest = min(Type.SUBTITLE, name.em * 0.75)
            line = self.fit(source, width, 1.4, largest, balance=True, color=self.theme.muted)
            parts.append(("the line", line, 0.0))
        height = sum(part.typeset.logical_height + gap for _, part, gap in parts)
        top = y = self.area.center[1] + height / 2
        for title, part, gap in parts:
            part.typeset.place(self.start_side(part.typeset.logical_width, _INDENT), y)
            y -= part.typeset.logical_height + gap
            self.block(title, part.typeset, part.em)
        self.parts = [part.typeset for _, part, _ in parts]
        self.bar = RoundedRectangle(width=0.12, height=height, corner_radius=0.06, stroke_width=0)
        self.bar.set_fill(self.accent, opacity=1.0)
        self.bar.move_to((self.start_side(0.12, 0.1) + 0.06, top - height / 2, 0))
        self.block("the bar", self.bar)

    def perform(self) -> None:
        """The bar grows, the words come after it."""
        self.play(GrowFromEdge(self.bar, -DOWN), run_time=0.5, rate_func=ease_out_cubic)
        self.appear(*self.parts, seconds=1.2, lag=0.4)

    def _strong(self, source: str) -> str:
        return f"#set par(leading: 0.22em)\n#strong[{markup.inline(source, self.accent)}]"


class QuoteScene(StoryScene[storyboard.Quote]):
    """The words in large type under a quotation mark, then who said them."""

    kind = storyboard.Quote

    def compose(self) -> None:
        """Mark, words and name begin at the same edge; together they stand in the middle."""
        content = self.content
        by = self._by()
        by_height = by.typeset.logical_height + 0.5 if by else 0.0
        source = f"#set par(leading: 0.42em)\n{markup.paragraphs(content.text, self.accent)}"
        largest = Type.HEADING * (1.2 if len(content.text) < 120 else 1.0)
        room = self.area.height - _MARK_HEIGHT - by_height
        words = self.fit(source, self.area.width - 2.0, room, largest, balance=True)
        mark = self.typeset("#strong[\N{LEFT DOUBLE QUOTATION MARK}]", 2.1, color=self.accent)
        if self.writing.right_to_left:
            mark.flip()
        height = _MARK_HEIGHT + words.typeset.logical_height + by_height
        width = max(words.typeset.logical_width, by.typeset.logical_width if by else 0.0)
        indent = (self.area.width - width) / 2
        y = self.area.center[1] + height / 2
        edge = self.start_side(mark.width, indent)
        mark.move_to((edge + mark.width / 2, y - mark.height / 2 - 0.1, 0))
        y -= _MARK_HEIGHT
        words.typeset.place(self.start_side(words.typeset.logical_width, indent), y)
        self.mark, self.words, self.by = mark, words.typeset, by
        self.block("the quotation mark", mark)
        self.block("the words", words.typeset, words.em)
        if by:
            y -= words.typeset.logical_height + 0.5
            by.typeset.place(self.start_side(by.typeset.logical_width, indent), y)
            self.block("the author", by.typeset, by.em)

    def perform(self) -> None:
        """Mark and words, then the name."""
        self.play(FadeIn(self.mark, shift=DOWN * 0.15), run_time=0.5, rate_func=ease_out_cubic)
        self.appear(self.words, seconds=1.0)
        if self.by:
            self.wait_frames(min(self.spread([self.by]), 1.0))
            self.appear(self.by.typeset)

    def _by(self) -> Fitted | None:
        """Who and where, on a line each."""
        content = self.content
        lines = []
        if content.author:
            lines.append(f'#strong[#"\N{EM DASH} ";{markup.inline(content.author, self.accent)}]')
        if content.source:
            quiet = f'#text(fill: rgb("{self.theme.muted}"))[{markup.inline(content.source, self.accent)}]'
            lines.append(quiet)
        if not lines:
            return None
        return self.fit(" \\ ".join(lines), self.area.width - 2.0, 1.3, Type.CAPTION * 1.05, balance=True)
