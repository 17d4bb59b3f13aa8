"""Messages of chance, the same in every run: what no row thought of."""

from __future__ import annotations

import random
import string
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from tests.fakes.contracts import modules

_INTEGERS = {
    "i32": (-(2**31), 2**31 - 1), "s32": (-(2**31), 2**31 - 1), "sf32": (-(2**31), 2**31 - 1),
    "u32": (0, 2**32 - 1), "f32": (0, 2**32 - 1), "maybe_number": (-(2**31), 2**31 - 1),
    "i64": (-(2**63), 2**63 - 1), "s64": (-(2**63), 2**63 - 1), "sf64": (-(2**63), 2**63 - 1),
    "u64": (0, 2**64 - 1), "f64": (0, 2**64 - 1),
}  # fmt: skip
_LETTERS = string.printable + "äöü€\u2028\U0001f600\0\x7f<>&\"'\\"


def dishes(count: int, seed: int = 7) -> list[Message]:
    """That many."""
    chance = random.Random(seed)
    return [_dish(chance) for _ in range(count)]


def json_of(dish: Message) -> dict[str, Any]:
    """proto3 JSON with the names that the gateway knows: those of the proto, but for an explicit `json_name`."""
    value = json_format.MessageToDict(dish, preserving_proto_field_name=True)
    if "renamed" in value:
        value["other-name"] = value.pop("renamed")
    return value


def _dish(chance: random.Random) -> Message:
    values: dict[str, Any] = {
        **{name: chance.choice((*bounds, 0, 1, chance.randint(*bounds))) for name, bounds in _INTEGERS.items()},
        **{name: _text(chance) for name in ("text", "maybe", "renamed", "from", chance.choice(("left", "text")))},
        "flag": chance.random() < 0.5,
        "single": chance.choice((0.1, 1e30, -2.5, 16777217.0, chance.uniform(-1e6, 1e6))),
        "real": chance.choice((0.1, 1e300, 5e-324, 2.0**53, chance.uniform(-1e300, 1e300))),
        "raw": chance.randbytes(chance.randrange(9)),
        "colour": chance.choice((0, 1, 2, 77, -1)),
        "odd": chance.randrange(2),
        "nested": _part(chance),
        "texts": [_text(chance) for _ in range(chance.randrange(3))],
        "numbers": [chance.randint(-(2**63), 2**63 - 1) for _ in range(chance.randrange(3))],
        "colours": chance.choices((0, 1, 2, 77), k=chance.randrange(3)),
        "many": [_part(chance) for _ in range(chance.randrange(3))],
        "labels": {_text(chance): _text(chance) for _ in range(chance.randrange(3))},
        "by_number": {chance.randint(-9, 9): _part(chance) for _ in range(chance.randrange(3))},
        "by_flag": {chance.random() < 0.5: chance.uniform(-9, 9)},
        "colour_of": {_text(chance): chance.randrange(3)},
        "at": {"seconds": chance.randint(-62_135_596_800, 253_402_300_799), "nanos": _nanos(chance)},
        "boxed_text": {"value": _text(chance)},
        "boxed_number": {"value": chance.randint(-(2**63), 2**63 - 1)},
        "boxed_flag": {"value": chance.random() < 0.5},
    }
    sign = chance.choice((-1, 1))
    values["took"] = {"seconds": sign * chance.randrange(315_576_000_000), "nanos": sign * _nanos(chance)}
    kept = {name: value for name, value in values.items() if chance.random() < 0.5}
    dish: Message = modules()["kitchen"].Dish(**kept)
    return dish


def _text(chance: random.Random) -> str:
    return "".join(chance.choices(_LETTERS, k=chance.randrange(8)))


def _nanos(chance: random.Random) -> int:
    return chance.choice((0, 1, 500_000_000, 1_000_000, 999_999_999, chance.randrange(10**9)))


def _part(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    part: dict[str, Any] = {"name": "p" * chance.randrange(3), "weight": chance.randint(-9, 9)}
    if depth < 2:
        part["parts"] = [_part(chance, depth + 1) for _ in range(chance.randrange(3))]
    return part
