"""Two columns side by side."""

from __future__ import annotations

from itertools import zip_longest

from manim import Circle, FadeIn, RoundedRectangle, VGroup
from manim.utils.rate_functions import ease_out_cubic

from services.video_render.adapters.manim import layout, markup
from services.video_render.adapters.manim.templates.base import Fitted, StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.adapters.manim.typesetter import Page
from services.video_render.domain import storyboard

_GAP = 0.5
_PADDING = 0.4
_INDENT = 0.45
_TITLE_HEIGHT = 1.0
_ITEM_GAP = 0.5


class CompareScene(StoryScene[storyboard.Compare]):
    """Two panels with a title and items each, filled in turn; what follows from them stands below."""

    kind = storyboard.Compare

    def compose(self) -> None:
        """Verdict below, panels of equal height above; both sides in the same sizes."""
        sides = (self.content.left, self.content.right)
        verdict = self._verdict()
        area = self.area
        bottom = area.bottom + (verdict.typeset.logical_height + 0.4 if verdict else 0.0)
        width = (area.width - _GAP) / 2
        titles = self._titles(sides, width - 2 * _PADDING)
        title_height = max(title.typeset.logical_height for title in titles)
        room = area.top - bottom - title_height - 2 * _PADDING - 0.35
        found = self._rows(sides, width - 2 * _PADDING - _INDENT, room)
        height = found.page.height * found.factor + title_height + 2 * _PADDING + 0.35
        top = area.top - max((area.top - bottom - height) * 0.4, 0.0)
        self.panels: list[VGroup] = []
        for number, title in enumerate(titles):
            left = area.left + number * (width + _GAP)
            box = layout.Box(left, left + width, top - height, top)
            self._panel(box, title, title_height, self.theme.accents[number])
            items = self._items(number, box, top - _PADDING - title_height - 0.35, found)
            self.block(f"column {number + 1}", VGroup(self.panels[-1], *items), min(title.em, found.em))
        self.verdict = verdict
        if verdict:
            verdict.typeset.place(
                -verdict.typeset.logical_width / 2,
                min((top - height + area.bottom + verdict.typeset.logical_height) / 2, top - height - 0.3),
            )
            self.block("the verdict", verdict.typeset, verdict.em)

    def perform(self) -> None:
        """Both panels, then the items in turn, left and right, then the verdict."""
        self.play(*(FadeIn(panel) for panel in self.panels), run_time=0.7, rate_func=ease_out_cubic)
        rest = min(self.spread([*self.rows, *([self.verdict] if self.verdict else [])]), 2.5)
        for row in self.rows:
            self.appear(*row, lag=0.5)
            self.wait_frames(rest)
        if self.verdict:
            self.appear(self.verdict.typeset)

    def _verdict(self) -> Fitted | None:
        if not self.content.verdict:
            return None
        source = f"#set align(center)\n#strong[{markup.inline(self.content.verdict, self.accent)}]"
        return self.fit(source, self.area.width * 0.92, 1.1, Type.BODY, balance=True)

    def _titles(self, sides: tuple[storyboard.CompareSide, ...], width: float) -> list[Fitted]:
        """Both titles at the em of the longer one."""
        sources = [f"#strong[{markup.inline(side.title, self.accent)}]" for side in sides]
        em = min(self.fit(source, width, _TITLE_HEIGHT, Type.BODY * 1.1).em for source in sources)
        return [
            self.fit(source, width, _TITLE_HEIGHT, em, color=self.theme.accents[number])
            for number, source in enumerate(sources)
        ]

    def _rows(self, sides: tuple[storyboard.CompareSide, ...], width: float, height: float) -> layout.Fit[layout.Pairs]:
        """Items that stand beside each other begin at the same height."""
        texts = list(zip_longest(*(side.items for side in sides)))
        color = self.theme.text

        def page(text: str | None, em: float) -> Page | None:
            return self.page(markup.inline(text, self.accent), em, color, width) if text is not None else None

        def rows_at(em: float) -> layout.Pairs:
            rows = tuple((page(left, em), page(right, em)) for left, right in texts)
            return layout.Pairs(rows, (width, width), _ITEM_GAP * em)

        self.rows = [VGroup() for _ in texts]
        return layout.fit(rows_at, 2 * width, height, Type.BODY * 0.9)

    def _panel(self, box: layout.Box, title: Fitted, title_height: float, color: str) -> None:
        """The surface of one side, its title, and a rule in its colour."""
        panel = RoundedRectangle(width=box.width, height=box.height, corner_radius=0.18, stroke_width=0)
        panel.set_fill(self.theme.panel, opacity=1.0).move_to((*box.center, 0))
        title.typeset.place(self._edge(box, title.typeset.logical_width, _PADDING), box.top - _PADDING)
        rule = RoundedRectangle(width=0.9, height=0.06, corner_radius=0.03, stroke_width=0)
        rule.set_fill(color, opacity=1.0)
        rule.move_to((self._edge(box, 0.9, _PADDING) + 0.45, box.top - _PADDING - title_height - 0.1, 0))
        self.panels.append(VGroup(panel, title.typeset, rule))

    def _items(self, number: int, box: layout.Box, y: float, found: layout.Fit[layout.Pairs]) -> list[VGroup]:
        """The items of one side with their dots; each is also put into its row."""
        items: list[VGroup] = []
        for row, pages, height in zip(self.rows, found.page.rows, found.page.heights, strict=True):
            page = pages[number]
            if page is not None:
                text = self.placeable(page, found.factor)
                text.place(self._edge(box, text.logical_width, _PADDING + _INDENT), y)
                em = found.em
                dot = Circle(radius=em * 0.15, stroke_width=0).set_fill(self.theme.accents[number], opacity=1.0)
                dot.move_to((self._edge(box, 0.0, _PADDING + em * 0.2), y - em * self.writing.middle, 0))
                items.append(VGroup(dot, text))
                row.add(items[-1])
            y -= (height + found.page.gap) * found.factor
        return items

    def _edge(self, box: layout.Box, width: float, indent: float) -> float:
        """Left edge of something in a panel, on the side where lines begin."""
        return box.right - indent - width if self.writing.right_to_left else box.left + indent
