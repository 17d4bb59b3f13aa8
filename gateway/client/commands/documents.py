"""Storyboards and lists of orders in files, as people write them: YAML, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import click
import yaml

_FLAGS = frozenset({"narration", "thumbnails", "use_rag"})
_NUMBERS = frozenset({"max_retries"})
_LISTS = frozenset({"quality_levels"})
_SILENT_WHEN_EMPTY: tuple[object, ...] = ("", "unspecified", [])


class _Loader(yaml.SafeLoader):
    """YAML whose words stay words: `no`, `on` and `2026-11-21` are text, as somebody who writes a heading expects."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, which can be edited."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def read_text(source: str) -> str:
    """A file, or stdin for `-`. click.UsageError."""
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {source}: {getattr(error, 'strerror', None) or error}") from error


def named(source: str) -> str:
    """What a message calls it."""
    return "stdin" if source == "-" else source


def read_mapping(source: str) -> dict[str, Any]:
    """A document with names at its top: YAML, of which JSON is a part. click.UsageError says line and column."""
    document = parsed(read_text(source), named(source))
    if not isinstance(document, dict):
        raise click.UsageError(f"{named(source)}: expected names and values at the top, such as `title: …`")
    return document


def parsed(text: str, source: str) -> Any:
    """YAML or JSON. click.UsageError."""
    try:
        # YAML takes JSON, too, but for tabs and a few escapes.
        return json.loads(text)
    except ValueError as error:
        if source.lower().endswith(".json") and isinstance(error, json.JSONDecodeError):
            place = f"line {error.lineno}, column {error.colno}"
            raise click.UsageError(f"{source}, {place}: {error.msg}") from error
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # A SafeLoader.
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise click.UsageError(f"{source}{place}: {error.problem}") from error


def read_orders(source: str) -> tuple[list[dict[str, Any]], str]:
    """Orders of a batch, and its webhook URL: a CSV file with headings, or a list, also under `requests:`.
    click.UsageError.
    """
    text = read_text(source)
    if source.lower().endswith(".csv"):
        rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        return [_order(row, source, index) for index, row in enumerate(rows, 2)], ""
    document = parsed(text, named(source))
    webhook_url = ""
    if isinstance(document, dict):
        webhook_url = str(document.get("webhook_url", ""))
        document = document.get("requests")
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        raise click.UsageError(f"{named(source)}: expected a list of orders, each with `topic` and `context`")
    return document, webhook_url


def _order(row: dict[str | Any, Any], source: str, number: int) -> dict[str, Any]:
    """A row of CSV; empty cells say nothing. click.UsageError."""
    if None in row:
        raise click.UsageError(f"{source}, row {number}: more cells than headings; put texts with commas in quotes")
    order: dict[str, Any] = {}
    for name, cell in row.items():
        value = (cell or "").strip()
        if not value:
            continue
        if name in _FLAGS:
            order[name] = value.lower() in {"true", "yes", "1", "x"}
        elif name in _NUMBERS and value.isdigit():
            order[name] = int(value)
        elif name in _LISTS:
            order[name] = value.split()
        else:
            order[name] = value
    return order


def dumped(document: Any) -> str:
    """YAML for people: in the order it came, and without what is empty."""
    return str(yaml.dump(pruned(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


def pruned(value: Any) -> Any:
    """Without fields that say nothing. Numbers and flags stay: where a field may be unset, 0 is something else."""
    if isinstance(value, dict):
        kept = {name: pruned(item) for name, item in value.items() if item not in _SILENT_WHEN_EMPTY}
        return {name: item for name, item in kept.items() if name not in {"duration_s", "speed"} or item}
    if isinstance(value, list):
        return [pruned(item) for item in value]
    return value
