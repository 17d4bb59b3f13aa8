"""Typst markup to outlines, in process: one compiler, fonts from a package, no files and no system libraries.

Typst answers with a small, regular SVG (glyphs as symbols, shapes as paths), which is read here into cubic Bézier
curves. Texts therefore look the same on every machine, and a compile takes about a millisecond.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import typst

from services.video_render.adapters.manim import fonts
from services.video_render.adapters.manim.writing import ENGLISH, Writing, has_right_to_left

POINTS_PER_UNIT = 100.0
"""Typst points for one scene unit: Typst rounds outlines to 1/100 point, which is far below a pixel here."""

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_PATH_TOKEN = re.compile(r"[MmLlHhVvCcQqZz]|-?\d*\.?\d+(?:e-?\d+)?")

Points = np.ndarray[Any, np.dtype[np.float64]]
"""Cubic curves as Manim keeps them: rows of x, y, z; four rows per curve."""


class SceneUndrawable(Exception):
    """The scene's content cannot be drawn, and never can; `code` says why to a program."""

    code = "TYPESETTING_FAILED"


class TypesettingFailed(SceneUndrawable):
    """Typst refused the markup; the same markup always fails."""


@dataclass(frozen=True, slots=True)
class Outline:
    """One glyph or shape in scene units, y up, the page's top left corner at the origin."""

    points: Points
    fill: str | None
    stroke: str | None
    stroke_width: float
    label: str


class Page:
    """A compiled piece of markup. Its size is known at once, its outlines are read when they are asked for."""

    def __init__(self, svg: str, missing_boxes: frozenset[str], whole: bool = False) -> None:
        """With `whole`, marks that stand out above and below (they may be piled up) are part of the height."""
        self._svg = svg
        self._drop = 0.0
        self._missing_boxes = missing_boxes
        match = _VIEW_BOX.search(svg)
        assert match is not None, "Typst writes a viewBox"
        self.width = float(match[1]) / POINTS_PER_UNIT
        """Width of the page in scene units."""
        self.height = float(match[2]) / POINTS_PER_UNIT
        """Height of the page in scene units, from the first ascender to the last descender."""
        if whole:
            self._take_in_marks()

    def _take_in_marks(self) -> None:
        drawn = self._read()
        above = max((float(outline.points[:, 1].max()) for outline in drawn), default=0.0)
        below = -self.height - min((float(outline.points[:, 1].min()) for outline in drawn), default=0.0)
        self._drop = max(above, 0.0)
        self.height += self._drop + max(below, 0.0)

    @cached_property
    def outlines(self) -> tuple[Outline, ...]:
        """Glyphs and shapes in drawing order."""
        drawn = self._read()
        if self._drop:
            for outline in drawn:
                outline.points[:, 1] -= self._drop
        return drawn

    def _read(self) -> tuple[Outline, ...]:
        root = ET.fromstring(self._svg)  # noqa: S314 - Typst wrote it a moment ago
        symbols = {node.get("id", ""): node[0].get("d", "") for node in root.iter(f"{_SVG}symbol") if len(node)}
        found: list[Outline] = []
        _collect(root, np.eye(3), "", symbols, found)
        return tuple(found)

    @cached_property
    def ink_width(self) -> float:
        """How far the drawing reaches to the right, at least from the page's left edge: a word that cannot be
        broken sticks out of its page."""
        if not self.outlines:
            return 0.0
        left = min(float(outline.points[:, 0].min()) for outline in self.outlines)
        return max(float(outline.points[:, 0].max()) for outline in self.outlines) - min(left, 0.0)

    @property
    def missing_glyphs(self) -> bool:
        """Whether a character is shown as an empty box because no font has it."""
        return bool(self._missing_boxes) and any(name in self._svg for name in self._missing_boxes)


@lru_cache(maxsize=1)
def _compiler() -> typst.Compiler:
    """One compiler per process; building it reads the font files (some milliseconds).

    Fonts of the system are left out: a video must look the same wherever it is rendered.
    """
    try:
        folders = fonts.folders()
    except fonts.FontsMissing as error:
        raise TypesettingFailed(str(error)) from error
    found = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=folders)
    # The root is a folder of fonts: markup could read nothing else even if a rule let it try.
    return typst.Compiler(root=folders[0], font_paths=found, ignore_system_fonts=True)


