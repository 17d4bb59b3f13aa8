"""Blocks that carry data: plots, charts, tables, mathematics, scenes. Each becomes scene content or a `BlockError`."""

from __future__ import annotations

import json
import re
from functools import partial

from services.video_render.application.planning.blocks import Block
from services.video_render.domain import checks, expression, mathtext
from services.video_render.domain import storyboard as model
from services.video_render.domain.kinds import charts, plots
from services.video_render.domain.violations import StoryboardInvalid

_NUMBER = r"[-+\u2212]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?(?:\s*\*?\s*(?:pi|\u03c0))?|[-+\u2212]?(?:pi|\u03c0)"
_RANGE = re.compile(
    rf"\s*(?:for\s+)?([xy])\s*(?:from|:|=|in|\u2208)\s*\[?\s*({_NUMBER})\s*(?:to|\.\.\.?|,|;|\u2026)\s*({_NUMBER})\s*\]?\s*",
    re.IGNORECASE,
)
_NOTE = re.compile(r"\s+(?:#|//|%)\s*(.+)\Z")
_RELATION = re.compile(r"(?<![<>=!:])(=|<=|>=|<|>|\\(?:leq?|geq?|neq?|approx|equiv|Rightarrow|implies|iff|to)\b)(?!=)")
_CHART_VALUE = re.compile(r"\s*([-+\u2212]?[\d_,]*\.?\d+(?:e[-+]?\d+)?)\s*(\S*)\s*\Z", re.IGNORECASE)


class BlockError(ValueError):
    """A block says something that cannot be shown; `line` is where (from 1)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def plot(block: Block) -> model.FunctionPlot:
    """Functions, ranges and a caption; raises `BlockError` naming the line."""
    ranges: dict[str, model.Interval] = {}
    functions: list[model.PlotFunction] = []
    caption = ""
    for offset, text in enumerate(block.lines):
        line = block.line + offset + (0 if block.info == "line" else 1)
        if match := re.match(r"\s*caption\s*:\s*(.+)", text, re.IGNORECASE):
            caption = match[1].strip()
            continue
        rest = _RANGE.sub(partial(_note_range, ranges, line), text).strip(" ,;")
        functions += [_function(part, line) for part in _split_functions(rest)]
    if not functions:
        raise BlockError(block.line, "plot: names no function of x")
    if len(functions) > plots.MAX_FUNCTIONS:
        raise BlockError(block.line, f"plot: has more than {plots.MAX_FUNCTIONS} functions")
    x = ranges.get("x", model.Interval(-5.0, 5.0))
    return model.FunctionPlot(tuple(functions), x, ranges.get("y"), caption)


def _note_range(ranges: dict[str, model.Interval], line: int, match: re.Match[str]) -> str:
    low, high = (_value(match[group]) for group in (2, 3))
    if not low < high:
        raise BlockError(line, f"plot: the range of {match[1]} must go from a smaller to a greater number")
    ranges[match[1].lower()] = model.Interval(low, high)
    return ","


def _value(text: str) -> float:
    return expression.evaluate(expression.parse(text), 0.0)


def _split_functions(text: str) -> list[str]:
    """Parts at top-level commas and semicolons: `sin(x), max(x, 0)` are two."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char in ",;" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def _function(text: str, line: int) -> model.PlotFunction:
    source, _, label = text.partition(" as ")
    try:
        expression.parse(source)
    except expression.ExpressionError as error:
        raise BlockError(line, f"plot: '{source.strip()}': {error}") from error
    return model.PlotFunction(source.strip(), label.strip().strip('"'))


def chart(block: Block) -> model.DataChart:
    """`bar` or `line`, then `label: value` lines, optional `unit:` and `series:` lines."""
    first, *data = block.lines or ("",)
    style = first.strip().lower()
    if style not in tuple(model.ChartStyle):
        styles = ", ".join(model.ChartStyle)
        raise BlockError(block.line, f"chart: '{style}' is not a style of chart; there are {styles}")
    unit, names = "", list[str]()
    rows: list[tuple[str, list[float]]] = []
    for offset, text in enumerate(data, start=1):
        if not text.strip():
            continue
        line = block.line + offset + (0 if block.info == "line" else 1)
        name, _, rest = text.rpartition(":")
        if name.strip().lower() == "unit":
            unit = rest.strip()
        elif name.strip().lower() == "series":
            names = [part.strip() for part in rest.split(",")]
        else:
            values, found = _values(rest, line)
            rows.append((name.strip(), values))
            unit = unit or found
    return _data_chart(model.ChartStyle(style), rows, names, unit, block.line)


