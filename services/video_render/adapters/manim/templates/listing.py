"""Scenes in a grid of type: table and code."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from manim import RIGHT, FadeIn, FadeOut, LaggedStart, Rectangle, RoundedRectangle, VGroup
from manim.utils.rate_functions import ease_in_out_sine, ease_out_cubic

from services.video_render.adapters.manim import layout, markup
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.adapters.manim.themes import Theme, Type
from services.video_render.domain import storyboard

_NUMERIC = set("0123456789.,+-−–%€$£ ×xe")


class TableScene(StoryScene[storyboard.Table]):
    """Typst lays the table out (column widths, wrapping); rows appear one after the other."""

    kind = storyboard.Table

    def compose(self) -> None:
        """The table at the largest size that fits, centred."""
        content = self.content
        area = self.area
        fitted = self.fit(self._source(content, wrap=False), area.width, area.height, Type.BODY, wrap=False)
        if fitted.em < Type.CAPTION:
            fitted = self.fit(self._source(content, wrap=True), area.width, area.height, Type.CAPTION)
        table = fitted.typeset
        x, y = area.center
        spare = area.height - table.logical_height
        table.place_center(x, y + spare * 0.12)
        self.table = table
        self.lines = table.part("")
        self.rows = [table.part(f"r{number}") for number in range(len(content.rows) + 1)]
        self.block("the table", table, fitted.em)

    def perform(self) -> None:
        """Grid and header, then row by row."""
        self.play(FadeIn(self.lines), FadeIn(self.rows[0]), run_time=0.7, rate_func=ease_out_cubic)
        body = [row for row in self.rows[1:] if len(row)]
        rest = min(self.spread(body), 1.2)
        for row in body:
            self.appear(row, seconds=0.5)
            self.wait_frames(rest)

    def _source(self, content: storyboard.Table, wrap: bool) -> str:
        columns = len(content.header)
        fractions = "1fr" if wrap else "auto"
        alignment = ", ".join(
            "end + horizon" if _is_numeric(content, at) else "start + horizon" for at in range(columns)
        )
        cells = [self._cell(text, 0, bold=True) for text in content.header]
        for number, row in enumerate(content.rows, start=1):
            cells += [self._cell(text, number) for text in row.cells]
        return (
            f"#table(columns: ({f'{fractions}, ' * columns}), align: ({alignment},), inset: (x: 0.7em, y: 0.5em),\n"
            f'fill: (x, y) => if y == 0 {{ rgb("{self.theme.panel}") }},\n'
            f'stroke: (x, y) => if y == 0 {{ (bottom: 2.4pt + rgb("{self.accent}")) }}'
            f' else {{ (bottom: 1.2pt + rgb("{self.theme.rule}")) }},\n' + ",\n".join(cells) + ")"
        )

    def _cell(self, text: str, row: int, bold: bool = False) -> str:
        body = markup.inline(text, self.accent)
        if bold:
            body = f"#strong[{body}]"
        return f"[#block[{body}] <r{row}>]"


def _is_numeric(content: storyboard.Table, column: int) -> bool:
    cells = [row.cells[column] for row in content.rows if row.cells[column].strip()]
    return bool(cells) and all(set(cell) <= _NUMERIC for cell in cells)


class CodeScene(StoryScene[storyboard.Code]):
    """Source text on a panel with line numbers, revealed line by line; then some lines are pointed at, in turn."""

    kind = storyboard.Code

    def compose(self) -> None:
        """Notes at the bottom, the listing at the largest size that fits above them, on its panel."""
        content = self.content
        area = self._reserve_notes()
        padding = 0.35
        fitted = self.fit(
            self._source(content), area.width - 2 * padding, area.height - 2 * padding, Type.BODY * 0.9, wrap=False
        )
        listing = fitted.typeset
        spare = area.height - 2 * padding - listing.logical_height
        top = area.top - padding - max(spare * 0.3, 0.0)
        listing.place(area.left + padding, top)
        panel = RoundedRectangle(
            width=area.width, height=listing.logical_height + 2 * padding, corner_radius=0.16, stroke_width=0
        ).set_fill(self.theme.panel, opacity=1.0)
        panel.move_to((area.center[0], top - listing.logical_height / 2, 0))
        self.panel = panel.set_z_index(-2)
        self.numbers = listing.part("number")
        self.lines = [listing.part(f"l{number}") for number in range(1, len(content.lines) + 1)]
        self.block("the code", VGroup(panel, listing), fitted.em)
        self.bands = [self._band(highlight, top, fitted.em) for highlight in content.highlights]

    def perform(self) -> None:
        """Panel and numbers, then the lines in one flow, then what is pointed at."""
        self.play(FadeIn(self.panel), FadeIn(self.numbers), run_time=0.6, rate_func=ease_out_cubic)
        shown = [FadeIn(line, shift=RIGHT * 0.12) for line in self.lines if len(line)]
        highlights = self.content.highlights
        most = 0.35 * len(shown) + 0.6
        share = 0.4 if highlights else 1.0
        seconds = min(max(self.spec.duration_s * share - 3.5 * share, 1.0), most)
        self.play(LaggedStart(*shown, lag_ratio=0.7), run_time=seconds, rate_func=ease_out_cubic)
        rest = self.spread(highlights, 0.5)
        for number, highlight in enumerate(highlights):
            self._point_at(number, highlight)
            self.wait_frames(rest)

    def _reserve_notes(self) -> layout.Box:
        """What is said about lines shares one place under the panel; returns what is left above it."""
        area = self.area
        self.notes: list[Typeset | None] = []
        height = 0.0
        smallest = Type.CAPTION
        for highlight in self.content.highlights:
            self.notes.append(None)
            if highlight.note:
                source = f"#set align(center)\n{markup.inline(highlight.note, self.accent)}"
                fitted = self.fit(source, area.width * 0.92, 1.0, Type.CAPTION * 1.05, balance=True)
                self.notes[-1] = fitted.typeset
                height, smallest = max(height, fitted.typeset.logical_height), min(smallest, fitted.em)
        shown = [note for note in self.notes if note is not None]
        for note in shown:
            note.place_center(area.center[0], area.bottom + height / 2)
        if not shown:
            return area
        self.block("the notes", VGroup(*shown), smallest)
        return layout.Box(area.left, area.right, area.bottom + height + 0.3, area.top)

    def _band(self, highlight: storyboard.CodeHighlight, top: float, em: float) -> VGroup:
        """A bar at the left and a tint behind the lines that are pointed at."""
        one, two = (
            self.page(self._source(storyboard.Code(("x",) * count)), em, self.theme.text).height for count in (1, 2)
        )
        pitch = two - one
        first, last = highlight.first_line - 1, max(highlight.last_line, highlight.first_line)
        height = (last - first) * pitch
        middle = top - (first + last) / 2 * pitch + (pitch - one) / 2
        width = float(self.panel.width)
        tint = Rectangle(width=width, height=height, stroke_width=0).set_fill(self.theme.accents[1], opacity=0.14)
        bar = Rectangle(width=0.09, height=height, stroke_width=0).set_fill(self.theme.accents[1], opacity=1.0)
        x = float(self.panel.get_center()[0])
        return VGroup(tint.move_to((x, middle, 0)), bar.move_to((x - width / 2 + 0.045, middle, 0))).set_z_index(-1)

    def _point_at(self, number: int, highlight: storyboard.CodeHighlight) -> None:
        """The band moves on, the other lines dim, the note changes."""
        wanted = range(highlight.first_line - 1, max(highlight.last_line, highlight.first_line))
        changes: list[Any] = [
            line.animate.set_fill(opacity=1.0 if at in wanted else 0.32)
            for at, line in enumerate(self.lines)
            if len(line)
        ]
        if number == 0:
            self.band = self.bands[0]
            changes.append(FadeIn(self.band))
        else:
            changes.append(self.band.animate.become(self.bands[number]))
        before, note = self.notes[number - 1] if number else None, self.notes[number]
        if before is not None:
            changes.append(FadeOut(before))
        if note is not None:
            changes.append(FadeIn(note))
        self.play(*changes, run_time=0.5, rate_func=ease_in_out_sine)

    def _source(self, content: storyboard.Code) -> str:
        source = markup.literal("\n".join(line.rstrip() or " " for line in content.lines))
        language = markup.literal(content.language.lower()) if content.language else "none"
        return (
            f"#set raw(theme: bytes({markup.literal(_syntax_theme(self.theme))}), tab-size: 4)\n"
            "#set par(leading: 0.5em)\n"
            "#show raw.line: it => box(grid(columns: (1.6em, auto), column-gutter: 0.7em, align: (right, left),"
            f' [#block(text(fill: rgb("{self.theme.muted}"), str(it.number))) <number>],'
            ' [#block(it.body) #label("l" + str(it.number))]))\n'
            f"#raw({source}, lang: {language}, block: true)"
        )


def _syntax_theme(theme: Theme) -> str:
    """The theme's colours in TextMate's format, which Typst reads."""
    rules = "".join(
        f"<dict><key>scope</key><string>{escape(scope)}</string><key>settings</key><dict>"
        f"<key>foreground</key><string>{color}</string></dict></dict>"
        for scope, color in theme.code
    )
    base = f"<dict><key>settings</key><dict><key>foreground</key><string>{theme.text}</string></dict></dict>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict><key>name</key><string>t2m</string>'
        f"<key>settings</key><array>{base}{rules}</array></dict></plist>"
    )
