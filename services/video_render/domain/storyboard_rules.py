"""What a storyboard may hold: sizes, ranges, mathematics that parses. Rules only, no drawing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from services.video_render.domain import expression, mathtext
from services.video_render.domain.violations import Violation

if TYPE_CHECKING:
    from services.video_render.domain import storyboard as model

THEMES = ("dark", "light")
MAX_SCENES = 60
MAX_SCENE_SECONDS = 120.0
MAX_TITLE = 500
MAX_HEADING = 120
MAX_TEXT = 2000
MAX_NARRATION = 4000
MAX_ITEM = 300
MAX_ITEMS = 12
MAX_STEPS = 8
MAX_FUNCTIONS = 4
MAX_COLUMNS = 6
MAX_ROWS = 12
MAX_CELL = 120
MAX_CODE_LINES = 30
MAX_CODE_COLUMNS = 160
MAX_CATEGORIES = 16
MAX_SERIES = 4
MAX_LABEL = 80
MAX_MAGNITUDE = 1e12

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z")
_SCENE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


def check(board: model.Storyboard) -> Iterator[Violation]:
    """Every broken rule of a storyboard, in reading order."""
    yield from _text(board.title, "title", MAX_TITLE)
    if not _LANGUAGE.match(board.language):
        yield Violation("language", "must be a BCP 47 tag such as 'en' or 'pt-BR'")
    if board.theme not in THEMES:
        yield Violation("theme", f"must be one of: {', '.join(THEMES)}")
    yield from _count(board.scenes, "scenes", MAX_SCENES)
    seen: set[str] = set()
    for index, scene in enumerate(board.scenes):
        path = f"scenes[{index}]"
        if scene.id in seen:
            yield Violation(f"{path}.id", f"'{scene.id}' is used twice")
        seen.add(scene.id)
        yield from _scene(scene, path)


def _scene(scene: model.Scene, path: str) -> Iterator[Violation]:
    if not _SCENE_ID.match(scene.id):
        yield Violation(f"{path}.id", "must be 1-64 letters, digits, '_' or '-', starting with a letter or digit")
    yield from _text(scene.heading, f"{path}.heading", MAX_HEADING, required=False)
    yield from _text(scene.narration, f"{path}.narration", MAX_NARRATION, required=False)
    if not 0.0 <= scene.duration_s <= MAX_SCENE_SECONDS:
        yield Violation(f"{path}.duration_s", f"must be between 0 and {MAX_SCENE_SECONDS:g} seconds")
    yield from _CHECKS[scene.kind](scene.content, f"{path}.{scene.kind}")


def _text(value: str, path: str, limit: int, required: bool = True) -> Iterator[Violation]:
    if required and not value.strip():
        yield Violation(path, "must not be empty")
    if len(value) > limit:
        yield Violation(path, f"must have at most {limit} characters, has {len(value)}")
    if any(ord(char) < 32 and char not in "\n\t" for char in value):
        yield Violation(path, "must not hold control characters")


def _count(items: tuple[Any, ...], path: str, limit: int) -> Iterator[Violation]:
    if not items:
        yield Violation(path, "must not be empty")
    if len(items) > limit:
        yield Violation(path, f"must have at most {limit} entries, has {len(items)}")


def _math(value: str, path: str) -> Iterator[Violation]:
    problem = mathtext.problem(value)
    if problem:
        yield Violation(path, problem)


def _title(content: model.TitleCard, path: str) -> Iterator[Violation]:
    yield from _text(content.text, f"{path}.text", MAX_TITLE)
    yield from _text(content.subtitle, f"{path}.subtitle", MAX_TITLE, required=False)


def _bullets(content: model.Bullets, path: str) -> Iterator[Violation]:
    yield from _count(content.items, f"{path}.items", MAX_ITEMS)
    for index, item in enumerate(content.items):
        yield from _text(item.text, f"{path}.items[{index}].text", MAX_ITEM)
        if item.level not in (0, 1):
            yield Violation(f"{path}.items[{index}].level", "must be 0 or 1")


def _paragraph(content: model.Paragraph, path: str) -> Iterator[Violation]:
    yield from _text(content.text, f"{path}.text", MAX_TEXT)


def _equation(content: model.Equation, path: str) -> Iterator[Violation]:
    yield from _math(content.math, f"{path}.math")
    yield from _text(content.caption, f"{path}.caption", MAX_ITEM, required=False)


def _derivation(content: model.Derivation, path: str) -> Iterator[Violation]:
    yield from _count(content.steps, f"{path}.steps", MAX_STEPS)
    for index, step in enumerate(content.steps):
        yield from _math(step.math, f"{path}.steps[{index}].math")
        yield from _text(step.note, f"{path}.steps[{index}].note", MAX_LABEL, required=False)


def _interval(value: model.Interval, path: str) -> Iterator[Violation]:
    if not abs(value.min) <= MAX_MAGNITUDE or not abs(value.max) <= MAX_MAGNITUDE:
        yield Violation(path, f"must stay within ±{MAX_MAGNITUDE:g}")
    elif not value.max - value.min > 1e-9 * max(abs(value.min), abs(value.max), 1e-3):
        yield Violation(path, "max must be greater than min")


def _function_plot(content: model.FunctionPlot, path: str) -> Iterator[Violation]:
    yield from _count(content.functions, f"{path}.functions", MAX_FUNCTIONS)
    for index, function in enumerate(content.functions):
        where = f"{path}.functions[{index}]"
        try:
            expression.parse(function.expression)
        except expression.ExpressionError as error:
            yield Violation(f"{where}.expression", str(error))
        yield from _text(function.label, f"{where}.label", MAX_LABEL, required=False)
    yield from _interval(content.x, f"{path}.x")
    if content.y is not None:
        yield from _interval(content.y, f"{path}.y")
    yield from _text(content.caption, f"{path}.caption", MAX_ITEM, required=False)


def _table(content: model.Table, path: str) -> Iterator[Violation]:
    yield from _count(content.header, f"{path}.header", MAX_COLUMNS)
    yield from _count(content.rows, f"{path}.rows", MAX_ROWS)
    for index, cell in enumerate(content.header):
        yield from _text(cell, f"{path}.header[{index}]", MAX_CELL, required=False)
    for row_index, row in enumerate(content.rows):
        where = f"{path}.rows[{row_index}].cells"
        if len(row.cells) != len(content.header):
            yield Violation(where, f"must have {len(content.header)} cells like the header, has {len(row.cells)}")
        for index, cell in enumerate(row.cells):
            yield from _text(cell, f"{where}[{index}]", MAX_CELL, required=False)


def _code(content: model.Code, path: str) -> Iterator[Violation]:
    yield from _count(content.lines, f"{path}.lines", MAX_CODE_LINES)
    if not any(line.strip() for line in content.lines):
        yield Violation(f"{path}.lines", "must hold some text")
    for index, line in enumerate(content.lines):
        yield from _text(line, f"{path}.lines[{index}]", MAX_CODE_COLUMNS, required=False)
        if "\n" in line:
            yield Violation(f"{path}.lines[{index}]", "must be one line")
    if not re.fullmatch(r"[A-Za-z0-9+#._-]{0,32}", content.language):
        yield Violation(f"{path}.language", "must be a short language name such as 'python'")


def _data_chart(content: model.DataChart, path: str) -> Iterator[Violation]:
    yield from _count(content.categories, f"{path}.categories", MAX_CATEGORIES)
    yield from _count(content.series, f"{path}.series", MAX_SERIES)
    for index, name in enumerate(content.categories):
        yield from _text(name, f"{path}.categories[{index}]", MAX_LABEL)
    for index, series in enumerate(content.series):
        where = f"{path}.series[{index}]"
        yield from _text(series.name, f"{where}.name", MAX_LABEL, required=False)
        if len(series.values) != len(content.categories):
            expected = len(content.categories)
            yield Violation(f"{where}.values", f"must have one value per category ({expected})")
        if not all(abs(value) <= MAX_MAGNITUDE for value in series.values):
            yield Violation(f"{where}.values", f"must stay within ±{MAX_MAGNITUDE:g}")
    yield from _text(content.unit, f"{path}.unit", MAX_LABEL, required=False)


def _recap(content: model.Recap, path: str) -> Iterator[Violation]:
    yield from _count(content.items, f"{path}.items", MAX_ITEMS)
    for index, item in enumerate(content.items):
        yield from _text(item, f"{path}.items[{index}]", MAX_ITEM)


_CHECKS: dict[str, Callable[[Any, str], Iterator[Violation]]] = {
    "title": _title,
    "bullets": _bullets,
    "paragraph": _paragraph,
    "equation": _equation,
    "derivation": _derivation,
    "function_plot": _function_plot,
    "table": _table,
    "code": _code,
    "data_chart": _data_chart,
    "recap": _recap,
}
