"""Comments of the protos. Generated modules drop them; the stub package ships a descriptor set that keeps
them.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Iterator

from google.protobuf import descriptor_pb2

Path = tuple[int, ...]

# Field numbers in descriptor.proto that a source location's path is made of.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _MESSAGE_NESTED, _MESSAGE_ENUM = 2, 3, 4
_ENUM_VALUE = _SERVICE_METHOD = 2
_ROW = re.compile(r" \([A-Z]\d{1,2}(?:, [A-Z]\d{1,2})*\)")
"""The number of a requirement, which tells nothing to who reads the document."""


def load_comments() -> dict[str, str]:
    """Leading comment by the full name of a message, field, enum, enum value, service or rpc of our protos."""
    raw = importlib.resources.files("t2m").joinpath("descriptors.binpb").read_bytes()
    return read_comments(descriptor_pb2.FileDescriptorSet.FromString(raw))


def read_comments(files: descriptor_pb2.FileDescriptorSet) -> dict[str, str]:
    """The same from a given descriptor set."""
    comments: dict[str, str] = {}
    for file in files.file:
        names = dict(_names(file))
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            if name is not None and location.leading_comments:
                comments[name] = _reflow(location.leading_comments)
    return comments


def _names(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[Path, str]]:
    for index, message in enumerate(file.message_type):
        yield from _message_names((_FILE_MESSAGE, index), file.package, message)
    yield from _enum_names((_FILE_ENUM,), file.package, file.enum_type)
    for index, service in enumerate(file.service):
        full_name = f"{file.package}.{service.name}"
        yield (_FILE_SERVICE, index), full_name
        for at, method in enumerate(service.method):
            yield (_FILE_SERVICE, index, _SERVICE_METHOD, at), f"{full_name}.{method.name}"


def _message_names(path: Path, scope: str, message: descriptor_pb2.DescriptorProto) -> Iterator[tuple[Path, str]]:
    full_name = f"{scope}.{message.name}"
    yield path, full_name
    for index, field in enumerate(message.field):
        yield (*path, _MESSAGE_FIELD, index), f"{full_name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _message_names((*path, _MESSAGE_NESTED, index), full_name, nested)
    yield from _enum_names((*path, _MESSAGE_ENUM), full_name, message.enum_type)


def _enum_names(
    path: Path, scope: str, enums: Iterable[descriptor_pb2.EnumDescriptorProto]
) -> Iterator[tuple[Path, str]]:
    for index, enum in enumerate(enums):
        yield (*path, index), f"{scope}.{enum.name}"
        for at, value in enumerate(enum.value):
            # Below the enum's own name: two enums of a package may have equal labels once shortened.
            yield (*path, index, _ENUM_VALUE, at), f"{scope}.{enum.name}.{value.name}"


def _reflow(comment: str) -> str:
    """Join the lines of a paragraph; a list item starts a line of its own."""
    paragraphs: list[str] = []
    for block in comment.strip().split("\n\n"):
        lines = [line.strip() for line in block.splitlines()]
        text = ""
        for line in lines:
            starts_item = line.startswith(("- ", "* ")) or line.partition(":")[0] in ("Errors", "Retry")
            text += ("\n" if starts_item and text else " " if text else "") + line
        paragraphs.append(_ROW.sub("", text))
    return "\n\n".join(paragraphs)
