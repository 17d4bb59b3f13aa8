"""Scenes of words: title, bullets, paragraph, recap."""

from __future__ import annotations

from manim import UP, Circle, Create, FadeIn, Line, RoundedRectangle, VGroup
from manim.utils.rate_functions import ease_out_cubic

from services.video_render.adapters.manim import markup
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.base import C, Fitted, StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard


class TitleScene(StoryScene[storyboard.TitleCard]):
    """A large centred title, a rule that grows, an optional line under it."""

    kind = storyboard.TitleCard

    def compose(self) -> None:
        """Title above the middle, subtitle below."""
        content = self.content
        width = self.area.width * 0.9
        title = self._fit_title(content.text, width)
        self.title = title.typeset
        self.subtitle: Typeset | None = None
        height = self.title.logical_height + 0.7
        if content.subtitle:
            below = self.fit(
                self._centred(content.subtitle),
                width,
                2.6,
                min(Type.SUBTITLE, title.em * 0.75),
                balance=True,
                color=self.theme.muted,
            )
            self.subtitle = below.typeset
            height += self.subtitle.logical_height
        top = height / 2 + 0.1
        self.title.place(-self.title.logical_width / 2, top)
        y = top - self.title.logical_height - 0.3
        self.rule = Line((-1.1, y, 0), (1.1, y, 0), color=self.accent, stroke_width=6)
        self.block("the title", self.title, title.em)
        if self.subtitle is not None:
            self.subtitle.place(-self.subtitle.logical_width / 2, y - 0.4)
            self.block("the subtitle", self.subtitle, below.em)

    def perform(self) -> None:
        """Title, rule, subtitle."""
        self.appear(self.title, seconds=0.8)
        self.play(Create(self.rule), run_time=0.5, rate_func=ease_out_cubic)
        if self.subtitle is not None:
            self.appear(self.subtitle)

    def _fit_title(self, text: str, width: float) -> Fitted:
        """One line while that is large enough, otherwise lines of about equal length."""
        source = f"#strong[{markup.inline(text, self.accent)}]"
        single = self.fit(source, width, 3.2, Type.TITLE, wrap=False)
        if single.em >= Type.TITLE * 0.72:
            return single
        return self.fit(self._centred(text, bold=True), width, 3.4, Type.TITLE * 0.9, balance=True)

    def _centred(self, source: str, bold: bool = False) -> str:
        body = markup.inline(source, self.accent)
        return "#set align(center)\n#set par(leading: 0.2em)\n" + (f"#strong[{body}]" if bold else body)


class _ListScene(StoryScene[C]):
    """Items under one another, each with a mark, revealed in turn."""

    gap = 0.32
    indent = 0.62

    def lay_out(self, texts: list[str], levels: list[int]) -> None:
        """Typeset all items at the largest size at which the list fits."""
        em = Type.BODY
        while True:
            items = self._items(texts, levels, em)
            gap = self.gap * em / Type.BODY
            height = sum(item.logical_height for item in items) + gap * (len(items) - 1)
            if height <= self.area.height or em <= Type.FLOOR:
                break
            em = max(em * max(0.97 * self.area.height / height, 0.8), Type.FLOOR)
        gap += min(max(self.area.height - height, 0.0) / len(items), 0.35)
        height = sum(item.logical_height for item in items) + gap * (len(items) - 1)
        top = self.area.top - max(min((self.area.height - height) * 0.35, 0.9), 0.0)
        self.rows = self._stack(items, levels, em, gap, top)
        factor = min(self.area.height / height, 1.0)
        if factor < 1.0:
            VGroup(*self.rows).scale(factor, about_point=(self.area.left, self.area.top, 0))
        for number, row in enumerate(self.rows, start=1):
            self.block(f"item {number}", row, em * factor)

    def _items(self, texts: list[str], levels: list[int], em: float) -> list[Typeset]:
        return [
            self.text(text, self._em(em, level), width=self.area.width - self._left(level))
            for text, level in zip(texts, levels, strict=True)
        ]

    def _stack(self, items: list[Typeset], levels: list[int], em: float, gap: float, y: float) -> list[VGroup]:
        """Items under one another from `y` down, each with its mark."""
        rows: list[VGroup] = []
        for number, (item, level) in enumerate(zip(items, levels, strict=True), start=1):
            indent = self._left(level)
            item.place(self.start_side(item.logical_width, indent), y)
            line = self._em(em, level)
            edge = self.start_side(0.0, indent)
            rows.append(VGroup(self.mark(number, level, edge, y - line * self.writing.middle, line), item))
            y -= item.logical_height + gap
        return rows

    def _em(self, em: float, level: int) -> float:
        return max(em * 0.9, min(em, Type.SMALLEST)) if level else em

    def _left(self, level: int) -> float:
        return self.indent * (1 + level)

    def mark(self, number: int, level: int, edge: float, y: float, em: float) -> VGroup:
        """What stands before an item, beyond the edge where its text begins and level with its first line."""
        raise NotImplementedError

    def before(self, edge: float, distance: float) -> float:
        """A place at a distance before the edge where lines begin."""
        return edge + distance if self.writing.right_to_left else edge - distance

    def perform(self) -> None:
        """Item by item, spread over the scene."""
        rest = self.spread(self.rows)
        for row in self.rows:
            self.appear(row)
            self.wait_frames(rest)


