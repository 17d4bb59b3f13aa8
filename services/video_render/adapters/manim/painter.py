"""Draws vector mobjects and pictures with cairo: Manim's picture, without Manim's per-frame costs.

The path of a mobject is built once and kept while it only moves; what cannot be seen is skipped; and the rows that
were touched are known, so that the rest of a frame need not be restored or converted.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cairo
import numpy as np
from manim import ManimColor, VMobject
from manim.constants import CapStyleType, LineJointType

from services.video_render.adapters.manim.mobjects import Picture

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Points = np.ndarray[Any, Any]

_LINE_WIDTH_MULTIPLE = 0.01
_SAME = 1e-7
_JOINS = {
    LineJointType.AUTO: cairo.LineJoin.MITER,
    LineJointType.ROUND: cairo.LineJoin.ROUND,
    LineJointType.BEVEL: cairo.LineJoin.BEVEL,
    LineJointType.MITER: cairo.LineJoin.MITER,
}
_CAPS = {
    CapStyleType.AUTO: cairo.LineCap.BUTT,
    CapStyleType.ROUND: cairo.LineCap.ROUND,
    CapStyleType.BUTT: cairo.LineCap.BUTT,
    CapStyleType.SQUARE: cairo.LineCap.SQUARE,
}


Rows = tuple[int, int]
"""A band of pixel rows, from the first to the one after the last."""


class Canvas:
    """A frame in memory: BGRA pixels and a cairo context in scene units over the same bytes."""

    def __init__(self, width: int, height: int, frame_width: float, background: str) -> None:
        self.pixels: Pixels = np.zeros((height, width, 4), dtype=np.uint8)
        surface = cairo.ImageSurface.create_for_data(self.pixels.data, cairo.FORMAT_ARGB32, width, height, width * 4)
        self.context = cairo.Context(surface)
        self._unit = unit = width / frame_width
        self.context.set_matrix(cairo.Matrix(unit, 0, 0, -unit, width / 2, height / 2))
        red, green, blue = ManimColor(background).to_int_rgb()
        self._blank = int.from_bytes(bytes((blue, green, red, 255)), sys.byteorder)
        self.clear()

    def clear(self) -> None:
        """Fill with the background colour."""
        self.pixels.view(np.uint32)[:] = self._blank

    def restore(self, other: Canvas, rows: Rows) -> None:
        """Take over some rows of another canvas's picture."""
        self.pixels[rows[0] : rows[1]] = other.pixels[rows[0] : rows[1]]

    def rows(self, bottom: float, top: float) -> Rows:
        """The pixel rows between two heights in scene units, with a margin; none when they are not in order."""
        if not bottom <= top:
            return 0, 0
        height = len(self.pixels)
        first = math.floor(height / 2 - top * self._unit) - 2
        last = math.ceil(height / 2 - bottom * self._unit) + 2
        return min(max(first, 0), height), min(max(last, 0), height)


@dataclass(slots=True)
class _Traced:
    """A path that was built for these points; holds the mobject so that its id stays taken."""

    mobject: VMobject
    points: Points
    path: cairo.Path
    bottom: float
    top: float


class Painter:
    """Draws mobjects onto canvases and remembers their paths."""

    def __init__(self) -> None:
        self._traced: dict[int, _Traced] = {}

    def draw(self, canvas: Canvas, mobjects: Iterable[VMobject]) -> Rows:
        """Draw mobjects (already flattened to families, in z order); returns the rows they may have touched."""
        context = canvas.context
        bottom, top = math.inf, -math.inf
        for mobject in mobjects:
            if len(mobject.points) and _is_visible(mobject):
                low, high = self._draw_one(context, mobject)
                bottom, top = min(bottom, low), max(top, high)
        return canvas.rows(bottom, top)

    def forget(self) -> None:
        """Drop the kept paths (between animations, so that vanished mobjects are freed)."""
        self._traced.clear()

    def _draw_one(self, context: cairo.Context[Any], mobject: VMobject) -> tuple[float, float]:
        """Draw one mobject; returns its vertical extent in scene units, strokes included."""
        bottom, top = self._append_path(context, mobject)
        background_width = mobject.background_stroke_width
        if background_width:
            _stroke(context, mobject, background_width, mobject.background_stroke_rgbas)
        if isinstance(mobject, Picture):
            _paint_picture(context, mobject)
        elif _opaque(mobject.fill_rgbas):
            _set_source(context, mobject.fill_rgbas, mobject)
            context.fill_preserve()
        if mobject.stroke_width:
            _stroke(context, mobject, mobject.stroke_width, mobject.stroke_rgbas)
        # Mitred corners reach further than half a stroke: cairo's limit is ten times.
        reach = max(float(background_width), float(mobject.stroke_width)) * _LINE_WIDTH_MULTIPLE * 5
        return bottom - reach, top + reach

    def _append_path(self, context: cairo.Context[Any], mobject: VMobject) -> tuple[float, float]:
        """Make the mobject's outline the current path; built anew only when its shape has changed."""
        context.new_path()
        points = mobject.points
        kept = self._traced.get(id(mobject))
        if kept is not None and kept.points.shape == points.shape:
            offset = points[0] - kept.points[0]
            if np.abs(points - kept.points - offset).max() < _SAME:
                context.save()
                context.translate(float(offset[0]), float(offset[1]))
                context.append_path(kept.path)
                context.restore()
                return kept.bottom + float(offset[1]), kept.top + float(offset[1])
        _trace(context, mobject)
        bottom, top = float(points[:, 1].min()), float(points[:, 1].max())
        self._traced[id(mobject)] = _Traced(mobject, points.copy(), context.copy_path(), bottom, top)
        return bottom, top