def compile_page(
    markup: str, *, size: float, color: str, width: float | None = None, writing: Writing = ENGLISH
) -> Page:
    """Typeset trusted markup at an em of `size` units, wrapped at `width` units; raises `TypesettingFailed`."""
    return _compile(markup, round(size, 4), color, None if width is None else round(width, 4), writing)


@lru_cache(maxsize=512)
def _compile(markup: str, size: float, color: str, width: float | None, writing: Writing) -> Page:
    boxes = frozenset[str]() if markup.isascii() else _missing_glyphs(size)
    right_to_left = writing.right_to_left and has_right_to_left(markup)
    return Page(_to_svg(f"{_preamble(size, color, width, writing, right_to_left)}{markup}"), boxes, writing.tall)


def _to_svg(source: str) -> str:
    try:
        svg = _compiler().compile(input=source.encode(), format="svg")
    except typst.TypstError as error:
        raise TypesettingFailed(str(error).strip()) from error
    if isinstance(svg, list):
        raise TypesettingFailed("the markup does not fit on one page")
    assert svg is not None
    return svg.decode()


def _preamble(size: float, color: str, width: float | None, writing: Writing, right_to_left: bool) -> str:
    """Page, fonts and spacing. Texts without a right-to-left letter run left to right even where lines begin right."""
    page_width = "auto" if width is None else f"{width * POINTS_PER_UNIT:.2f}pt"
    region = f'"{writing.region}"' if writing.region else "none"
    return (
        f"#set page(width: {page_width}, height: auto, margin: 0pt, fill: none)\n"
        f'#set text(font: {fonts.typst(fonts.TEXT)}, size: {size * POINTS_PER_UNIT:.2f}pt, fill: rgb("{color}"),'
        f' lang: "{writing.language}", region: {region}, dir: {"rtl" if right_to_left else "ltr"},'
        # Not the fonts' own metrics: a line is as high in every script that a scene mixes.
        f" top-edge: {writing.ascent}em, bottom-edge: -{writing.descent}em, hyphenate: auto, overhang: false,"
        " costs: (runt: 600%))\n"  # a single word in the last line is worth some ragged lines
        f'#show math.equation: set text(font: {fonts.typst(fonts.MATH)}, top-edge: "bounds", bottom-edge: "bounds")\n'
        f"#show raw: set text(font: {fonts.typst(fonts.CODE)}, dir: ltr)\n"
        "#set raw(align: left)\n"
        '#set par(leading: 0.32em, spacing: 0.9em, linebreaks: "optimized")\n'
        + ("#set align(right)\n" if writing.right_to_left else "")
    )


@lru_cache(maxsize=64)
def _missing_glyphs(size: float) -> frozenset[str]:
    """Ids of the boxes that stand for a character no font has (U+10FFFD is never assigned)."""
    box = "\U0010fffd"
    source = f'{box} #strong[{box}] #emph[{box}] #raw("{box}") ${box}$'
    svg = _to_svg(f"{_preamble(size, '#000000', None, ENGLISH, False)}{source}")
    return frozenset(re.findall(r'href="#(g[0-9A-F]+)"', svg))


def _collect(
    node: ET.Element,
    matrix: Points,
    label: str,
    symbols: dict[str, str],
    out: list[Outline],
) -> None:
    """Walk the drawing in order, flattening transforms."""
    for child in node:
        tag = child.tag.removeprefix(_SVG)
        if tag == "g":
            inner = matrix @ _transform(child.get("transform"))
            _collect(child, inner, child.get("data-typst-label", label), symbols, out)
        elif tag == "use":
            name = child.get(_HREF, "").removeprefix("#")
            offset = np.array([[1, 0, float(child.get("x", 0))], [0, 1, float(child.get("y", 0))], [0, 0, 1]])
            _append(out, symbols.get(name, ""), matrix @ offset, child, label)
        elif tag == "path":
            _append(out, child.get("d", ""), matrix @ _transform(child.get("transform")), child, label)