class BulletsScene(_ListScene[storyboard.Bullets]):
    """A bullet list with two levels."""

    kind = storyboard.Bullets

    def compose(self) -> None:
        """All items in one column."""
        content = self.content
        self.lay_out([item.text for item in content.items], [item.level for item in content.items])

    def mark(self, number: int, level: int, edge: float, y: float, em: float) -> VGroup:
        """A filled dot, a ring on the second level."""
        dot = Circle(radius=em * (0.15 if level else 0.17), color=self.accent, stroke_width=0 if not level else 3)
        dot.set_fill(self.accent, opacity=0.0 if level else 1.0)
        return VGroup(dot.move_to((self.before(edge, em * 0.72), y, 0)))


class RecapScene(_ListScene[storyboard.Recap]):
    """Numbered points to remember."""

    kind = storyboard.Recap
    indent = 0.95

    def compose(self) -> None:
        """All points in one column."""
        content = self.content
        self.lay_out(list(content.items), [0] * len(content.items))

    def mark(self, number: int, level: int, edge: float, y: float, em: float) -> VGroup:
        """The point's number on a disc."""
        x = self.before(edge, em * 1.05)
        disc = Circle(radius=em * 0.56, stroke_width=0).set_fill(self.accent, opacity=1.0).move_to((x, y, 0))
        figure = self.typeset(f"#strong[{number}]", em * 0.72, color=self.theme.background)
        return VGroup(disc, figure.move_to((x, y, 0)))


class ParagraphScene(StoryScene[storyboard.Paragraph]):
    """Running text in a measure that is comfortable to read, sentence by sentence."""

    kind = storyboard.Paragraph
    measure = 11.6

    def compose(self) -> None:
        """The text with a rule at its left."""
        content = self.content
        source = markup.paragraphs(content.text, self.accent)
        largest = Type.BODY * (1.15 if len(content.text) < 220 else 1.0)
        fitted = self.fit(source, self.measure, self.area.height, largest)
        typeset = fitted.typeset
        top = self.area.top - max(min((self.area.height - typeset.logical_height) * 0.35, 1.1), 0.0)
        typeset.place(self.start_side(typeset.logical_width, 0.45), top)
        bar = RoundedRectangle(width=0.09, height=max(typeset.logical_height - 0.1, 0.2), corner_radius=0.045)
        bar.set_fill(self.accent, opacity=1.0).set_stroke(width=0)
        bar.move_to((self.start_side(0.1) + 0.05, top - typeset.logical_height / 2, 0))
        self.body, self.bar = typeset, bar
        self.block("the text", VGroup(bar, typeset), fitted.em)

    def perform(self) -> None:
        """All at once; the hold gives the time to read."""
        self.play(
            FadeIn(self.bar),
            FadeIn(self.body, shift=UP * 0.15),
            run_time=0.8,
            rate_func=ease_out_cubic,
        )