def _is_visible(mobject: VMobject) -> bool:
    if _opaque(mobject.fill_rgbas):
        return True
    if mobject.stroke_width and _opaque(mobject.stroke_rgbas):
        return True
    return bool(mobject.background_stroke_width) and _opaque(mobject.background_stroke_rgbas)


def _opaque(rgbas: np.ndarray[Any, Any]) -> bool:
    return len(rgbas) > 0 and bool(rgbas[:, 3].any())


def _trace(context: cairo.Context[Any], mobject: VMobject) -> None:
    """Manim's cubic curves as a cairo path; closed where a subpath ends at its start."""
    points = mobject.points
    flat = points[:, :2].tolist()
    curve_to, move_to = context.curve_to, context.move_to
    for start, end in mobject.get_subpath_split_indices_from_points(points, n_dims=2):
        first = flat[start]
        move_to(first[0], first[1])
        for at in range(start + 1, end - 2, 4):
            (ax, ay), (bx, by), (cx, cy) = flat[at], flat[at + 1], flat[at + 2]
            curve_to(ax, ay, bx, by, cx, cy)
        last = flat[end - 1]
        if abs(first[0] - last[0]) < 1e-6 and abs(first[1] - last[1]) < 1e-6:
            context.close_path()


def _stroke(context: cairo.Context[Any], mobject: VMobject, width: float, rgbas: np.ndarray[Any, Any]) -> None:
    if not _opaque(rgbas):
        return
    _set_source(context, rgbas, mobject)
    context.set_line_width(width * _LINE_WIDTH_MULTIPLE)
    context.set_line_join(_JOINS[mobject.joint_type])
    context.set_line_cap(_CAPS[mobject.cap_style])
    context.stroke_preserve()


def _paint_picture(context: cairo.Context[Any], picture: Picture) -> None:
    """Stretch a picture's bitmap over its rectangle, whichever way that is moved, scaled or turned."""
    width, height = picture.bitmap.size
    surface = cairo.ImageSurface.create_for_data(
        picture.bitmap.pixels.data, cairo.FORMAT_ARGB32, width, height, width * 4
    )
    corners = picture.get_vertices()[:, :2].tolist()  # top right, top left, bottom left, bottom right
    (right_x, right_y), (left_x, left_y), (low_x, low_y) = corners[:3]
    if abs((right_x - left_x) * (low_y - left_y) - (right_y - left_y) * (low_x - left_x)) < _SAME:
        return  # it has grown from nothing, and not begun yet
    context.save()
    context.clip_preserve()
    context.transform(
        cairo.Matrix(
            (right_x - left_x) / width,
            (right_y - left_y) / width,
            (low_x - left_x) / height,
            (low_y - left_y) / height,
            left_x,
            left_y,
        )
    )
    context.set_source_surface(surface)
    pattern = context.get_source()
    pattern.set_filter(cairo.FILTER_GOOD)
    pattern.set_extend(cairo.EXTEND_PAD)
    context.paint_with_alpha(float(picture.fill_rgbas[0, 3]))
    context.restore()


def _set_source(context: cairo.Context[Any], rgbas: np.ndarray[Any, Any], mobject: VMobject) -> None:
    if len(rgbas) == 1:
        context.set_source_rgba(*rgbas[0].tolist())
        return
    (ax, ay, _), (bx, by, _) = mobject.get_gradient_start_and_end_points()
    gradient = cairo.LinearGradient(ax, ay, bx, by)
    for offset, rgba in zip(np.linspace(0, 1, len(rgbas)), rgbas, strict=True):
        gradient.add_color_stop_rgba(float(offset), *rgba.tolist())
    context.set_source(gradient)
