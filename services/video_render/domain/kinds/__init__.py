"""Kinds of scenes: what a scene may show. Each is a frozen value that knows its own rules (`violations`)."""

from services.video_render.domain.checks import Interval
from services.video_render.domain.kinds.charts import (
    ChartSeries,
    ChartStyle,
    DataChart,
    ScatterChart,
    ScatterPoint,
    ScatterSeries,
    Table,
    TableRow,
)
from services.video_render.domain.kinds.diagrams import Image, Network, NetworkEdge, NetworkLayout, NetworkNode
from services.video_render.domain.kinds.geometry import (
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
from services.video_render.domain.kinds.mathematics import (
    Derivation,
    DerivationStep,
    DerivationStyle,
    Equation,
    Matrix,
    MatrixBrackets,
    MatrixEntry,
    MatrixRow,
    NumberLine,
    NumberLineInterval,
    NumberLineJump,
    NumberLinePoint,
)
from services.video_render.domain.kinds.plots import (
    FunctionPlot,
    MovingPoint,
    ParametricCurve,
    ParametricPlot,
    PlotFunction,
    ShadedArea,
    Tangent,
)
from services.video_render.domain.kinds.text import (
    BulletItem,
    Bullets,
    Code,
    CodeHighlight,
    Compare,
    CompareSide,
    Paragraph,
    Quote,
    Recap,
    Section,
    Timeline,
    TimelineEvent,
    TitleCard,
)

Content = (
    TitleCard
    | Bullets
    | Paragraph
    | Equation
    | Derivation
    | FunctionPlot
    | Table
    | Code
    | DataChart
    | Recap
    | Section
    | ParametricPlot
    | ScatterChart
    | Matrix
    | Image
    | Geometry
    | NumberLine
    | Network
    | Timeline
    | Quote
    | Compare
)

KINDS: dict[str, type[Content]] = {
    "title": TitleCard,
    "bullets": Bullets,
    "paragraph": Paragraph,
    "equation": Equation,
    "derivation": Derivation,
    "function_plot": FunctionPlot,
    "table": Table,
    "code": Code,
    "data_chart": DataChart,
    "recap": Recap,
    "section": Section,
    "parametric_plot": ParametricPlot,
    "scatter_chart": ScatterChart,
    "matrix": Matrix,
    "image": Image,
    "geometry": Geometry,
    "number_line": NumberLine,
    "network": Network,
    "timeline": Timeline,
    "quote": Quote,
    "compare": Compare,
}
"""Every kind of scene under its JSON and protobuf name."""

__all__ = [
    "KINDS",
    "BulletItem",
    "Bullets",
    "ChartSeries",
    "ChartStyle",
    "Code",
    "CodeHighlight",
    "Compare",
    "CompareSide",
    "Content",
    "DataChart",
    "Derivation",
    "DerivationStep",
    "DerivationStyle",
    "Equation",
    "FunctionPlot",
    "Geometry",
    "GeometryAngle",
    "GeometryCircle",
    "GeometryFigure",
    "GeometryMotion",
    "GeometryPolygon",
    "GeometrySegment",
    "GeometryStep",
    "Image",
    "Interval",
    "Matrix",
    "MatrixBrackets",
    "MatrixEntry",
    "MatrixRow",
    "MovingPoint",
    "Network",
    "NetworkEdge",
    "NetworkLayout",
    "NetworkNode",
    "NumberLine",
    "NumberLineInterval",
    "NumberLineJump",
    "NumberLinePoint",
    "Paragraph",
    "ParametricCurve",
    "ParametricPlot",
    "PlotFunction",
    "Position",
    "Quote",
    "Recap",
    "ScatterChart",
    "ScatterPoint",
    "ScatterSeries",
    "Section",
    "ShadedArea",
    "Table",
    "TableRow",
    "Tangent",
    "Timeline",
    "TimelineEvent",
    "TitleCard",
]
