"""Storyboards as protos and as the domain's JSON. Both have the same field names, so one rule fits all kinds."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from services.video_render.domain import storyboard_json
from services.video_render.domain.editing import Edits
from services.video_render.domain.storyboard import Storyboard, read_scene
from services.video_render.domain.violations import StoryboardInvalid, Violation
from t2m.video_render.v1 import storyboard_pb2, storyboard_service_pb2


def to_json(message: Message) -> dict[str, Any]:
    """What is set, as the domain reads it: enum values by their names, bytes in base64."""
    return {field.name: _json_of(field, value) for field, value in message.ListFields()}


def decode(message: storyboard_pb2.Storyboard, path: str = "storyboard") -> Storyboard:
    """A storyboard that can be rendered; raises `StoryboardInvalid` with field paths that begin with `path`."""
    try:
        return Storyboard.from_dict(to_json(message))
    except StoryboardInvalid as invalid:
        found = [Violation(f"{path}.{each.field}".rstrip("."), each.message) for each in invalid.violations]
        raise StoryboardInvalid(found) from invalid


def decode_edits(message: storyboard_service_pb2.StoryboardEdits) -> Edits:
    """Changes; raises `StoryboardInvalid` for a scene that is none."""
    reader = storyboard_json.Reader()
    body = to_json(message)
    scenes = [read_scene(reader, item, f"edits.scenes[{at}]") for at, item in enumerate(body.pop("scenes", []))]
    reader.raise_if_failed()
    lists = {name: tuple(value) for name, value in body.items() if isinstance(value, list)}
    return Edits(**{**body, **lists}, scenes=tuple(scene for scene in scenes if scene is not None))


def encode(board: Storyboard) -> storyboard_pb2.Storyboard:
    """A storyboard as a proto."""
    message = storyboard_pb2.Storyboard()
    _fill(message, board.to_dict())
    return message


def _json_of(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return to_json(value)
    if field.enum_type is not None:
        return _labels(field.enum_type).get(value, str(value))
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _fill(message: Message, body: Mapping[str, Any]) -> None:
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in body.items():
        field = fields[name]
        target = getattr(message, name)
        if field.message_type is None:
            values = [_scalar(field, item) for item in value] if field.is_repeated else _scalar(field, value)
            target.extend(values) if field.is_repeated else setattr(message, name, values)
        elif field.is_repeated:
            for item in value:
                _fill(target.add(), item)
        else:
            target.SetInParent()
            _fill(target, value)


def _scalar(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return next((number for number, label in _labels(field.enum_type).items() if label == value), 0)
    return base64.b64decode(value) if field.type == FieldDescriptor.TYPE_BYTES else value


def _labels(enum: EnumDescriptor) -> dict[int, str]:
    """Number → name without the enum's prefix, in lower case: `CHART_STYLE_BAR` is `bar`."""
    prefix = len(enum.values[0].name) - len("UNSPECIFIED")
    return {value.number: value.name[prefix:].lower() for value in enum.values}
