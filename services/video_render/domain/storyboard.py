"""The storyboard: the product's language for a video.

A planner makes one, a person may edit it, the renderer draws it. It is a plain value: frozen, JSON-serialisable
(`to_dict`/`from_dict`) and mirrored field by field by `t2m.video_render.v1.Storyboard`.

Texts (`Bullets`, `Paragraph`, table cells …) may hold a little inline markup: `**bold**`, `*italic*`, `` `code` ``
and `$math$`. Mathematics is Typst math syntax without the dollar signs (see `mathtext`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.video_render.domain import storyboard_json, storyboard_rules
from services.video_render.domain.kinds import (
    KINDS,
    BulletItem,
    Bullets,
    ChartSeries,
    ChartStyle,
    Code,
    CodeHighlight,
    Compare,
    CompareSide,
    Content,
    DataChart,
    Derivation,
    DerivationStep,
    DerivationStyle,
    Equation,
    FunctionPlot,
    Geometry,
    GeometryAngle,
    GeometryCircle,
    GeometryFigure,
    GeometryMotion,
    GeometryPolygon,
    GeometrySegment,
    GeometryStep,
    Image,
    Interval,
    Matrix,
    MatrixBrackets,
    MatrixEntry,
    MatrixRow,
    MovingPoint,
    Network,
    NetworkEdge,
    NetworkLayout,
    NetworkNode,
    NumberLine,
    NumberLineInterval,
    NumberLineJump,
    NumberLinePoint,
    Paragraph,
    ParametricCurve,
    ParametricPlot,
    PlotFunction,
    Position,
    Quote,
    Recap,
    ScatterChart,
    ScatterPoint,
    ScatterSeries,
    Section,
    ShadedArea,
    Table,
    TableRow,
    Tangent,
    Timeline,
    TimelineEvent,
    TitleCard,
)
from services.video_render.domain.violations import StoryboardInvalid, Violation

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
    "Entrance",
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
    "Order",
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
    "Scene",
    "SceneAnimation",
    "Section",
    "ShadedArea",
    "Storyboard",
    "Table",
    "TableRow",
    "Tangent",
    "Timeline",
    "TimelineEvent",
    "TitleCard",
    "Transition",
]

_NAMES = {cls: name for name, cls in KINDS.items()}


class Entrance(StrEnum):
    """How a part of a scene comes on; `DEFAULT` is what is usual for the kind."""

    DEFAULT = "default"
    FADE = "fade"
    WRITE = "write"
    SLIDE = "slide"
    GROW = "grow"
    NONE = "none"


class Order(StrEnum):
    """In which order the parts come on; `DEFAULT` is what is usual for the kind."""

    DEFAULT = "default"
    ONE_BY_ONE = "one_by_one"
    TOGETHER = "together"


class Transition(StrEnum):
    """How a scene ends."""

    FADE = "fade"
    CUT = "cut"
    SLIDE = "slide"


@dataclass(frozen=True, slots=True)
class SceneAnimation:
    """How the parts of a scene come and go; at `speed` 2 the animations take half the time."""

    entrance: Entrance = Entrance.DEFAULT
    order: Order = Order.DEFAULT
    transition: Transition = Transition.FADE
    speed: float = 1.0


AS_USUAL = SceneAnimation()


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene. `duration_s` is the wanted length in seconds; 0 leaves it to the renderer.

    A scene is drawn at least as long as its animations need, so a very short target is exceeded. `theme` is the
    scene's own look; the storyboard's when empty.
    """

    id: str
    content: Content
    heading: str = ""
    narration: str = ""
    duration_s: float = 0.0
    theme: str = ""
    animation: SceneAnimation = AS_USUAL

    @property
    def kind(self) -> str:
        """The kind's JSON and protobuf name, such as `function_plot`."""
        return _NAMES[type(self.content)]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: the common fields that are set, and one key named after the kind."""
        body: dict[str, Any] = storyboard_json.encode(self)
        content = body.pop("content")
        return {**body, self.kind: content}


@dataclass(frozen=True, slots=True)
class Storyboard:
    """A whole video. `language` is a BCP 47 tag, `theme` one of `storyboard_rules.THEMES`."""

    title: str
    scenes: tuple[Scene, ...]
    language: str = "en"
    theme: str = "dark"
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What the planner could not keep as it was written; not part of the storyboard's identity."""

    def theme_of(self, scene: Scene) -> str:
        """The look of one of its scenes."""
        return scene.theme or self.theme

    def violations(self) -> tuple[Violation, ...]:
        """Every broken rule, with field paths; empty when it can be rendered."""
        return tuple(storyboard_rules.check(self))

    def validated(self) -> Storyboard:
        """Itself; raises `StoryboardInvalid` when a rule is broken."""
        broken = self.violations()
        if broken:
            raise StoryboardInvalid(broken)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, the inverse of `from_dict` (warnings are not part of it)."""
        return {
            "title": self.title,
            "language": self.language,
            "theme": self.theme,
            "scenes": [scene.to_dict() for scene in self.scenes],
        }

    @classmethod
    def from_dict(cls, value: object) -> Storyboard:
        """Read plain JSON; raises `StoryboardInvalid` naming every field that is wrong, unknown or missing."""
        reader = storyboard_json.Reader()
        body = reader.mapping(value, "", known={"title", "language", "theme", "scenes"}, required={"scenes"})
        raw = body.get("scenes", [])
        if not isinstance(raw, list):
            reader.fail("scenes", "must be a list")
            raw = []
        scenes = tuple(read_scene(reader, item, f"scenes[{index}]") for index, item in enumerate(raw))
        board = cls(
            title=reader.read(str, body.get("title", ""), "title"),
            language=reader.read(str, body.get("language", "en"), "language"),
            theme=reader.read(str, body.get("theme", "dark"), "theme"),
            scenes=tuple(scene for scene in scenes if scene is not None),
        )
        reader.raise_if_failed()
        return board.validated()


def read_scene(reader: storyboard_json.Reader, value: object, path: str) -> Scene | None:
    """One scene, or None after noting why it is not one."""
    common = {"id", "heading", "narration", "duration_s", "theme", "animation"}
    body = reader.mapping(value, path, known=common | set(KINDS), required=set())
    kinds = [name for name in KINDS if name in body]
    if len(kinds) != 1:
        reader.fail(path, f"needs exactly one kind of: {', '.join(KINDS)}; has {len(kinds)}")
        return None
    content = reader.read(KINDS[kinds[0]], body[kinds[0]], f"{path}.{kinds[0]}")
    if content is None:
        return None
    return Scene(
        id=reader.read(str, body.get("id", ""), f"{path}.id"),
        content=content,
        heading=reader.read(str, body.get("heading", ""), f"{path}.heading"),
        narration=reader.read(str, body.get("narration", ""), f"{path}.narration"),
        duration_s=reader.read(float, body.get("duration_s", 0.0), f"{path}.duration_s"),
        theme=reader.read(str, body.get("theme", ""), f"{path}.theme"),
        animation=reader.read(SceneAnimation, body.get("animation", {}), f"{path}.animation"),
    )
