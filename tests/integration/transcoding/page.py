"""gateway/TRANSCODING.md out of the rows: `python -m tests.integration.transcoding.page` writes it."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

from tests.integration.transcoding.answers import ERRORS, JSON, METADATA
from tests.integration.transcoding.bodies import PARTS, VALUES, WELL_KNOWN, WHOLE
from tests.integration.transcoding.differences import DIFFERENCES, ERROR_BODY
from tests.integration.transcoding.queries import QUERIES
from tests.integration.transcoding.requests import METHODS, PATHS, VERBS
from tests.integration.transcoding.row import Outcome, Row

PAGE = Path(__file__).parents[3] / "gateway" / "TRANSCODING.md"

SECTIONS = {
    "Paths": PATHS,
    "Verbs": VERBS,
    "Methods": METHODS,
    "Queries": QUERIES,
    "Bodies": WHOLE,
    "Values in bodies": VALUES,
    "Well-known types in bodies": WELL_KNOWN,
    "Parts as bodies": PARTS,
    "Answers": JSON,
    "Metadata and headers": METADATA,
    "Errors and deadlines": ERRORS,
}
ROWS = [one for rows in SECTIONS.values() for one in rows]

_HEAD = """# google.api.http here and in Envoy

Each row is a request that `tests/integration/test_transcoding.py` sends to the gateway and to a real Envoy
(`grpc_json_transcoder`, set as near to the gateway as it goes) in front of one backend, with one descriptor set. Both
must do what the row says. {total} rows: {same} the same, {different} different on purpose. This page is written from
the rows, and the test holds it to them. Sixty messages of chance go through both besides, bound and answered alike.

## Differences, and why

| difference | rows | for instance | here | Envoy | why |
| --- | --: | --- | --- | --- | --- |
"""


def render() -> str:
    """The page."""
    different = [one for one in ROWS if one.why]
    text = _HEAD.format(total=len(ROWS), same=len(ROWS) - len(different), different=len(different))
    errors = [one for one in ROWS if min(one.here[0], one.envoy[0]) >= 400]
    text += f"| {ERROR_BODY} | {len(errors)} | every error | | | {DIFFERENCES[ERROR_BODY]} |\n"
    order = list(DIFFERENCES)
    for why, group in groupby(sorted(different, key=lambda one: order.index(one.why)), lambda one: one.why):
        found = list(group)
        text += f"| {why} | {len(found)} | {_request(found[0])} | {_told(found[0].here)} | {_told(found[0].envoy)} | "
        text += f"{DIFFERENCES[why]} |\n"
    for title, rows in SECTIONS.items():
        text += f"\n## {title}\n\n| | request | here | Envoy |\n| --- | --- | --- | --- |\n"
        for one in rows:
            envoy = f"{_told(one.envoy)} ({one.why})" if one.why else "the same"
            text += f"| {one.name} | {_request(one)} | {_told(one.here)} | {envoy} |\n"
    return text


def _request(one: Row) -> str:
    body = "" if not one.body else " " + one.body.decode("utf-8", "backslashreplace")
    timeout = f" Grpc-Timeout: {one.headers['grpc-timeout']}" if "grpc-timeout" in one.headers else ""
    looks_at = f" → {one.looks_at}" if one.looks_at else ""
    return _code(one.request + body + timeout + looks_at)


def _told(outcome: Outcome) -> str:
    status, content = outcome
    if content is None:
        return str(status)
    return f"{status} {_code(_words(content))}"


def _words(content: object) -> str:
    if isinstance(content, tuple):
        first, second = content
        return f"{first} {_words(second)}" if isinstance(second, dict) else f"{first}: {second}"
    text = json.dumps(content, ensure_ascii=False)
    return text if len(text) <= 160 else text[:159] + "…"


def _code(text: str) -> str:
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text).replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


if __name__ == "__main__":
    PAGE.write_text(render())
