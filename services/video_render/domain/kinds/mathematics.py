"""Kinds of scenes that are made of formulas and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.video_render.domain import checks
from services.video_render.domain.checks import Interval
from services.video_render.domain.violations import Violation

MAX_STEPS = 8
MAX_SIDE = 8
MAX_ENTRY = 40
MAX_BESIDE = 80
MAX_MARKED_ENTRIES = 16
MAX_POINTS = 12
MAX_INTERVALS = 4
MAX_JUMPS = 8
MAX_TICKS = 40


@dataclass(frozen=True, slots=True)
class Equation:
    """One displayed formula with an optional caption under it."""

    math: str
    caption: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.math(self.math, f"{path}.math")
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)


class DerivationStyle(StrEnum):
    """How a line comes out of the one above: its common terms move, or it is revealed as a whole."""

    MOVE = "move"
    REVEAL = "reveal"


@dataclass(frozen=True, slots=True)
class DerivationStep:
    """One line of a derivation; `note` says why the step is allowed."""

    math: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Derivation:
    """Formulas that follow from one another, line by line."""

    steps: tuple[DerivationStep, ...]
    style: DerivationStyle = DerivationStyle.MOVE

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.steps, f"{path}.steps", MAX_STEPS)
        for index, step in enumerate(self.steps):
            yield from checks.math(step.math, f"{path}.steps[{index}].math")
            yield from checks.text(step.note, f"{path}.steps[{index}].note", checks.MAX_LABEL, required=False)


class MatrixBrackets(StrEnum):
    """What stands around a matrix; bars make it a determinant."""

    SQUARE = "square"
    ROUND = "round"
    BARS = "bars"


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """Mathematics, left to right."""

    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MatrixEntry:
    """Where an entry stands, counted from 1."""

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix, shown row by row, with mathematics before and after it."""

    rows: tuple[MatrixRow, ...]
    before: str = ""
    after: str = ""
    brackets: MatrixBrackets = MatrixBrackets.SQUARE
    highlights: tuple[MatrixEntry, ...] = ()
    caption: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.rows, f"{path}.rows", MAX_SIDE)
        width = len(self.rows[0].entries) if self.rows else 0
        for index, row in enumerate(self.rows):
            where = f"{path}.rows[{index}].entries"
            yield from checks.count(row.entries, where, MAX_SIDE)
            if len(row.entries) != width:
                yield Violation(where, f"must have {width} entries like the first row, has {len(row.entries)}")
            for at, entry in enumerate(row.entries):
                yield from checks.math(entry, f"{where}[{at}]", MAX_ENTRY)
                if "&" in entry:
                    yield Violation(f"{where}[{at}]", "must not hold '&'")
        yield from checks.math(self.before, f"{path}.before", MAX_BESIDE, required=False)
        yield from checks.math(self.after, f"{path}.after", MAX_BESIDE, required=False)
        yield from checks.count(self.highlights, f"{path}.highlights", MAX_MARKED_ENTRIES, least=0)
        for index, place in enumerate(self.highlights):
            if not 1 <= place.row <= len(self.rows):
                yield Violation(f"{path}.highlights[{index}].row", f"must be between 1 and {len(self.rows)}")
            if not 1 <= place.column <= width:
                yield Violation(f"{path}.highlights[{index}].column", f"must be between 1 and {width}")
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)


@dataclass(frozen=True, slots=True)
class NumberLinePoint:
    """A marked number; its value is its name when `label` is empty."""

    value: float = 0.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class NumberLineInterval:
    """A marked interval; an open end is left out."""

    range: Interval
    open_min: bool = False
    open_max: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class NumberLineJump:
    """An arc from one number to another."""

    start: float = 0.0
    end: float = 0.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class NumberLine:
    """Numbers, intervals and jumps on a line; `step` 0 leaves the ticks to the renderer."""

    range: Interval
    step: float = 0.0
    points: tuple[NumberLinePoint, ...] = ()
    intervals: tuple[NumberLineInterval, ...] = ()
    jumps: tuple[NumberLineJump, ...] = ()
    caption: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.interval(self.range, f"{path}.range")
        if self.step < 0 or (self.step and (self.range.max - self.range.min) / self.step > MAX_TICKS):
            yield Violation(f"{path}.step", f"must be 0, or leave at most {MAX_TICKS} ticks")
        short = checks.MAX_SHORT_LABEL
        yield from checks.count(self.points, f"{path}.points", MAX_POINTS, least=0)
        for index, point in enumerate(self.points):
            yield from checks.inside(point.value, self.range, f"{path}.points[{index}].value")
            yield from checks.text(point.label, f"{path}.points[{index}].label", short, required=False)
        yield from checks.count(self.intervals, f"{path}.intervals", MAX_INTERVALS, least=0)
        for index, part in enumerate(self.intervals):
            yield from checks.within(part.range, self.range, f"{path}.intervals[{index}].range")
            yield from checks.text(part.label, f"{path}.intervals[{index}].label", short, required=False)
        yield from checks.count(self.jumps, f"{path}.jumps", MAX_JUMPS, least=0)
        for index, jump in enumerate(self.jumps):
            where = f"{path}.jumps[{index}]"
            yield from checks.inside(jump.start, self.range, f"{where}.start")
            yield from checks.inside(jump.end, self.range, f"{where}.end")
            if jump.start == jump.end:
                yield Violation(f"{where}.end", "must differ from start")
            yield from checks.text(jump.label, f"{where}.label", short, required=False)
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)
