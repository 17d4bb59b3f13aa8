"""The fonts that texts are set in. They come out of packages, never from the system.

All of them are under the SIL Open Font License 1.1. Source Sans Pro covers Latin, Greek and Cyrillic; the Noto fonts,
some of them variable in weight, add scripts: 35 MB in all, most of that for Chinese, Japanese and Korean.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGES = (
    "font-source-sans-pro",
    "justmytype-intl-rtl",
    "justmytype-intl-south-asia",
    "justmytype-intl-sea",
    "noto-cjk-sans-jp-regular",
    "noto-cjk-sans-jp-bold",
)
"""Distributions that carry fonts; their versions are part of what a scene looks like."""

_SCRIPTS = (
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Telugu",
    "Noto Sans Thai",
    "Noto Sans Lao",
    "Noto Sans Khmer",
    "Noto Sans Myanmar",
    # Holds all Chinese, Japanese and Korean forms: the language decides which are shown.
    "Noto Sans CJK JP",
)
TEXT = ("Source Sans Pro", *_SCRIPTS)
MATH = ("New Computer Modern Math", *TEXT)
CODE = ("DejaVu Sans Mono", *TEXT)


class FontsMissing(Exception):
    """A package with fonts is not installed."""


def folders() -> list[str]:
    """Where the font files are; raises `FontsMissing`."""
    found: list[str] = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package.replace("-", "_"))
        if spec is None or spec.origin is None:
            raise FontsMissing(f"the font package {package} is not installed")
        found.append(str(Path(spec.origin).parent))
    return found


def typst(families: tuple[str, ...]) -> str:
    """Families, the first that has a character is taken, as a Typst array."""
    return "(" + "".join(f'"{family}", ' for family in families) + ")"
