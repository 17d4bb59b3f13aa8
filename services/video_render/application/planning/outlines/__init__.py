"""Outlines of topics that are asked for often: scripts in the planner's own notation, one file per topic.

The first line of a file says what it covers: `match: pythagor | right triangle theorem`. An alternative matches when
each of its words begins some word of the topic.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources


def find(topic: str) -> str | None:
    """The script for a topic, or None when no outline covers it."""
    words = re.findall(r"[a-z0-9]+", topic.lower())
    for alternatives, script in _all():
        for stems in alternatives:
            if all(any(word.startswith(stem) for word in words) for stem in stems):
                return script
    return None


@lru_cache(maxsize=1)
def _all() -> tuple[tuple[tuple[tuple[str, ...], ...], str], ...]:
    """(alternatives, script) of every file, by name."""
    folder = resources.files(__package__)
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".md")), key=lambda item: item.name)
    found = []
    for item in files:
        first, _, script = item.read_text(encoding="utf-8").partition("\n")
        alternatives = tuple(tuple(part.split()) for part in first.removeprefix("match:").lower().split("|"))
        found.append((alternatives, script))
    return tuple(found)
