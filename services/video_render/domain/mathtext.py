"""Typst mathematics from people: what is allowed, and how LaTeX habits are put into Typst.

Typst mathematics is also a programming language (`#`, functions, files), so nothing reaches the compiler that
`problem` has not passed: no code, no comments, only names on the allow-list.
"""

from __future__ import annotations

import re

from services.video_render.domain.math_names import LATEX, TYPST_NAMES

MAX_LENGTH = 400
MAX_DEPTH = 24

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[^\W\d_]+(?:\.[^\W\d_]+)*')
_OPENERS = {"(": ")", "[": "]", "{": "}"}


def problem(math: str) -> str | None:
    """Why this is not acceptable Typst mathematics, or None when it is."""
    if not math.strip():
        return "must not be empty"
    if len(math) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} characters, has {len(math)}"
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', math)
    for forbidden, why in (("#", "code"), ("$", "'$'"), ("//", "comments"), ("/*", "comments"), ("`", "'`'")):
        if forbidden in bare:
            return f"must not hold {why}"
    if bare.count('"') % 2:
        return "has a quote that is not closed"
    for word in _WORD.findall(bare):
        if not _is_known(word):
            return f"unknown name '{word}'; put words in double quotes"
    return _balance(bare)


def _is_known(word: str) -> bool:
    return word[0] in '"\\' or len(word) == 1 or word in TYPST_NAMES


def _balance(bare: str) -> str | None:
    """Brackets of one kind may close another (half-open intervals), but none may stay open."""
    depth = 0
    for position, char in enumerate(bare):
        if position and bare[position - 1] == "\\":
            continue
        depth += (char in _OPENERS) - (char in _OPENERS.values())
        if depth < 0:
            return "closes a bracket that was never opened"
        if depth > MAX_DEPTH:
            return f"nests brackets deeper than {MAX_DEPTH}"
    return "has a bracket that is not closed" if depth else None


def normalise(math: str) -> str:
    """Typst mathematics out of what people write: a LaTeX subset, Typst, or plain `E = mc^2`.

    Unknown words become upright text when they have three letters or more, products of their letters otherwise.
    The result may still break a rule; `problem` tells.
    """
    source = " ".join(math.split())
    if re.search(r"\\[A-Za-z]|[\^_]\{", source):
        source = _Latex(source).translate()
    words = " ".join(_WORD.sub(_quote_unknown, source).split())
    return re.sub(r" (?=[\^_'),])|(?<=[\^_(]) ", "", words)


def _quote_unknown(match: re.Match[str]) -> str:
    word = match.group()
    if _is_known(word):
        return word
    spelled = [part if _is_known(part) else _spell(part) for part in word.split(".")]
    return ".".join(spelled) if len(spelled) == 1 else " . ".join(spelled)


def _spell(word: str) -> str:
    return f'"{word}"' if len(word) > 2 else " ".join(word)


class _Latex:
    """One pass over LaTeX source; every command is translated or, when unknown, kept as its name."""

    _TOKEN = re.compile(r"\\([A-Za-z]+\*?|.)|(.)", re.DOTALL)

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0

    def translate(self) -> str:
        """The whole source in Typst."""
        out: list[str] = []
        while self._position < len(self._source):
            out.append(self._next())
        return "".join(out)

    def _next(self) -> str:
        """The next token, group or command with its arguments."""
        match = self._TOKEN.match(self._source, self._position)
        assert match is not None
        self._position = match.end()
        command, char = match.groups()
        if command:
            return self._command(command)
        if char == "{":
            return self._until_brace()
        if char in "^_":
            return f"{char}({self._argument()})"
        if char.isalpha():
            return f" {char} "
        return {"}": "", "~": " ", "#": "", "/": r"\/"}.get(char, char)

    def _command(self, name: str) -> str:
        match name:
            case "frac" | "dfrac" | "tfrac" | "cfrac":
                return f" ({self._argument()})/({self._argument()}) "
            case "binom":
                return f" binom({self._argument()}, {self._argument()}) "
            case "sqrt":
                degree = self._bracketed()
                return f" root({degree}, {self._argument()}) " if degree else f" sqrt({self._argument()}) "
            case "text" | "mathrm" | "operatorname" | "textbf" | "mbox" | "textrm":
                return ' "' + self._raw_argument().replace('"', "'") + '" '
            case "begin" | "end":
                self._raw_argument()
                return ""
            case "left" | "right" | "big" | "Big" | "bigg" | "Bigg" | "displaystyle" | "limits":
                if self._source[self._position : self._position + 1] == ".":
                    self._position += 1
                return ""
            case "\\":
                return r" \ "
        if name in ("{", "}", "$", "#", "_"):
            return f"\\{name}"
        if name in (
            "vec",
            "hat",
            "bar",
            "tilde",
            "dot",
            "ddot",
            "overline",
            "underline",
            "mathbf",
            "mathcal",
            "mathbb",
        ):
            return f" {LATEX[name]}({self._argument()}) "
        return f" {LATEX.get(name, name)} "

    def _until_brace(self) -> str:
        """The translated rest of a group whose opening brace was read."""
        out: list[str] = []
        while self._position < len(self._source) and self._source[self._position] != "}":
            out.append(self._next())
        self._position += 1
        return "".join(out).strip()

    def _argument(self) -> str:
        """One argument: a group, a command, or a single character."""
        while self._source[self._position : self._position + 1] == " ":
            self._position += 1
        if self._position >= len(self._source):
            return ""
        return self._next().strip()

    def _raw_argument(self) -> str:
        """One braced argument as it is written."""
        match = re.compile(r"\s*\{([^{}]*)\}").match(self._source, self._position)
        if match is None:
            return ""
        self._position = match.end()
        return match.group(1)

    def _bracketed(self) -> str:
        """An optional argument in square brackets, or nothing."""
        match = re.compile(r"\s*\[([^\]]*)\]").match(self._source, self._position)
        if match is None:
            return ""
        self._position = match.end()
        return _Latex(match.group(1)).translate().strip()