def _values(text: str, line: int) -> tuple[list[float], str]:
    values: list[float] = []
    unit = ""
    for part in re.split(r"[;|]|,\s+", text):
        match = _CHART_VALUE.match(part)
        if match is None:
            raise BlockError(line, f"chart: '{part.strip()}' is not a number")
        values.append(float(match[1].replace(",", "").replace("_", "").replace("\u2212", "-")))
        unit = unit or match[2]
    return values, unit


def _data_chart(
    style: model.ChartStyle, rows: list[tuple[str, list[float]]], names: list[str], unit: str, line: int
) -> model.DataChart:
    if not rows:
        raise BlockError(line, "chart: holds no 'label: value' lines")
    count = len(rows[0][1])
    for name, values in rows:
        if len(values) != count:
            raise BlockError(line, f"chart: '{name}' has {len(values)} values where '{rows[0][0]}' has {count}")
    names = names[:count] + [f"Series {number}" if count > 1 else "" for number in range(len(names) + 1, count + 1)]
    series = [model.ChartSeries(tuple(values[at] for _, values in rows), names[at]) for at in range(count)]
    return model.DataChart(style, tuple(name or "-" for name, _ in rows), tuple(series), unit)


def table(block: Block) -> list[model.Table]:
    """A pipe table; short rows are filled, and more rows than one scene holds go to further tables."""
    rows = [_cells(text) for text in block.lines if not re.fullmatch(r"[\s|:-]+", text)]
    if len(rows) < 2:
        return []
    columns = max(len(row) for row in rows)
    if columns > charts.MAX_COLUMNS:
        raise BlockError(block.line, f"table: has {columns} columns, at most {charts.MAX_COLUMNS} can be shown")
    header, *body = [tuple(row + [""] * (columns - len(row))) for row in rows]
    per_scene = -(-len(body) // -(-len(body) // 7))
    groups = [body[start : start + per_scene] for start in range(0, len(body), per_scene)]
    return [model.Table(header, tuple(model.TableRow(row) for row in group)) for group in groups]


def _cells(text: str) -> list[str]:
    inner = text.strip().removeprefix("|").removesuffix("|")
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", inner)]


def mathematics(block: Block) -> list[model.Equation | model.Derivation]:
    """One formula, or a derivation when there are several lines; long derivations continue in further ones."""
    source = "\n".join(block.lines)
    source = re.sub(r"\\(?:begin|end)\{[a-z]+\*?\}", "", source)
    lines = [line.strip() for line in re.split(r"\n|\\\\(?![A-Za-z])", source) if line.strip()]
    if not lines:
        raise BlockError(block.line, "equation: is empty")
    steps = [_step(line, block.line, aligned=len(lines) > 1) for line in lines]
    if len(steps) == 1:
        return [model.Equation(steps[0].math, steps[0].note)]
    groups = [steps[start : start + 6] for start in range(0, len(steps), 6)]
    return [model.Derivation(tuple(group)) for group in groups]


def _step(text: str, line: int, aligned: bool) -> model.DerivationStep:
    note = ""
    if match := _NOTE.search(text):
        text, note = text[: match.start()], match[1].strip()
    if aligned and "&" not in text:
        text = _RELATION.sub(r"&\1", text, count=1)
    math = mathtext.normalise(text)
    problem = mathtext.problem(math)
    if problem:
        raise BlockError(line, f"equation: '{text.strip()}' {problem}")
    return model.DerivationStep(math, note[: checks.MAX_LABEL])


def scene(block: Block) -> model.Content:
    """Scene content of any kind as JSON, such as `{"geometry": {…}}`; raises `BlockError` naming line and field."""
    try:
        # Numbers of more digits than a float holds are read as floats: the storyboard's rules then refuse them.
        value = json.loads("\n".join(block.lines), parse_int=lambda text: int(text) if len(text) < 16 else float(text))
    except json.JSONDecodeError as error:
        raise BlockError(block.line + error.lineno, f"scene: is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise BlockError(block.line, "scene: is not JSON: nests too deep") from error
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in model.KINDS:
        kinds = ", ".join(model.KINDS)
        raise BlockError(block.line, f"scene: must be an object with one field, the kind; kinds are {kinds}")
    try:
        board = model.Storyboard.from_dict({"title": "-", "scenes": [{"id": "s", **value}]})
    except StoryboardInvalid as error:
        found = error.violations[0]
        raise BlockError(block.line, f"scene: {found.field.removeprefix('scenes[0].')}: {found.message}") from error
    return board.scenes[0].content
