"""Figures of the plane and how they move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from services.video_render.domain import checks
from services.video_render.domain.violations import Violation

MAX_FIGURES = 40
MAX_STEPS = 16
MAX_MOTIONS = 20
MAX_CORNERS = 16
MAX_ID = 32
MAX_NOTE = 160
MAX_COORDINATE = 1e6
MAX_DEGREES = 3600.0
MAX_SCALE = 100.0


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the author's coordinates, y upwards."""

    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class GeometrySegment:
    """A straight line between two points."""

    start: Position
    end: Position
    arrow: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class GeometryPolygon:
    """A closed figure with corners, in order."""

    corners: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class GeometryCircle:
    """A circle."""

    center: Position
    radius: float


@dataclass(frozen=True, slots=True)
class GeometryAngle:
    """The angle at `vertex` from the ray through `first` counter-clockwise to that through `second`."""

    vertex: Position
    first: Position
    second: Position
    right: bool = False


_NOWHERE = Position()
FIGURES = ("point", "segment", "polygon", "circle", "angle", "text")
"""What a figure may be; the names of its fields."""


@dataclass(frozen=True, slots=True)
class GeometryFigure:
    """One figure: exactly one of the fields in `FIGURES`. `color` 0 is that of text, 1-4 are the theme's accents."""

    id: str
    label: str = ""
    color: int = 0
    filled: bool = False
    point: Position | None = None
    segment: GeometrySegment | None = None
    polygon: GeometryPolygon | None = None
    circle: GeometryCircle | None = None
    angle: GeometryAngle | None = None
    text: Position | None = None

    def positions(self) -> tuple[Position, ...]:
        """The places that define it."""
        if self.segment is not None:
            return self.segment.start, self.segment.end
        if self.polygon is not None:
            return self.polygon.corners
        if self.circle is not None:
            return (self.circle.center,)
        if self.angle is not None:
            return self.angle.vertex, self.angle.first, self.angle.second
        return tuple(place for place in (self.point, self.text) if place is not None)

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.text(self.id, f"{path}.id", MAX_ID)
        yield from checks.text(self.label, f"{path}.label", checks.MAX_SHORT_LABEL, required=self.text is not None)
        if not 0 <= self.color <= 4:
            yield Violation(f"{path}.color", "must be between 0 and 4")
        found = [name for name in FIGURES if getattr(self, name) is not None]
        if len(found) != 1:
            yield Violation(path, f"needs exactly one of: {', '.join(FIGURES)}; has {len(found)}")
            return
        where = f"{path}.{found[0]}"
        for place in self.positions():
            if not (abs(place.x) <= MAX_COORDINATE and abs(place.y) <= MAX_COORDINATE):
                yield Violation(where, f"coordinates must stay within ±{MAX_COORDINATE:g}")
                break
        yield from self._shape(where)

    def _shape(self, where: str) -> Iterator[Violation]:
        if self.segment is not None and self.segment.start == self.segment.end:
            yield Violation(where, "must end elsewhere than where it starts")
        if self.polygon is not None:
            yield from checks.count(self.polygon.corners, f"{where}.corners", MAX_CORNERS, least=3)
        if self.circle is not None and not 0 < self.circle.radius <= MAX_COORDINATE:
            yield Violation(f"{where}.radius", f"must be greater than 0, and at most {MAX_COORDINATE:g}")
        if self.angle is not None and self.angle.vertex in (self.angle.first, self.angle.second):
            yield Violation(where, "its rays must not be points")


@dataclass(frozen=True, slots=True)
class GeometryMotion:
    """Figures that turn about a point (the middle of them all by default), grow from it, and move on, in this order."""

    ids: tuple[str, ...]
    by: Position = _NOWHERE
    degrees: float = 0.0
    about: Position | None = None
    scale: float = 1.0

    def violations(self, path: str, names: set[str]) -> Iterator[Violation]:
        """Broken rules; `names` are the ids of all figures."""
        yield from checks.count(self.ids, f"{path}.ids", MAX_FIGURES)
        for index, name in enumerate(self.ids):
            yield from checks.known(name, names, f"{path}.ids[{index}]", "figure")
        for name, place in (("by", self.by), ("about", self.about)):
            if place is not None and not (abs(place.x) <= MAX_COORDINATE and abs(place.y) <= MAX_COORDINATE):
                yield Violation(f"{path}.{name}", f"coordinates must stay within ±{MAX_COORDINATE:g}")
        if not abs(self.degrees) <= MAX_DEGREES:
            yield Violation(f"{path}.degrees", f"must stay within ±{MAX_DEGREES:g}")
        if not 0.01 <= self.scale <= MAX_SCALE:
            yield Violation(f"{path}.scale", f"must be between 0.01 and {MAX_SCALE:g}")


@dataclass(frozen=True, slots=True)
class GeometryStep:
    """What happens at once: figures appear, vanish, move and are pointed at; `note` takes the caption's place."""

    show: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    motions: tuple[GeometryMotion, ...] = ()
    highlight: tuple[str, ...] = ()
    note: str = ""

    def violations(self, path: str, names: set[str]) -> Iterator[Violation]:
        """Broken rules; `names` are the ids of all figures."""
        for field in ("show", "hide", "highlight"):
            ids: tuple[str, ...] = getattr(self, field)
            yield from checks.count(ids, f"{path}.{field}", MAX_FIGURES, least=0)
            for index, name in enumerate(ids):
                yield from checks.known(name, names, f"{path}.{field}[{index}]", "figure")
        yield from checks.count(self.motions, f"{path}.motions", MAX_MOTIONS, least=0)
        for index, motion in enumerate(self.motions):
            yield from motion.violations(f"{path}.motions[{index}]", names)
        moved = list(chain.from_iterable(motion.ids for motion in self.motions))
        if len(set(moved)) != len(moved):
            yield Violation(f"{path}.motions", "must move a figure once only")
        yield from checks.text(self.note, f"{path}.note", MAX_NOTE, required=False)
        if not (self.show or self.hide or self.motions or self.highlight or self.note.strip()):
            yield Violation(path, "must do something")


@dataclass(frozen=True, slots=True)
class Geometry:
    """Figures, the first at the back, and steps. Figures that no step shows are there from the beginning."""

    figures: tuple[GeometryFigure, ...]
    steps: tuple[GeometryStep, ...] = ()
    caption: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.figures, f"{path}.figures", MAX_FIGURES)
        for index, figure in enumerate(self.figures):
            yield from figure.violations(f"{path}.figures[{index}]")
        yield from checks.unique([figure.id for figure in self.figures], f"{path}.figures")
        yield from checks.count(self.steps, f"{path}.steps", MAX_STEPS, least=0)
        names = {figure.id for figure in self.figures}
        for index, step in enumerate(self.steps):
            yield from step.violations(f"{path}.steps[{index}]", names)
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)
