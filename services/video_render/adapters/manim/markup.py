"""Storyboard texts to trusted Typst markup.

Nobody's text is ever put into markup as it is: it becomes string literals, and mathematics passes
`mathtext.problem` first, so a text can neither run Typst code nor break the layout.
"""

from __future__ import annotations

import re

from services.video_render.domain import mathtext

_INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\$(?P<math>[^$\n]+)\$|\*\*(?P<bold>.+?)\*\*|(?<![\w*])\*(?P<italic>[^*\s][^*]*?)\*(?![\w*])"
)


_LONG_WORD = re.compile(r"\S{28,}")


def literal(text: str) -> str:
    """A Typst string literal (code mode) of any text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", " ").replace("\r", "")
    return '"' + "".join(char if ord(char) >= 32 or char == "\n" else " " for char in escaped) + '"'


def inline(text: str, accent: str) -> str:
    """One line of text with its inline markup; `accent` colours code and emphasis."""
    parts: list[str] = []
    end = 0
    for match in _INLINE.finditer(text):
        parts.append(_plain(text[end : match.start()]))
        parts.append(_marked(match, accent))
        end = match.end()
    parts.append(_plain(text[end:]))
    return "".join(parts)


def paragraphs(text: str, accent: str) -> str:
    """Running text: an empty line separates paragraphs, single line ends are spaces."""
    blocks = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(inline(" ".join(block.split()), accent) for block in blocks)


def math(source: str) -> str:
    """A displayed formula; the storyboard's rules have accepted it."""
    return f"$ {source} $"


def math_inline(source: str) -> str:
    """A formula in a line of text."""
    return f"${source}$"


def _plain(text: str) -> str:
    return f"#{literal(_LONG_WORD.sub(_breakable, text))};" if text else ""


def _breakable(match: re.Match[str]) -> str:
    """A word nobody could set on one line, with places where it may be broken."""
    return "\u200b".join(re.findall(r".{1,8}", match.group()))


def _marked(match: re.Match[str], accent: str) -> str:
    if (code := match["code"]) is not None:
        return f'#text(fill: rgb("{accent}"), raw({literal(code)}));'
    if (formula := match["math"]) is not None:
        normal = mathtext.normalise(formula)
        if mathtext.problem(normal):
            return _plain(match.group())
        return f"${normal}$"
    if (bold := match["bold"]) is not None:
        return f"#strong[{inline(bold, accent)}];"
    return f"#emph[{inline(match['italic'], accent)}];"
