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
from services.video_render.domain.violations import StoryboardInvalid, Violation


class ChartStyle(StrEnum):
    """How a `DataChart` draws its series."""

    BAR = "bar"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class TitleCard:
    """The opening: a large title and an optional line under it."""

    text: str
    subtitle: str = ""


@dataclass(frozen=True, slots=True)
class BulletItem:
    """One bullet; `level` 0 is the outer list, 1 is indented once."""

    text: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list, shown item by item."""

    items: tuple[BulletItem, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True, slots=True)
class Equation:
    """One displayed formula with an optional caption under it."""

    math: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class DerivationStep:
    """One line of a derivation; `note` says why the step is allowed."""

    math: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Derivation:
    """Formulas that follow from one another, line by line."""

    steps: tuple[DerivationStep, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval of real numbers, `min` < `max`."""

    min: float
    max: float


@dataclass(frozen=True, slots=True)
class PlotFunction:
    """A function of x (`expression`, see `domain.expression`) and how the legend calls it."""

    expression: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class FunctionPlot:
    """Graphs of functions of x over one range; `y` is fitted to the curves when it is absent."""

    functions: tuple[PlotFunction, ...]
    x: Interval = Interval(-5.0, 5.0)
    y: Interval | None = None
    caption: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """The cells of one row, left to right."""

    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows of as many cells as the header has."""

    header: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Source text with syntax colours; an unknown `language` is shown plain."""

    lines: tuple[str, ...]
    language: str = ""


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """One value per category."""

    values: tuple[float, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class DataChart:
    """A bar or line chart of one or more series over shared categories."""

    style: ChartStyle
    categories: tuple[str, ...]
    series: tuple[ChartSeries, ...]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Recap:
    """What to remember: the closing list."""

    items: tuple[str, ...]


Content = TitleCard | Bullets | Paragraph | Equation | Derivation | FunctionPlot | Table | Code | DataChart | Recap

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
}
"""Every kind of scene under its JSON and protobuf name."""

_NAMES = {cls: name for name, cls in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene. `duration_s` is the wanted length in seconds; 0 leaves it to the renderer.

    A scene is drawn at least as long as its animations need, so a very short target is exceeded.
    """

    id: str
    content: Content
    heading: str = ""
    narration: str = ""
    duration_s: float = 0.0

    @property
    def kind(self) -> str:
        """The kind's JSON and protobuf name, such as `function_plot`."""
        return _NAMES[type(self.content)]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: the common fields and one key named after the kind."""
        return {
            "id": self.id,
            "heading": self.heading,
            "narration": self.narration,
            "duration_s": self.duration_s,
            self.kind: storyboard_json.encode(self.content),
        }


@dataclass(frozen=True, slots=True)
class Storyboard:
    """A whole video. `language` is a BCP 47 tag, `theme` one of `storyboard_rules.THEMES`."""

    title: str
    scenes: tuple[Scene, ...]
    language: str = "en"
    theme: str = "dark"
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What the planner could not keep as it was written; not part of the storyboard's identity."""

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
        scenes = tuple(_read_scene(reader, item, f"scenes[{index}]") for index, item in enumerate(raw))
        board = cls(
            title=reader.read(str, body.get("title", ""), "title"),
            language=reader.read(str, body.get("language", "en"), "language"),
            theme=reader.read(str, body.get("theme", "dark"), "theme"),
            scenes=tuple(scene for scene in scenes if scene is not None),
        )
        reader.raise_if_failed()
        return board.validated()


def _read_scene(reader: storyboard_json.Reader, value: object, path: str) -> Scene | None:
    """One scene, or None after noting why it is not one."""
    common = {"id", "heading", "narration", "duration_s"}
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
    )
