"""Sentences and their division over scenes."""

from __future__ import annotations

import re

_ABBREVIATIONS = (
    "e.g.",
    "i.e.",
    "etc.",
    "vs.",
    "cf.",
    "approx.",
    "fig.",
    "eq.",
    "no.",
    "dr.",
    "mr.",
    "ms.",
    "st.",
)
_BREAK = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])[\"')\u201d]*\s+(?=[^\s.,;:])|(?<=[\u3002\uff01\uff1f])")


def sentences(text: str) -> list[str]:
    """The sentences of a text; abbreviations and decimals do not end one."""
    found: list[str] = []
    for piece in _BREAK.split(" ".join(text.split())):
        if found and (found[-1].lower().endswith(_ABBREVIATIONS) or piece[:1].islower()):
            found[-1] += f" {piece}"
        elif piece:
            found.append(piece)
    return found


def portions(text: str, size: int) -> list[str]:
    """A text in consecutive parts of at most `size` characters and about equal length, cut between sentences.

    A sentence that is longer than `size` is cut between words. Nothing is lost.
    """
    pieces = [part for sentence in sentences(text) for part in _cut(sentence, size)]
    total = sum(len(piece) + 1 for piece in pieces)
    target = total / max(-(-total // size), 1)
    parts: list[str] = []
    for piece in pieces:
        joined = f"{parts[-1]} {piece}" if parts else piece
        if parts and len(joined) <= size and len(parts[-1]) + len(piece) / 2 <= target:
            parts[-1] = joined
        else:
            parts.append(piece)
    return parts


def _cut(sentence: str, size: int) -> list[str]:
    """Pieces of at most `size` characters; a single longer word is cut where it has to be."""
    lines: list[str] = []
    for word in sentence.split():
        for start in range(0, len(word), size):
            chunk = word[start : start + size]
            if lines and start == 0 and len(lines[-1]) + 1 + len(chunk) <= size:
                lines[-1] += f" {chunk}"
            else:
                lines.append(chunk)
    return lines


def shorten(text: str, size: int) -> str:
    """A text cut at a word, with an ellipsis when something was cut."""
    text = " ".join(text.split())
    if len(text) <= size:
        return text
    head = text[: size - 1].rsplit(" ", 1)[0] if " " in text[: size - 1] else text[: size - 1]
    return f"{head.rstrip(' ,;:.')}…"


def plain(text: str) -> str:
    """A text without inline markup, for narration."""
    bare = re.sub(r"`([^`]+)`|\$([^$\n]+)\$", lambda m: m[1] or m[2], text)
    return re.sub(r"\*{1,2}([^*]+?)\*{1,2}", r"\1", bare)
