"""What the rules of all kinds share: texts, counts, numbers, mathematics. Each yields the violations it finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.video_render.domain import expression, mathtext
from services.video_render.domain.violations import Violation

MAX_CAPTION = 300
MAX_LABEL = 80
MAX_SHORT_LABEL = 40
MAX_MAGNITUDE = 1e12


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval of real numbers, `min` < `max`."""

    min: float = 0.0
    max: float = 0.0

    def holds(self, value: float) -> bool:
        """Whether a number lies in it, but for rounding."""
        slack = 1e-9 * (self.max - self.min)
        return self.min - slack <= value <= self.max + slack


def text(value: str, path: str, limit: int, required: bool = True) -> Iterator[Violation]:
    """A text of at most `limit` characters, without control characters."""
    if required and not value.strip():
        yield Violation(path, "must not be empty")
    if len(value) > limit:
        yield Violation(path, f"must have at most {limit} characters, has {len(value)}")
    if any(ord(char) < 32 and char not in "\n\t" for char in value):
        yield Violation(path, "must not hold control characters")


def count(items: Sequence[Any], path: str, limit: int, least: int = 1) -> Iterator[Violation]:
    """A list of `least` to `limit` entries."""
    if len(items) < least:
        yield Violation(path, "must not be empty" if least == 1 else f"must have at least {least} entries")
    if len(items) > limit:
        yield Violation(path, f"must have at most {limit} entries, has {len(items)}")


def math(value: str, path: str, limit: int | None = None, required: bool = True) -> Iterator[Violation]:
    """Mathematics that can be set."""
    if not value.strip() and not required:
        return
    if limit is not None and len(value) > limit:
        yield Violation(path, f"must have at most {limit} characters, has {len(value)}")
    problem = mathtext.problem(value)
    if problem:
        yield Violation(path, problem)


def number(value: float, path: str, limit: float = MAX_MAGNITUDE) -> Iterator[Violation]:
    """A number that is not too large to be drawn."""
    if not abs(value) <= limit:
        yield Violation(path, f"must stay within ±{limit:g}")


def interval(value: Interval, path: str, limit: float = MAX_MAGNITUDE) -> Iterator[Violation]:
    """An interval that can be drawn."""
    if not abs(value.min) <= limit or not abs(value.max) <= limit:
        yield Violation(path, f"must stay within ±{limit:g}")
    elif not value.max - value.min > 1e-9 * max(abs(value.min), abs(value.max), 1e-3):
        yield Violation(path, "max must be greater than min")


def inside(value: float, bounds: Interval, path: str) -> Iterator[Violation]:
    """A number within bounds; nothing is said while the bounds themselves are broken."""
    if bounds.min < bounds.max and not bounds.holds(value):
        yield Violation(path, f"must be between {bounds.min:g} and {bounds.max:g}")


def within(value: Interval, bounds: Interval, path: str) -> Iterator[Violation]:
    """An interval within bounds."""
    yield from interval(value, path)
    if bounds.min < bounds.max and not (bounds.holds(value.min) and bounds.holds(value.max)):
        yield Violation(path, f"must lie between {bounds.min:g} and {bounds.max:g}")


def function(source: str, path: str, variable: str = "x") -> Iterator[Violation]:
    """An expression that can be evaluated."""
    try:
        expression.parse(source, variable)
    except expression.ExpressionError as error:
        yield Violation(path, str(error))


def unique(ids: Sequence[str], path: str) -> Iterator[Violation]:
    """Ids of a list at `path`, each used once."""
    seen: set[str] = set()
    for index, name in enumerate(ids):
        if name in seen:
            yield Violation(f"{path}[{index}].id", f"'{name}' is used twice")
        seen.add(name)


def known(name: str, names: set[str], path: str, what: str) -> Iterator[Violation]:
    """A reference to something that is there."""
    if name not in names:
        yield Violation(path, f"there is no {what} '{name[:40]}'")
