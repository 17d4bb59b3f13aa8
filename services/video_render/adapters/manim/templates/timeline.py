"""What happened when."""

from __future__ import annotations

from collections.abc import Sequence

from manim import Circle, Create, Line, VGroup
from manim.utils.rate_functions import ease_in_out_sine

from services.video_render.adapters.manim import layout, markup
from services.video_render.adapters.manim.templates.base import Fitted, StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard

_SMALL = 0.86
"""Size of the details beside that of the title."""
_DOT = 0.13
_STEM = 0.42
_ACROSS_GAP = 0.35
_ROW_GAP = 0.55
_READABLE = Type.LABEL * 0.85
_LARGEST = Type.BODY * 0.92


class TimelineScene(StoryScene[storyboard.Timeline]):
    """A line with a dot per event: from left to right while that can be read, else from top to bottom."""

    kind = storyboard.Timeline

    def compose(self) -> None:
        """The arrangement in which the texts are larger, across when in doubt."""
        self.events: list[VGroup] = []
        across = self._fit_across()
        smallest = min(card.em for card in across)
        if smallest >= _READABLE or not self._compose_down(better_than=smallest):
            self._compose_across(across)

    def perform(self) -> None:
        """The line is drawn, then the events come in the order of time."""
        self.play(Create(self.line), run_time=0.9, rate_func=ease_in_out_sine)
        rest = self.spread(self.events)
        for event in self.events:
            self.appear(*event, seconds=0.6, lag=0.25)
            self.wait_frames(rest)

    # -- from left to right ------------------------------------------------------------------------

    def _fit_across(self) -> list[Fitted]:
        """A card per event, all at the em of the longest."""
        self.alternate = len(self.content.events) > 3
        width, height = self._card_width(), self.area.height / 2 - _STEM - _DOT
        if not self.alternate:
            height = self.area.height * 0.66
        break_ = "\n\n"
        sources = [
            f"#set align(center)\n#set par(spacing: 0.5em)\n{self._date(event)}{break_}{self._what(event, break_)}"
            for event in self.content.events
        ]
        em = min(self.fit(source, width, height, _LARGEST).em for source in sources)
        return [self.fit(source, width, height, em, balance=True) for source in sources]

    def _card_width(self) -> float:
        """Cards on one side of the line stand two places apart, and the outer ones end at the frame's margins."""
        count, gap = len(self.content.events), _ACROSS_GAP
        if not self.alternate:
            return min((self.area.width - gap * (count - 1)) / count, self.area.width * 0.6)
        return (2 * self.area.width - gap * (count - 1)) / (count + 1)

    def _compose_across(self, cards: Sequence[Fitted]) -> None:
        area, width, count = self.area, self._card_width(), len(cards)
        tallest = max(card.typeset.logical_height for card in cards)
        y = area.center[1] if self.alternate else area.center[1] + (tallest + _STEM) / 2
        self.line = self._axis((area.left, y), (area.right, y))
        if self.writing.right_to_left:
            self.line.flip()
        step = (area.width - width) / max(count - 1, 1)
        for number, card in enumerate(cards):
            place = count - 1 - number if self.writing.right_to_left else number
            x = area.left + width / 2 + step * place if count > 1 else area.center[0]
            above = self.alternate and number % 2 == 0
            tip = y + (_STEM if above else -_STEM)
            card.typeset.place(
                x - card.typeset.logical_width / 2,
                tip + (card.typeset.logical_height + 0.08 if above else -0.08),
            )
            foot = y + (_DOT if above else -_DOT)
            stem = Line((x, foot, 0), (x, tip, 0), color=self.theme.rule, stroke_width=3)
            self.events.append(VGroup(self._dot(x, y), stem, card.typeset))
            self.block(f"event {number + 1}", card.typeset, card.em * _SMALL)
        self.block("the line", VGroup(self.line, *(event[0] for event in self.events)))

    # -- from top to bottom ------------------------------------------------------------------------

    def _compose_down(self, better_than: float) -> bool:
        """Dates, line and events in columns; False, and nothing placed, when the texts would not be larger."""
        area = self.area
        widths = (2.6, area.width - 3.7)
        align = "left" if self.writing.right_to_left else "right"
        found = layout.fit(lambda em: self._rows(em, widths, align), sum(widths), area.height, _LARGEST)
        if found.em <= better_than:
            return False
        y = area.center[1] + found.page.height * found.factor / 2
        x = self.start_side(0.0, widths[0] + 0.5)
        dots: list[Circle] = []
        for number, (row, height) in enumerate(zip(found.page.rows, found.page.heights, strict=True)):
            texts = [self.placeable(page, found.factor) for page in row if page is not None]
            for typeset, indent in zip(texts, (0.0, widths[0] + 1.1), strict=True):
                typeset.place(self.start_side(typeset.page.width, indent), y)
            dots.append(self._dot(x, y - found.em * self.writing.middle, found.em))
            self.events.append(VGroup(texts[0], dots[-1], texts[1]))
            self.block(f"event {number + 1}", self.events[-1], found.em * _SMALL)
            y -= (height + found.page.gap) * found.factor
        first, last = (float(dot.get_center()[1]) for dot in (dots[0], dots[-1]))
        self.line = self._axis((x, first + 0.3), (x, last - 0.3))
        return True

    def _rows(self, em: float, widths: tuple[float, float], align: str) -> layout.Pairs:
        """Dates and events at an em."""
        color = self.theme.text
        gap = " #h(0.5em, weak: true) "
        rows = tuple(
            (
                self.page(f"#set align({align})\n{self._date(event)}", em, color, widths[0]),
                self.page(self._what(event, gap), em, color, widths[1]),
            )
            for event in self.content.events
        )
        return layout.Pairs(rows, widths, _ROW_GAP * em)

    # -- parts -------------------------------------------------------------------------------------

    def _date(self, event: storyboard.TimelineEvent) -> str:
        return f'#text(fill: rgb("{self.accent}"))[#strong[{markup.inline(event.when, self.accent)}]]'

    def _what(self, event: storyboard.TimelineEvent, separator: str) -> str:
        title = f"#strong[{markup.inline(event.title, self.accent)}]"
        if not event.text:
            return title
        details = markup.inline(event.text, self.accent)
        return f'{title}{separator}#text(size: {_SMALL}em, fill: rgb("{self.theme.muted}"))[{details}]'

    def _axis(self, start: tuple[float, float], end: tuple[float, float]) -> Line:
        return Line((*start, 0), (*end, 0), color=self.theme.rule, stroke_width=5)

    def _dot(self, x: float, y: float, em: float = 1.0) -> Circle:
        dot = Circle(radius=min(_DOT, 0.3 * em), color=self.theme.background, stroke_width=4)
        return dot.set_fill(self.theme.accents[0], opacity=1.0).move_to((x, y, 0))
