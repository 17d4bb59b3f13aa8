"""Captions: what is said, in pieces that can be read, and as WebVTT (W3C) and SubRip text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

LINE = 42
"""Characters on a line; two lines at most (the usual guide for subtitles)."""
LONGEST = 2 * LINE
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+")
_PAUSE = re.compile(r"(?<=[,;:、，；：])\s*")


@dataclass(frozen=True, slots=True)
class Caption:
    """A piece of text from `start_s` to `end_s`, in seconds."""

    start_s: float
    end_s: float
    text: str

    def shifted(self, seconds: float) -> Caption:
        """The same, so much later."""
        return replace(self, start_s=self.start_s + seconds, end_s=self.end_s + seconds)


@dataclass(frozen=True, slots=True)
class Mark:
    """The word that begins at a character of the text is said at a time, in seconds."""

    at: int
    time_s: float


def captions(text: str, marks: Sequence[Mark], start_s: float, end_s: float) -> tuple[Caption, ...]:
    """A text that is said from `start_s` to `end_s`, in pieces. `marks` are of its words, in seconds from `start_s`;
    where there are none, characters are taken to be equally long.
    """
    pieces = _pieces(text)
    begins = [start_s + _time_of(begin, len(text), marks, end_s - start_s) for begin, _ in pieces]
    ends = [*begins[1:], *([end_s] if begins else [])]
    return tuple(
        Caption(round(begin, 3), round(max(end, begin + 0.1), 3), piece)
        for begin, end, (_, piece) in zip(begins, ends, pieces, strict=True)
    )


def _time_of(at: int, length: int, marks: Sequence[Mark], seconds: float) -> float:
    if not marks:
        return seconds * at / max(length, 1)
    return next((mark.time_s for mark in marks if mark.at >= at), seconds)


def _pieces(text: str) -> list[tuple[int, str]]:
    """(position, text) of pieces that end at sentences, else at pauses, else between words."""
    found: list[tuple[int, str]] = []
    for at, sentence in _split(text, 0, _SENTENCE):
        current: tuple[int, str] | None = None
        for begin, part in _short_enough(sentence, at):
            if current is not None and len(current[1]) + 1 + len(part) <= LONGEST:
                current = current[0], f"{current[1]} {part}"
                continue
            if current is not None:
                found.append(current)
            current = begin, part
        if current is not None:
            found.append(current)
    return found


def _short_enough(sentence: str, at: int) -> Iterable[tuple[int, str]]:
    for begin, part in _split(sentence, at, _PAUSE):
        if len(part) <= LONGEST:
            yield begin, part
            continue
        words = list(_split(part, begin, re.compile(r"\s+")))
        if len(words) == 1:  # a script without spaces, or a very long word
            yield from ((begin + cut, part[cut : cut + LINE]) for cut in range(0, len(part), LINE))
        else:
            yield from words


def _split(text: str, at: int, separator: re.Pattern[str]) -> list[tuple[int, str]]:
    parts, last = [], 0
    for match in separator.finditer(text):
        parts.append((at + last, text[last : match.start()]))
        last = match.end()
    parts.append((at + last, text[last:]))
    return [(begin, part) for begin, part in parts if part.strip()]


def webvtt(cues: Iterable[Caption]) -> str:
    """A WebVTT file."""
    blocks = ["WEBVTT", *(f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{_escaped(cue)}" for cue in cues)]
    return "\n\n".join(blocks) + "\n"


def subrip(cues: Iterable[Caption]) -> str:
    """A SubRip file."""
    blocks = [
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{_lines(cue.text)}\n"
        for number, cue in enumerate(cues, start=1)
    ]
    return "\n".join(blocks)


def _escaped(cue: Caption) -> str:
    return _lines(cue.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(text: str) -> str:
    """One line, or two of about equal length."""
    words = text.split()
    if len(text) <= LINE or len(words) < 2:
        return " ".join(words)
    cuts = range(1, len(words))
    best = min(cuts, key=lambda cut: abs(len(" ".join(words[:cut])) - len(" ".join(words[cut:]))))
    return " ".join(words[:best]) + "\n" + " ".join(words[best:])


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
