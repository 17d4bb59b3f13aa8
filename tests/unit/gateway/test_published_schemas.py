"""The JSON Schema of storyboards: made from the proto, in step with the domain's own rules (V9)."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.openapi.comments import load_comments
from gateway.openapi.published import PUBLISHED, json_schema
from services.video_render.domain.storyboard import KINDS, Storyboard
from services.video_render.domain.violations import StoryboardInvalid
from tests.unit.video_render.test_storyboard import ONE_OF_EACH, board

SCHEMA = json_schema(PUBLISHED["storyboard"], load_comments())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
BOARD = board(*ONE_OF_EACH).to_dict()


def domain_refuses(value: dict[str, Any]) -> bool:
    try:
        Storyboard.from_dict(value)
    except StoryboardInvalid:
        return True
    return False


def schema_refuses(value: dict[str, Any]) -> bool:
    return not VALIDATOR.is_valid(value)


def test_v9_the_schema_is_a_schema_with_every_kind() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    scene = SCHEMA["$defs"]["SceneInput"]
    assert {each["required"][0] for each in scene["oneOf"]} == set(KINDS)
    assert all("description" in each for each in scene["properties"].values())
    assert "components/schemas" not in json.dumps(SCHEMA)


def test_v9_what_the_domain_takes_fits_the_schema() -> None:
    assert list(VALIDATOR.iter_errors(BOARD)) == []
    gallery = json.loads((Path(__file__).parents[2] / "gallery" / "storyboard.json").read_text())
    assert list(VALIDATOR.iter_errors(gallery)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.update(colour="red"),
        lambda b: b.update(theme="neon"),
        lambda b: b.pop("title"),
        lambda b: b.update(scenes=[]),
        lambda b: b["scenes"][0].update(quote={"text": "a second kind"}),
        lambda b: b["scenes"][0].pop("title"),
        lambda b: b["scenes"][1]["bullets"].update(items=[]),
        lambda b: b["scenes"][1]["bullets"]["items"][0].update(level=2),
        lambda b: b["scenes"][0].update(duration_s=121),
        lambda b: b["scenes"][0].update(animation={"entrance": "explode"}),
    ],
)
def test_v9_what_is_wrong_is_wrong_in_both(change: Any) -> None:
    value = copy.deepcopy(BOARD)
    change(value)
    assert schema_refuses(value)
    assert domain_refuses(value)


def bounded(value: Any, schema: dict[str, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:
    """(path, longest length) of every text in a value that has a bound."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        for name, member in value.items():
            yield from bounded(member, schema["properties"][name], (*path, name))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from bounded(member, schema["items"], (*path, number))
    elif isinstance(value, str) and "maxLength" in schema and "enum" not in schema:
        yield path, schema["maxLength"]


TEXTS = list(bounded(BOARD, SCHEMA))


@pytest.mark.parametrize(("path", "longest"), TEXTS, ids=[".".join(map(str, path)) for path, _ in TEXTS])
def test_v9_texts_are_bounded_alike(path: tuple[Any, ...], longest: int) -> None:
    """One character more than the schema allows is refused by the domain for its length, and by the schema."""
    value = copy.deepcopy(BOARD)
    target = value
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = "1" * (longest + 1)
    assert schema_refuses(value)
    with pytest.raises(StoryboardInvalid) as caught:
        Storyboard.from_dict(value)
    assert any(str(path[-1]) in field or "id" in field for field, _ in caught.value.field_violations)