def _append(out: list[Outline], path: str, matrix: Points, node: ET.Element, label: str) -> None:
    curves = _curves(path)
    if not len(curves):
        return
    flat = curves @ matrix[:2, :2].T + matrix[:2, 2]
    points = np.zeros((len(flat), 3))
    points[:, :2] = flat * (1 / POINTS_PER_UNIT, -1 / POINTS_PER_UNIT)
    fill, stroke = node.get("fill", "none"), node.get("stroke", "none")
    out.append(
        Outline(
            points=points,
            fill=None if fill == "none" else fill,
            stroke=None if stroke == "none" else stroke,
            stroke_width=float(node.get("stroke-width", 0)) / POINTS_PER_UNIT,
            label=label,
        )
    )


def _transform(text: str | None) -> Points:
    """The 3x3 matrix of `matrix(…)`, `translate(…)` or `scale(…)`, the forms Typst writes."""
    result = np.eye(3)
    if not text:
        return result
    for name, args in re.findall(r"(\w+)\(([^)]*)\)", text):
        values = [float(value) for value in re.split(r"[ ,]+", args.strip())]
        step = np.eye(3)
        if name == "matrix":
            step[0], step[1] = values[0::2], values[1::2]
        elif name == "translate":
            step[0, 2], step[1, 2] = values[0], values[1] if len(values) > 1 else 0.0
        elif name == "scale":
            step[0, 0], step[1, 1] = values[0], values[-1]
        elif name == "rotate":
            cos, sin = np.cos(np.radians(values[0])), np.sin(np.radians(values[0]))
            step[:2, :2] = [[cos, -sin], [sin, cos]]
        result = result @ step
    return result


@lru_cache(maxsize=4096)
def _curves(path: str) -> Points:
    """SVG path data as cubic curves: an array of (x, y), four per curve, closed where the path closes."""
    tokens = _PATH_TOKEN.findall(path)
    pen = _Pen()
    position, command = 0, "M"
    arity = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "Q": 4, "Z": 0}
    while position < len(tokens):
        if tokens[position].isalpha():
            command = tokens[position]
            position += 1
        count = arity[command.upper()]
        pen.step(command, [float(value) for value in tokens[position : position + count]])
        position += count
        if command in "Mm":
            command = "L" if command == "M" else "l"
    return np.array(pen.points, dtype=np.float64).reshape(-1, 2)


class _Pen:
    """Follows path commands and notes cubic curves."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self._at = self._start = (0.0, 0.0)

    def step(self, command: str, values: list[float]) -> None:
        """One command with its numbers; lower case is relative to the pen."""
        name = command.upper()
        dx, dy = self._at if command.islower() else (0.0, 0.0)
        ends = [(values[i] + dx, values[i + 1] + dy) for i in range(0, len(values) - 1, 2)]
        if name == "Z":
            if self._at != self._start:
                self._line(self._start)
        elif name == "H":
            self._line((values[0] + dx, self._at[1]))
        elif name == "V":
            self._line((self._at[0], values[0] + dy))
        elif name == "M":
            self._at = self._start = ends[0]
        elif name == "L":
            self._line(ends[0])
        elif name == "Q":
            (ax, ay), (cx, cy), (bx, by) = self._at, ends[0], ends[1]
            first = (ax + (cx - ax) * 2 / 3, ay + (cy - ay) * 2 / 3)
            self._curve(first, (bx + (cx - bx) * 2 / 3, by + (cy - by) * 2 / 3), ends[1])
        else:
            self._curve(*ends)

    def _line(self, end: tuple[float, float]) -> None:
        (ax, ay), (bx, by) = self._at, end
        first = (ax + (bx - ax) / 3, ay + (by - ay) / 3)
        self._curve(first, (ax + (bx - ax) * 2 / 3, ay + (by - ay) * 2 / 3), end)

    def _curve(self, first: tuple[float, float], second: tuple[float, float], end: tuple[float, float]) -> None:
        self.points += [self._at, first, second, end]
        self._at = end
