"""Kinds of scenes that show data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.video_render.domain import checks
from services.video_render.domain.violations import Violation

MAX_COLUMNS = 6
MAX_ROWS = 12
MAX_CELL = 120
MAX_CATEGORIES = 16
MAX_SERIES = 4
MAX_POINTS = 100


@dataclass(frozen=True, slots=True)
class TableRow:
    """The cells of one row, left to right."""

    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows of as many cells as the header has."""

    header: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.header, f"{path}.header", MAX_COLUMNS)
        yield from checks.count(self.rows, f"{path}.rows", MAX_ROWS)
        for index, cell in enumerate(self.header):
            yield from checks.text(cell, f"{path}.header[{index}]", MAX_CELL, required=False)
        for row_index, row in enumerate(self.rows):
            where = f"{path}.rows[{row_index}].cells"
            if len(row.cells) != len(self.header):
                yield Violation(where, f"must have {len(self.header)} cells like the header, has {len(row.cells)}")
            for index, cell in enumerate(row.cells):
                yield from checks.text(cell, f"{where}[{index}]", MAX_CELL, required=False)


class ChartStyle(StrEnum):
    """How a `DataChart` draws its series."""

    BAR = "bar"
    LINE = "line"
    PIE = "pie"


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """One value per category."""

    values: tuple[float, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class DataChart:
    """Bars or lines of one or more series over shared categories, or a pie of one series."""

    style: ChartStyle
    categories: tuple[str, ...]
    series: tuple[ChartSeries, ...]
    unit: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.categories, f"{path}.categories", MAX_CATEGORIES)
        yield from checks.count(self.series, f"{path}.series", 1 if self.style is ChartStyle.PIE else MAX_SERIES)
        for index, name in enumerate(self.categories):
            yield from checks.text(name, f"{path}.categories[{index}]", checks.MAX_LABEL)
        for index, series in enumerate(self.series):
            where = f"{path}.series[{index}]"
            yield from checks.text(series.name, f"{where}.name", checks.MAX_LABEL, required=False)
            if len(series.values) != len(self.categories):
                expected = len(self.categories)
                yield Violation(f"{where}.values", f"must have one value per category ({expected})")
            if not all(abs(value) <= checks.MAX_MAGNITUDE for value in series.values):
                yield Violation(f"{where}.values", f"must stay within ±{checks.MAX_MAGNITUDE:g}")
            if self.style is ChartStyle.PIE and (min(series.values, default=0) < 0 or sum(series.values) <= 0):
                yield Violation(f"{where}.values", "must not be negative, nor all 0, in a pie")
        yield from checks.text(self.unit, f"{path}.unit", checks.MAX_LABEL, required=False)


@dataclass(frozen=True, slots=True)
class ScatterPoint:
    """A point; `size` is the third variable, shown as an area."""

    x: float = 0.0
    y: float = 0.0
    size: float = 0.0


@dataclass(frozen=True, slots=True)
class ScatterSeries:
    """Points of one colour."""

    points: tuple[ScatterPoint, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class ScatterChart:
    """Points by two or three variables; `trend` fits a straight line to each series (least squares)."""

    series: tuple[ScatterSeries, ...]
    x_label: str = ""
    y_label: str = ""
    size_label: str = ""
    trend: bool = False
    caption: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.series, f"{path}.series", MAX_SERIES)
        for index, series in enumerate(self.series):
            where = f"{path}.series[{index}]"
            yield from checks.text(series.name, f"{where}.name", checks.MAX_LABEL, required=False)
            yield from checks.count(series.points, f"{where}.points", MAX_POINTS)
            for at, point in enumerate(series.points):
                yield from checks.number(point.x, f"{where}.points[{at}].x")
                yield from checks.number(point.y, f"{where}.points[{at}].y")
                if not 0 <= point.size <= checks.MAX_MAGNITUDE:
                    yield Violation(f"{where}.points[{at}].size", f"must be between 0 and {checks.MAX_MAGNITUDE:g}")
        for name in ("x_label", "y_label", "size_label"):
            yield from checks.text(getattr(self, name), f"{path}.{name}", checks.MAX_LABEL, required=False)
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)
