"""Scenes of figures, formulas and data of any size that the rules allow, for the layout test."""

from __future__ import annotations

from hypothesis import strategies as st

from services.video_render.domain.storyboard import (
    Geometry,
    GeometryAngle,
    GeometryCircle,
    GeometryFigure,
    GeometryMotion,
    GeometryPolygon,
    GeometrySegment,
    GeometryStep,
    Position,
)


def words(limit: int) -> st.SearchStrategy[str]:
    """Nothing, or words up to `limit` characters, some far too long, some with mathematics."""
    word = st.text(alphabet="abcdefgWM.,é中", min_size=1, max_size=40) | st.sampled_from(["$x^2$", "$a/b$", "**b**"])
    return st.lists(word, max_size=max(limit // 5, 1)).map(" ".join).map(lambda value: value[:limit].strip())


COORDINATE = st.integers(-6, 6).map(float) | st.floats(-1e6, 1e6, allow_nan=False)
POSITION = st.builds(Position, COORDINATE, COORDINATE)
NEAR = st.builds(Position, st.integers(-6, 6).map(float), st.integers(-6, 6).map(float))
SHAPES: st.SearchStrategy[dict[str, object]] = st.one_of(
    POSITION.map(lambda at: {"point": at}),
    st.builds(GeometrySegment, POSITION, POSITION, st.booleans(), st.booleans())
    .filter(lambda segment: segment.start != segment.end)
    .map(lambda segment: {"segment": segment}),
    st.lists(NEAR, min_size=3, max_size=16).map(lambda corners: {"polygon": GeometryPolygon(tuple(corners))}),
    st.builds(GeometryCircle, NEAR, st.floats(1e-3, 1e4)).map(lambda circle: {"circle": circle}),
    st.builds(GeometryAngle, NEAR, NEAR, NEAR, st.booleans())
    .filter(lambda angle: angle.vertex not in (angle.first, angle.second))
    .map(lambda angle: {"angle": angle}),
    NEAR.map(lambda at: {"text": at}),
)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Figures and steps that show, hide, move and point at them."""
    count = draw(st.integers(1, 12))
    figures = []
    for number in range(count):
        shape = draw(SHAPES)
        label = draw(words(40)) or ("text" if "text" in shape else "")
        color, filled = draw(st.integers(0, 4)), draw(st.booleans())
        figures.append(GeometryFigure(f"f{number}", label, color, filled, **shape))  # type: ignore[arg-type]
    return Geometry(tuple(figures), draw(st.lists(geometry_steps(count), max_size=4).map(tuple)), draw(words(300)))


@st.composite
def geometry_steps(draw: st.DrawFn, count: int) -> GeometryStep:
    """A step over `count` figures."""
    some = st.lists(st.sampled_from([f"f{number}" for number in range(count)]), max_size=4, unique=True).map(tuple)
    moved = draw(some)
    motion = GeometryMotion(
        moved,
        draw(NEAR),
        draw(st.sampled_from([0.0, 90.0, -135.0, 3600.0]) | st.floats(-720, 720)),
        draw(st.none() | NEAR),
        draw(st.sampled_from([1.0, 0.01, 100.0]) | st.floats(0.1, 3)),
    )
    return GeometryStep(draw(some), draw(some), (motion,) if moved else (), draw(some), draw(words(160)) or "so")
