"""Draws vector mobjects with cairo: Manim's picture, without Manim's per-frame costs.

The path of a mobject is built once and kept while its points stay the same; what cannot be seen is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cairo
import numpy as np
from manim import ManimColor, VMobject
from manim.constants import CapStyleType, LineJointType

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

_LINE_WIDTH_MULTIPLE = 0.01
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


class Canvas:
    """A frame in memory: BGRA pixels and a cairo context in scene units over the same bytes."""

    def __init__(self, width: int, height: int, frame_width: float, background: str) -> None:
        self.pixels: Pixels = np.zeros((height, width, 4), dtype=np.uint8)
        surface = cairo.ImageSurface.create_for_data(
            self.pixels.data, cairo.FORMAT_ARGB32, width, height, width * 4
        )
        self.context = cairo.Context(surface)
        unit = width / frame_width
        self.context.set_matrix(cairo.Matrix(unit, 0, 0, -unit, width / 2, height / 2))
        red, green, blue = ManimColor(background).to_int_rgb()
        self._blank = np.array([blue, green, red, 255], dtype=np.uint8)
        self.clear()

    def clear(self) -> None:
        """Fill with the background colour."""
        self.pixels[:] = self._blank

    def restore(self, other: Canvas) -> None:
        """Take over another canvas's picture."""
        np.copyto(self.pixels, other.pixels)


class Painter:
    """Draws mobjects onto canvases and remembers their paths."""

    def __init__(self) -> None:
        self._paths: dict[int, tuple[VMobject, np.ndarray[Any, Any], cairo.Path]] = {}

    def draw(self, canvas: Canvas, mobjects: Iterable[VMobject]) -> None:
        """Draw mobjects (already flattened to families, in z order)."""
        context = canvas.context
        for mobject in mobjects:
            if len(mobject.points) and _is_visible(mobject):
                self._draw_one(context, mobject)

    def forget(self) -> None:
        """Drop the kept paths (between animations, so that vanished mobjects are freed)."""
        self._paths.clear()

    def _draw_one(self, context: cairo.Context[Any], mobject: VMobject) -> None:
        context.new_path()
        context.append_path(self._path(context, mobject))
        background_width = mobject.background_stroke_width
        if background_width:
            _stroke(context, mobject, background_width, mobject.background_stroke_rgbas)
        if _opaque(mobject.fill_rgbas):
            _set_source(context, mobject.fill_rgbas, mobject)
            context.fill_preserve()
        if mobject.stroke_width:
            _stroke(context, mobject, mobject.stroke_width, mobject.stroke_rgbas)

    def _path(self, context: cairo.Context[Any], mobject: VMobject) -> cairo.Path:
        kept = self._paths.get(id(mobject))
        points = mobject.points
        if kept is not None and kept[1].shape == points.shape and np.array_equal(kept[1], points):
            return kept[2]
        _trace(context, mobject)
        path = context.copy_path()
        context.new_path()
        self._paths[id(mobject)] = (mobject, points.copy(), path)
        return path


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


def _stroke(
    context: cairo.Context[Any], mobject: VMobject, width: float, rgbas: np.ndarray[Any, Any]
) -> None:
    if not _opaque(rgbas):
        return
    _set_source(context, rgbas, mobject)
    context.set_line_width(width * _LINE_WIDTH_MULTIPLE)
    context.set_line_join(_JOINS[mobject.joint_type])
    context.set_line_cap(_CAPS[mobject.cap_style])
    context.stroke_preserve()


def _set_source(context: cairo.Context[Any], rgbas: np.ndarray[Any, Any], mobject: VMobject) -> None:
    if len(rgbas) == 1:
        context.set_source_rgba(*rgbas[0].tolist())
        return
    (ax, ay, _), (bx, by, _) = mobject.get_gradient_start_and_end_points()
    gradient = cairo.LinearGradient(ax, ay, bx, by)
    for offset, rgba in zip(np.linspace(0, 1, len(rgbas)), rgbas, strict=True):
        gradient.add_color_stop_rgba(float(offset), *rgba.tolist())
    context.set_source(gradient)
