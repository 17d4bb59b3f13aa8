"""What is wrong with an input, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: where (`scenes[3].function_plot.functions[0].expression`) and why."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class StoryboardInvalid(ValueError):
    """A storyboard, or the text it was to be planned from, breaks at least one rule.

    Never retryable: the same input always fails the same way.
    """

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations: tuple[Violation, ...] = tuple(violations)
        self.field_violations = [(violation.field, violation.message) for violation in self.violations]
        super().__init__("; ".join(str(violation) for violation in self.violations))
