"""What is let pass as another spelling is one (O8), and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.excuses import excused
from tests.api.leniency import Dialect

LEVEL = {"type": "string", "enum": ["unspecified", "low", "high"]}
ORDER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["topic"],
    "properties": {
        "topic": {"type": "string", "minLength": 1},
        "level": {"$ref": "#/components/schemas/Level"},
        "count": {"type": "integer", "minimum": 1},
        "url": {"type": "string", "pattern": "^https:"},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
        "labels": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}
DIALECT = Dialect({"components": {"schemas": {"Level": LEVEL, "Order": ORDER}}})


@pytest.mark.parametrize(
    ("more", "accepted"),
    [
        ({"level": 1}, True),
        ({"level": "X_LEVEL_HIGH"}, True),
        ({"level": None, "url": ""}, True),
        ({"count": "7"}, True),
        ({"parts": [{"topic": "t", "count": "7"}]}, True),
        ({"labels": {"a": "1"}}, True),
        ({"level": 3}, False),
        ({"level": "lower"}, False),
        ({"level": True}, False),
        ({"topic": None}, False),
        ({"topic": ""}, False),
        ({"count": "0"}, False),
        ({"count": "seven"}, False),
        ({"url": "http://a"}, False),
        ({"other": None}, False),
        ({"parts": [{"count": 7}]}, False),
        ({"parts": [None]}, False),
    ],
)
def test_O8_only_other_spellings_of_a_valid_value_pass(more: dict[str, Any], accepted: bool) -> None:
    """O8: as proto3 JSON has them; the value itself is still held against the schema."""
    assert DIALECT.accepts(ORDER, {"topic": "t", **more}) is accepted


def test_O8_a_query_is_text() -> None:
    """O8: numbers and truth are written out there, and not in a body."""
    assert DIALECT.accepts({"type": "boolean"}, "true", text=True)
    assert not DIALECT.accepts({"type": "boolean"}, "true")
    assert not DIALECT.accepts({"type": "integer", "maximum": 5}, "6", text=True)


def test_O8_a_refusal_is_excused_when_each_of_its_violations_is() -> None:
    """O8: one that a schema could have foretold is a fault, whatever stands beside it."""

    def refusal(*fields: str, reason: str = "VALIDATION_FAILED") -> dict[str, Any]:
        violations = [{"field": name, "message": "no"} for name in fields]
        return {"error": {"details": {"reason": reason, "violations": violations}}}

    assert excused(refusal("page_token", "storyboard.scenes[0].equation.math"))
    assert not excused(refusal("page_token", "topic"))
    assert not excused(refusal())
    assert excused(refusal(reason="REQUEST_TOO_LARGE"))
    assert not excused(None)
