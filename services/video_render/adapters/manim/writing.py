"""In which language and direction a scene's texts are set."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from services.video_render.domain import storyboard

RIGHT_TO_LEFT_LANGUAGES = frozenset(
    {"ar", "arc", "ckb", "dv", "fa", "he", "iw", "ks", "ps", "sd", "syr", "ug", "ur", "yi"}
)
_TALL = (("\u0600", "\u109f"), ("\u1780", "\u17ff"))
"""Arabic and its neighbours, the scripts of India, Thai, Lao, Tibetan, Myanmar; Khmer."""
_ISO_639, _ISO_3166 = re.compile("[a-z]{2,3}"), re.compile("[a-z]{2}")
_TRADITIONAL = {"hant": "TW"}


@dataclass(frozen=True, slots=True)
class Writing:
    """A language as Typst names it, and whether lines begin at the right."""

    language: str = "en"
    """ISO 639, lower case."""
    region: str = ""
    """ISO 3166, upper case; decides between forms of Chinese characters."""
    right_to_left: bool = False
    tall: bool = False
    """Whether letters with marks far above and below the line need more room."""

    @property
    def ascent(self) -> float:
        """From the baseline to the top of a line, in em."""
        return 0.95 if self.tall else 0.75

    @property
    def descent(self) -> float:
        """From the baseline to the bottom of a line, in em."""
        return 0.4 if self.tall else 0.25

    @property
    def middle(self) -> float:
        """From the top of a line to the middle of its small letters, in em: where marks beside a line belong."""
        return self.ascent - 0.2


ENGLISH = Writing()


def of_scene(scene: storyboard.Scene, language: str) -> Writing:
    """How a scene is written: by the storyboard's language (BCP 47) and by the letters that it really holds."""
    first, *subtags = language.lower().split("-")
    if not _ISO_639.fullmatch(first):  # it becomes part of Typst markup
        first = ENGLISH.language
    region = next((tag.upper() for tag in subtags if _ISO_3166.fullmatch(tag)), "")
    region = region or next((_TRADITIONAL[tag] for tag in subtags if tag in _TRADITIONAL), "")
    text = " ".join(_texts(scene))
    tall = any(low <= char <= high for char in text for low, high in _TALL)
    return Writing(first, region, _begins_right(text, first), tall)


def has_right_to_left(text: str) -> bool:
    """Whether a text holds a letter of a script that runs from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)


def _begins_right(text: str, language: str) -> bool:
    """Letters decide; where there are none, the language. A few foreign names do not turn a scene round."""
    classes = [unicodedata.bidirectional(char) for char in text]
    right, left = classes.count("R") + classes.count("AL"), classes.count("L")
    if language in RIGHT_TO_LEFT_LANGUAGES:
        return right > 0 or left == 0
    return right > left


def _texts(value: Any) -> Iterator[str]:
    """Every text of a scene that is shown, in order."""
    if isinstance(value, storyboard.Scene):
        yield value.heading
        yield from _texts(value.content)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for member in value:
            yield from _texts(member)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            yield from _texts(getattr(value, item.name))
