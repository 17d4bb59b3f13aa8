"""Kinds of scenes that are made of words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.video_render.domain import checks
from services.video_render.domain.violations import Violation

MAX_TITLE = 500
MAX_TEXT = 2000
MAX_ITEM = 300
MAX_ITEMS = 12
MAX_QUOTE = 600
MAX_NAME = 120
MAX_SIDE_ITEM = 200
MAX_SIDE_ITEMS = 8
MAX_EVENTS = 10
MAX_EVENT_TEXT = 160
MAX_CODE_LINES = 30
MAX_CODE_COLUMNS = 160
MAX_HIGHLIGHTS = 8

_CODE_LANGUAGE = re.compile(r"[A-Za-z0-9+#._-]{0,32}\Z")


@dataclass(frozen=True, slots=True)
class TitleCard:
    """The opening: a large title and an optional line under it."""

    text: str
    subtitle: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.text(self.text, f"{path}.text", MAX_TITLE)
        yield from checks.text(self.subtitle, f"{path}.subtitle", MAX_TITLE, required=False)


@dataclass(frozen=True, slots=True)
class Section:
    """The card between two parts; `number` such as "2" or "Part II" stands over it."""

    text: str
    number: str = ""
    subtitle: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.text(self.text, f"{path}.text", MAX_ITEM)
        yield from checks.text(self.number, f"{path}.number", 20, required=False)
        yield from checks.text(self.subtitle, f"{path}.subtitle", MAX_ITEM, required=False)


@dataclass(frozen=True, slots=True)
class BulletItem:
    """One bullet; `level` 0 is the outer list, 1 is indented once."""

    text: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list, shown item by item."""

    items: tuple[BulletItem, ...]

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.items, f"{path}.items", MAX_ITEMS)
        for index, item in enumerate(self.items):
            yield from checks.text(item.text, f"{path}.items[{index}].text", MAX_ITEM)
            if item.level not in (0, 1):
                yield Violation(f"{path}.items[{index}].level", "must be 0 or 1")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.text(self.text, f"{path}.text", MAX_TEXT)


@dataclass(frozen=True, slots=True)
class Quote:
    """Somebody's words, without quotation marks."""

    text: str
    author: str = ""
    source: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.text(self.text, f"{path}.text", MAX_QUOTE)
        yield from checks.text(self.author, f"{path}.author", MAX_NAME, required=False)
        yield from checks.text(self.source, f"{path}.source", MAX_NAME, required=False)


@dataclass(frozen=True, slots=True)
class CompareSide:
    """One column of a comparison."""

    title: str
    items: tuple[str, ...]

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.text(self.title, f"{path}.title", checks.MAX_LABEL)
        yield from checks.count(self.items, f"{path}.items", MAX_SIDE_ITEMS)
        for index, item in enumerate(self.items):
            yield from checks.text(item, f"{path}.items[{index}]", MAX_SIDE_ITEM)


@dataclass(frozen=True, slots=True)
class Compare:
    """Two columns side by side, and what follows from it."""

    left: CompareSide
    right: CompareSide
    verdict: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from self.left.violations(f"{path}.left")
        yield from self.right.violations(f"{path}.right")
        yield from checks.text(self.verdict, f"{path}.verdict", MAX_ITEM, required=False)


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """What happened, and when (in words or figures)."""

    when: str
    title: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events in the order of time."""

    events: tuple[TimelineEvent, ...]

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.events, f"{path}.events", MAX_EVENTS)
        for index, event in enumerate(self.events):
            where = f"{path}.events[{index}]"
            yield from checks.text(event.when, f"{where}.when", checks.MAX_SHORT_LABEL)
            yield from checks.text(event.title, f"{where}.title", checks.MAX_LABEL)
            yield from checks.text(event.text, f"{where}.text", MAX_EVENT_TEXT, required=False)


@dataclass(frozen=True, slots=True)
class CodeHighlight:
    """Lines that are pointed at, counted from 1; `last_line` 0 stands for the first."""

    first_line: int
    last_line: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """Source text with syntax colours; an unknown `language` is shown plain."""

    lines: tuple[str, ...]
    language: str = ""
    highlights: tuple[CodeHighlight, ...] = ()

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.lines, f"{path}.lines", MAX_CODE_LINES)
        if not any(line.strip() for line in self.lines):
            yield Violation(f"{path}.lines", "must hold some text")
        for index, line in enumerate(self.lines):
            yield from checks.text(line, f"{path}.lines[{index}]", MAX_CODE_COLUMNS, required=False)
            if "\n" in line:
                yield Violation(f"{path}.lines[{index}]", "must be one line")
        if not _CODE_LANGUAGE.match(self.language):
            yield Violation(f"{path}.language", "must be a short language name such as 'python'")
        yield from checks.count(self.highlights, f"{path}.highlights", MAX_HIGHLIGHTS, least=0)
        for index, highlight in enumerate(self.highlights):
            where = f"{path}.highlights[{index}]"
            if not 1 <= highlight.first_line <= len(self.lines):
                yield Violation(f"{where}.first_line", f"must be between 1 and {len(self.lines)}")
            if highlight.last_line and not highlight.first_line <= highlight.last_line <= len(self.lines):
                yield Violation(f"{where}.last_line", f"must be between first_line and {len(self.lines)}")
            yield from checks.text(highlight.note, f"{where}.note", MAX_EVENT_TEXT, required=False)


@dataclass(frozen=True, slots=True)
class Recap:
    """What to remember: the closing list."""

    items: tuple[str, ...]

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.items, f"{path}.items", MAX_ITEMS)
        for index, item in enumerate(self.items):
            yield from checks.text(item, f"{path}.items[{index}]", MAX_ITEM)
