"""Scenes of figures, formulas and data of any size that the rules allow, for the layout test."""

from __future__ import annotations

from hypothesis import strategies as st

from services.video_render.domain.storyboard import (
    ChartSeries,
    ChartStyle,
    DataChart,
    FunctionPlot,
    Geometry,
    GeometryAngle,
    GeometryCircle,
    GeometryFigure,
    GeometryMotion,
    GeometryPolygon,
    GeometrySegment,
    GeometryStep,
    Interval,
    Matrix,
    MatrixBrackets,
    MatrixEntry,
    MatrixRow,
    MovingPoint,
    NumberLine,
    NumberLineInterval,
    NumberLineJump,
    NumberLinePoint,
    ParametricCurve,
    ParametricPlot,
    PlotFunction,
    Position,
    ScatterChart,
    ScatterPoint,
    ScatterSeries,
    ShadedArea,
    Tangent,
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


RANGES = st.sampled_from([Interval(-5, 5), Interval(0, 1e6), Interval(-0.001, 0.002), Interval(-1e12, 1e12)])
OF_X = st.sampled_from(
    ["x^2", "1/x", "tan(x)", "sin(x)/x", "1000000x", "0", "sqrt(x)", "ln(-1-x^2)", "e^(x^2)", "9^9^9^x"]
)
OF_T = st.sampled_from(["cos(t)", "t sin(40t)", "1/t", "e^t", "0", "sqrt(-1-t^2)", "t", "1e9 t"])


@st.composite
def function_plots(draw: st.DrawFn) -> FunctionPlot:
    """Functions with areas, tangents and moving points at any place of the range."""
    x = draw(RANGES)
    count = draw(st.integers(1, 4))
    spot = st.floats(0, 1).map(lambda share: x.min + share * (x.max - x.min))
    which = st.integers(0, count - 1)
    parts = st.tuples(st.floats(0, 0.45), st.floats(0.5, 1)).map(
        lambda ends: Interval(x.min + ends[0] * (x.max - x.min), x.min + ends[1] * (x.max - x.min))
    )
    return FunctionPlot(
        draw(st.lists(st.builds(PlotFunction, OF_X, words(80)), min_size=count, max_size=count).map(tuple)),
        x,
        draw(st.none() | RANGES),
        draw(words(300)),
        draw(st.lists(st.builds(ShadedArea, parts, which, st.none() | which, words(40)), max_size=4).map(tuple)),
        draw(st.lists(st.builds(Tangent, which, spot), max_size=4).map(tuple)),
        draw(
            st.lists(st.builds(MovingPoint, which, st.just(x.min), st.just(x.max), st.booleans()), max_size=2).map(
                tuple
            )
        ),
    )


PARAMETRIC_PLOTS = st.builds(
    ParametricPlot,
    st.lists(st.builds(ParametricCurve, OF_T, OF_T, words(80)), min_size=1, max_size=4).map(tuple),
    st.sampled_from([Interval(0, 6.28), Interval(-1e3, 1e3)]),
    st.none() | RANGES,
    st.none() | RANGES,
    words(300),
    st.booleans(),
)


VALUE = st.sampled_from([0.0, 1.0, 1e-12, 1e12]) | st.floats(-1e12, 1e12)
SIZE = st.sampled_from([0.0, 1.0, 1e12]) | st.floats(0, 1e12)


@st.composite
def pies(draw: st.DrawFn) -> DataChart:
    """Slices of any size, many of them 0."""
    names = draw(st.lists(words(80).map(lambda name: name or "x"), min_size=1, max_size=16))
    values = draw(st.lists(SIZE, min_size=len(names), max_size=len(names)).filter(lambda found: sum(found) > 0))
    series = ChartSeries(tuple(values), draw(words(80)))
    return DataChart(ChartStyle.PIE, tuple(names), (series,), draw(words(80)))


POINTS = st.lists(st.builds(ScatterPoint, VALUE, VALUE, SIZE), min_size=1, max_size=30).map(tuple)
SCATTER_CHARTS = st.builds(
    ScatterChart,
    st.lists(st.builds(ScatterSeries, POINTS, words(80)), min_size=1, max_size=4).map(tuple),
    words(80),
    words(80),
    words(80),
    st.booleans(),
    words(300),
)


ENTRIES = st.sampled_from(["1", "-x^2", "a/b", "sqrt(1 + sqrt(2))", "f(x, y)", "1, 2; 3", "sum_(k=1)^n k", "thin"])
BESIDE = st.sampled_from(["", "A =", "det", "= " + " + ".join(["x^2"] * 12), "vec(x, y) ="])


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    """Matrices of any size."""
    height, width = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    rows = st.lists(ENTRIES, min_size=width, max_size=width).map(lambda entries: MatrixRow(tuple(entries)))
    place = st.builds(MatrixEntry, st.integers(1, height), st.integers(1, width))
    return Matrix(
        draw(st.lists(rows, min_size=height, max_size=height).map(tuple)),
        draw(BESIDE),
        draw(BESIDE),
        draw(st.sampled_from(MatrixBrackets)),
        draw(st.lists(place, max_size=4).map(tuple)),
        draw(words(300)),
    )


@st.composite
def number_lines(draw: st.DrawFn) -> NumberLine:
    """Points, intervals and jumps anywhere, many at the same places."""
    bounds = draw(RANGES | st.just(Interval(0, 1)))
    share = st.sampled_from([0.0, 0.1, 0.5, 0.51, 1.0]) | st.floats(0, 1)
    value = share.map(lambda part: bounds.min + part * (bounds.max - bounds.min))
    two = st.tuples(value, value).filter(lambda ends: abs(ends[0] - ends[1]) > 1e-6 * (bounds.max - bounds.min))
    part = st.builds(
        lambda ends, low, high, label: NumberLineInterval(Interval(min(ends), max(ends)), low, high, label),
        two,
        st.booleans(),
        st.booleans(),
        words(40),
    )
    jump = st.builds(lambda ends, label: NumberLineJump(ends[0], ends[1], label), two, words(40))
    return NumberLine(
        bounds,
        draw(st.sampled_from([0.0, (bounds.max - bounds.min) / 40, (bounds.max - bounds.min) / 3])),
        draw(st.lists(st.builds(NumberLinePoint, value, words(40)), max_size=12).map(tuple)),
        draw(st.lists(part, max_size=4).map(tuple)),
        draw(st.lists(jump, max_size=8).map(tuple)),
        draw(words(300)),
    )


CONTENT = st.one_of(
    geometries(), function_plots(), PARAMETRIC_PLOTS, pies(), SCATTER_CHARTS, matrices(), number_lines()
)
"""Every kind of this family."""
