"""The bounds of one value: compiles `t2m.common.v1.FieldRules` into a closure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from services.runtime.authorization import ContractError
from t2m.common.v1.options_pb2 import FieldRules

_KINDS = {
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_MESSAGE: "message",
    FieldDescriptor.CPPTYPE_ENUM: "enum",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
}

Check = Callable[[Any], "str | None"]
"""Takes a value, gives the wording of the rule that it breaks, or None."""

_STRING_RULES = ("min_len", "max_len", "pattern", "in", "format")
_NUMBER_RULES = ("gte", "lte")
_APPLIES = {
    "string": {*_STRING_RULES},
    "bytes": {"max_bytes"},
    "message": {"max_bytes"},
    "number": {*_NUMBER_RULES},
    "enum": {"defined_only"},
    "bool": set[str](),
}
_LIST_RULES = {"min_items", "max_items", "unique", "isolate_items"}
_ANYWHERE = {"required", "example"}
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_WEB_ADDRESS = re.compile(
    r"(?i:https?)://"
    r"(?:[^\s\x00-\x1f/?#@\\]*@)?"
    r"(?:[^\s\x00-\x1f/?#@:\[\]\\]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::[0-9]{1,5})?"
    r"(?:[/?#][^\s\x00-\x1f]*)?"
)
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}")


def kind_of(field: FieldDescriptor) -> str:
    """The family of a field's values: string, bytes, message, enum, bool or number."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes"
    return _KINDS.get(field.cpp_type, "number")


def check_applicability(field: FieldDescriptor, value_kind: str, rules: FieldRules, *, is_list: bool) -> None:
    """Raise ContractError when a rule stands on a field that it cannot bound."""
    allowed = _APPLIES[value_kind] | _ANYWHERE | (_LIST_RULES if is_list else set())
    for rule, _ in rules.ListFields():
        if rule.name not in allowed:
            raise ContractError(f"{field.full_name}: rule `{rule.name}` does not apply to this type")
    if rules.unique and value_kind == "message":
        raise ContractError(f"{field.full_name}: rule `unique` does not apply to messages")


def compile_value(field: FieldDescriptor, value_kind: str, rules: FieldRules, *, is_item: bool) -> Check | None:
    """The check of one set value, None when the rules ask nothing of it.

    An item of a list is always set: `min_len` then applies to an empty string too.
    """
    match value_kind:
        case "string":
            checks = _string_checks(field, rules, strict=is_item or rules.required)
        case "number":
            checks = _number_checks(rules)
        case "enum" if rules.defined_only:
            enum = field.enum_type
            assert enum is not None
            checks = [_member_check(frozenset(value.number for value in enum.values))]
        case "bytes" if rules.HasField("max_bytes"):
            checks = [_size_check(len, rules.max_bytes)]
        case "message" if rules.HasField("max_bytes"):
            checks = [_size_check(lambda message: message.ByteSize(), rules.max_bytes)]
        case _:
            checks = []
    return _first_of(checks)


def _first_of(checks: list[Check]) -> Check | None:
    if len(checks) < 2:
        return checks[0] if checks else None
    several = tuple(checks)

    def check(value: Any) -> str | None:
        for each in several:
            if (broken := each(value)) is not None:
                return broken
        return None

    return check


def _string_checks(field: FieldDescriptor, rules: FieldRules, *, strict: bool) -> list[Check]:
    checks: list[Check] = []
    if rules.HasField("min_len"):
        least, wording = rules.min_len, f"must have at least {_count(rules.min_len, 'character')}"
        checks.append(lambda v: wording if len(v.strip()) < least and (v or strict) else None)
    if rules.HasField("max_len"):
        most, too_long = rules.max_len, f"must have at most {_count(rules.max_len, 'character')}"
        checks.append(lambda v: too_long if len(v) > most else None)
        # Valid in proto3 and in JSON, but no text column of Postgres can hold it.
        checks.append(lambda v: "must not contain the character U+0000" if "\0" in v else None)
    if rules.pattern:
        matches, unlike = _compiled(field, rules.pattern), f"must match {rules.pattern}"
        checks.append(lambda v: None if matches(v) else unlike)
    choices = getattr(rules, "in")  # a keyword, so it has no plain attribute
    if choices:
        known, none_of = frozenset(choices), "must be one of " + ", ".join(choices)
        checks.append(lambda v: None if v in known else none_of)
    if rules.format:
        checks.append(_format_check(field, rules.format))
    return checks


def _compiled(field: FieldDescriptor, pattern: str) -> Callable[[str], Any]:
    try:
        return re.compile(pattern).fullmatch
    except re.error as exc:
        raise ContractError(f"{field.full_name}: pattern does not compile: {exc}") from exc


def _format_check(field: FieldDescriptor, name: str) -> Check:
    match name:
        case "uuid":
            return lambda v: None if _UUID.fullmatch(v) else "must be a UUID"
        case "email":
            return lambda v: None if len(v) <= 254 and _EMAIL.fullmatch(v) else "must be an e-mail address"
        case "uri":
            return lambda v: None if _WEB_ADDRESS.fullmatch(v) else "must be an absolute http or https address"
    raise ContractError(f"{field.full_name}: unknown format `{name}`")


def _number_checks(rules: FieldRules) -> list[Check]:
    checks: list[Check] = []
    # Written as `not (… >= …)` so that NaN is refused.
    if rules.HasField("gte"):
        least, too_small = rules.gte, f"must be at least {rules.gte:g}"
        checks.append(lambda v: None if v >= least else too_small)
    if rules.HasField("lte"):
        most, too_large = rules.lte, f"must be at most {rules.lte:g}"
        checks.append(lambda v: None if v <= most else too_large)
    return checks


def _member_check(numbers: frozenset[int]) -> Check:
    return lambda v: None if v in numbers else "must be a known value"


def _size_check(size_of: Callable[[Any], int], most: int) -> Check:
    wording = f"must be at most {_count(most, 'byte')}"
    return lambda v: wording if size_of(v) > most else None


def compile_list(rules: FieldRules) -> Check | None:
    """The check of a list or map as a whole, None when the rules ask nothing of it."""
    checks: list[Check] = []
    if rules.HasField("min_items"):
        least, too_few = rules.min_items, f"must have at least {_count(rules.min_items, 'item')}"
        checks.append(lambda v: too_few if len(v) < least else None)
    if rules.HasField("max_items"):
        most, too_many = rules.max_items, f"must have at most {_count(rules.max_items, 'item')}"
        checks.append(lambda v: too_many if len(v) > most else None)
    if rules.unique:
        checks.append(lambda v: "must not repeat an item" if len(set(v)) != len(v) else None)
    return _first_of(checks)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
