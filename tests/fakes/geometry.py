"""Geometry scenes for tests."""

from __future__ import annotations

from services.video_render.domain.storyboard import (
    Geometry,
    GeometryFigure,
    GeometryMotion,
    GeometryPolygon,
    GeometrySegment,
    GeometryStep,
    Position,
)


def polygon(*corners: tuple[float, float]) -> GeometryPolygon:
    """A polygon through corners."""
    return GeometryPolygon(tuple(Position(x, y) for x, y in corners))


def side(label: str, start: tuple[float, float], end: tuple[float, float]) -> GeometryFigure:
    """A side with its name."""
    return GeometryFigure(label.strip("$"), label, segment=GeometrySegment(Position(*start), Position(*end)))


REARRANGEMENT = Geometry(
    figures=(
        GeometryFigure("frame", polygon=polygon((0, 0), (7, 0), (7, 7), (0, 7))),
        GeometryFigure("cc", "$c^2$", 2, True, polygon=polygon((4, 0), (7, 4), (3, 7), (0, 3))),
        GeometryFigure("aa", "$a^2$", 3, True, polygon=polygon((4, 0), (7, 0), (7, 3), (4, 3))),
        GeometryFigure("bb", "$b^2$", 3, True, polygon=polygon((0, 3), (4, 3), (4, 7), (0, 7))),
        GeometryFigure("t1", "", 1, True, polygon=polygon((0, 0), (4, 0), (0, 3))),
        GeometryFigure("t2", "", 1, True, polygon=polygon((7, 0), (7, 4), (4, 0))),
        GeometryFigure("t3", "", 1, True, polygon=polygon((7, 7), (3, 7), (7, 4))),
        GeometryFigure("t4", "", 1, True, polygon=polygon((0, 7), (0, 3), (3, 7))),
        side("$a$", (0, 0), (0, 3)),
        side("$b$", (0, 0), (4, 0)),
        side("$c$", (4, 0), (0, 3)),
    ),
    steps=(
        GeometryStep(show=("t2", "t3", "t4", "frame"), note="Four copies of it in a square of side $a + b$"),
        GeometryStep(show=("cc",), highlight=("cc",), note="The gap is the square on the hypotenuse: $c^2$"),
        GeometryStep(
            hide=("cc", "a", "b", "c"),
            motions=(GeometryMotion(("t3",), Position(-3, -4)),),
            note="Slide one triangle across the gap: two of them make a rectangle",
        ),
        GeometryStep(
            motions=(GeometryMotion(("t2",), Position(0, 3)), GeometryMotion(("t4",), Position(4, 0))),
            note="So do the other two: the gap has changed its shape, not its area",
        ),
        GeometryStep(show=("aa", "bb"), highlight=("aa", "bb"), note="Now it is two squares: $a^2$ and $b^2$"),
    ),
    caption="A right triangle with legs $a$ and $b$ and hypotenuse $c$",
)
"""Pythagoras by rearrangement: four triangles move, and the square on the hypotenuse becomes the two on the legs."""
