"""Splits a Markdown-ish script into blocks. Knows the notation, not what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FENCES = {"math", "plot", "chart", "scene"}
"""Fence names with a meaning of their own; every other fence is source text."""

_FENCE = re.compile(r"\s*(?:```|~~~)\s*([\w+#.-]*)\s*\Z")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(.+?)\s*#*\s*\Z")
_ITEM = re.compile(r"(\s*)(?:[-*+\u2022\u2013]|\d{1,2}[.)])\s+(\S.*)\Z")
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,})\s*\Z")
_TABLE_RULE = re.compile(r"\s*\|?[\s:|-]*-[\s:|-]*\|[\s:|-]*\Z")
_MATH_OPEN = re.compile(r"\s*(?:\$\$|\\\[)(.*)\Z")
_MATH_CLOSE = re.compile(r"(.*?)(?:\$\$|\\\])\s*\Z")
_PLOT_LINE = re.compile(r"\s*(?:plot|graph)\s*:\s*(.+)\Z", re.IGNORECASE)
_CHART_LINE = re.compile(r"\s*chart\s*:\s*(\w+)\s*\Z", re.IGNORECASE)
_DATA_LINE = re.compile(r"\s*[^:]{1,80}:\s*[-+]?[\d.]")


@dataclass(frozen=True, slots=True)
class Block:
    """One block. `line` is its first line (from 1), `kind` one of heading, list, text, math, plot, chart,
    scene, table, code.

    `info` is a heading's level, a fence's language, or `line` for a one-line plot.
    """

    kind: str
    line: int
    lines: tuple[str, ...]
    info: str = ""


def parse(script: str) -> list[Block]:
    """The blocks of a script in order; every character that is not notation ends up in one of them."""
    return list(_Reader(script.replace("\r\n", "\n").expandtabs(4).split("\n")).blocks())


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0

    def blocks(self) -> Iterator[Block]:
        """Consume all lines."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.strip() or _RULE.match(line):
                self._at += 1
            else:
                yield self._block(line)

    def _block(self, line: str) -> Block:
        if match := _FENCE.match(line):
            return self._fence(match[1].lower())
        if match := _HEADING.match(line):
            return self._take(1, "heading", (match[2],), str(len(match[1])))
        if match := _MATH_OPEN.match(line):
            return self._math(match[1])
        if match := _CHART_LINE.match(line):
            return self._chart(match[1].lower())
        if match := _PLOT_LINE.match(line):
            return self._take(1, "plot", (match[1],), "line")
        if self._is_table():
            rows = self._while(lambda text: "|" in text)
            return self._take(len(rows), "table", tuple(rows))
        if _ITEM.match(line):
            return self._list()
        return self._text()

    def _take(self, count: int, kind: str, lines: tuple[str, ...], info: str = "") -> Block:
        block = Block(kind, self._at + 1, lines, info)
        self._at += count
        return block

    def _while(self, wanted: object) -> list[str]:
        """The run of lines from here for which `wanted` holds."""
        assert callable(wanted)
        run: list[str] = []
        for text in self._lines[self._at :]:
            if not text.strip() or not wanted(text):
                break
            run.append(text)
        return run

    def _fence(self, language: str) -> Block:
        """A fenced block; an open fence ends with the script."""
        body: list[str] = []
        for text in self._lines[self._at + 1 :]:
            if _FENCE.match(text):
                break
            body.append(text)
        kind = language if language in FENCES else "code"
        return self._take(len(body) + 2, kind, tuple(body), language)

    def _math(self, rest: str) -> Block:
        """`$$ … $$` on one line or several."""
        body = [rest]
        if closed := _MATH_CLOSE.match(rest):
            return self._take(1, "math", (closed[1],))
        for text in self._lines[self._at + 1 :]:
            if closed := _MATH_CLOSE.match(text):
                body.append(closed[1])
                return self._take(len(body), "math", tuple(body))
            body.append(text)
        return self._take(len(body), "math", tuple(body))

    def _chart(self, style: str) -> Block:
        """`chart: bar` and the `label: value` lines under it."""
        self._at += 1
        data = self._while(lambda text: bool(_DATA_LINE.match(text)) or _is_chart_option(text))
        self._at -= 1
        return self._take(len(data) + 1, "chart", (style, *data), "line")

    def _is_table(self) -> bool:
        here = self._lines[self._at]
        following = self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""
        return here.strip().startswith("|") or ("|" in here and bool(_TABLE_RULE.match(following)))

    def _list(self) -> Block:
        """Items and their continuation lines; a line that is indented belongs to the item above."""
        items: list[str] = []
        count = 0
        for text in self._lines[self._at :]:
            match = _ITEM.match(text)
            if match:
                items.append(f"{'  ' if len(match[1]) >= 2 else ''}{match[2].rstrip()}")
            elif text.startswith("  ") and text.strip() and items:
                items[-1] += f" {text.strip()}"
            else:
                break
            count += 1
        return self._take(count, "list", tuple(items))

    def _text(self) -> Block:
        """A paragraph: up to an empty line or the next block."""
        body = [self._lines[self._at]]
        for text in self._lines[self._at + 1 :]:
            starts = (_FENCE, _HEADING, _MATH_OPEN, _CHART_LINE, _PLOT_LINE, _RULE)
            if not text.strip() or any(start.match(text) for start in starts):
                break
            if _ITEM.match(text) or text.strip().startswith("|"):
                break
            body.append(text)
        return self._take(len(body), "text", tuple(text.strip() for text in body))


def _is_chart_option(text: str) -> bool:
    return bool(re.match(r"\s*(?:unit|series)\s*:", text, re.IGNORECASE))
