"""Path templates of `google.api.http`, and the router that finds a route in one look-up.

Grammar (google/api/http.proto):

    Template = "/" Segments [ ":" LITERAL ]        Segment  = "*" | "**" | LITERAL | Variable
    Segments = Segment { "/" Segment }             Variable = "{" FieldPath [ "=" Segments ] "}"

A path is split at `/`, and the verb taken off, before anything is percent-decoded: what is escaped is never syntax.
A variable of one segment is decoded as a whole; one of several keeps `%2F`, which tells a slash in a segment from one
between two. `**` matches zero or more segments. A trailing slash is a segment of its own, an empty one, and only `**`
matches an empty segment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")

_VARIABLE = re.compile(r"\{([a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*)(?:=([^{}]+))?\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~-]+")
_ESCAPED_SLASH = re.compile("(%2[Ff])")
ANY_METHOD = "*"
"""The kind of a custom pattern that leaves the HTTP method open."""


class TemplateError(ValueError):
    """A template that is not in the grammar, or two templates that claim the same paths."""


class PathEncodingError(ValueError):
    """A request path whose percent-escapes are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A field path filled from `path segments [start, stop)`; `stop` is None when it ends in `**`."""

    field_path: str
    start: int
    stop: int | None

    @property
    def single(self) -> bool:
        """Whether it is exactly one segment."""
        return self.stop == self.start + 1


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled path template. `segments` holds literals, `*` and `**`; `verb` is the part after `:`."""

    source: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]

    def openapi_path(self) -> str:
        """The path as OpenAPI writes it: every variable a plain `{field.path}`."""
        return _VARIABLE.sub(lambda match: "{" + match.group(1) + "}", self.source)


def compile_template(source: str) -> Template:
    """Compile a template. Raises TemplateError when it is not in the grammar."""
    if not source.startswith("/"):
        raise TemplateError(f"{source}: must start with /")
    segments: list[str] = []
    variables: list[Variable] = []
    body, verb = _split_verb(source)
    for part in _split_outside_braces(body[1:]):
        match = _VARIABLE.fullmatch(part)
        if match is None:
            segments.append(_segment(part, source))
            continue
        start = len(segments)
        segments.extend(_segment(inner, source) for inner in (match.group(2) or "*").split("/"))
        open_ended = segments[-1] == "**"
        variables.append(Variable(match.group(1), start, None if open_ended else len(segments)))
    if "**" in segments[:-1]:
        raise TemplateError(f"{source}: ** is only allowed at the end")
    if len({variable.field_path for variable in variables}) != len(variables):
        raise TemplateError(f"{source}: a field is bound twice")
    return Template(source, tuple(segments), verb, tuple(variables))


def _split_verb(source: str) -> tuple[str, str]:
    head, colon, verb = source.rpartition(":")
    if not colon or "/" in verb or "}" in verb:
        return source, ""
    if not _LITERAL.fullmatch(verb):
        raise TemplateError(f"{source}: bad verb {verb!r}")
    return head, verb


def _split_outside_braces(path: str) -> list[str]:
    if "//" in path or path.endswith("/"):
        return [""]  # An empty segment, which no rule of the grammar accepts.
    parts = re.findall(r"(?:\{[^{}]*\}|[^/{}])+", path)
    return parts if "/".join(parts) == path else [path]  # The latter for an unbalanced brace, which is refused.


def _segment(text: str, source: str) -> str:
    if text in ("*", "**") or _LITERAL.fullmatch(text):
        return text
    raise TemplateError(f"{source}: bad segment {text!r}")


@dataclass(slots=True)
class _Node(Generic[T]):
    """A step of the trie. `ends` and `open_ends` map a verb suffix ("" for none) to HTTP method → leaf."""

    literals: dict[str, _Node[T]] = field(default_factory=dict)
    wildcard: _Node[T] | None = None
    ends: dict[str, dict[str, _Leaf[T]]] = field(default_factory=dict)
    open_ends: dict[str, dict[str, _Leaf[T]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Leaf(Generic[T]):
    template: Template
    target: T


@dataclass(slots=True)
class Match(Generic[T]):
    """A route and the values of its variables, decoded, by field path."""

    target: T
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class MethodMismatch:
    """The path exists with other HTTP methods."""

    allowed: tuple[str, ...]


class Router(Generic[T]):
    """A trie over path segments. Literals win over `*`, `*` over `**`, a verb over none."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, template: Template, target: T) -> None:
        """Register a route. Raises TemplateError when method and shape of the path are taken."""
        node = self._root
        open_ended = template.segments[-1:] == ("**",)
        for segment in template.segments[:-1] if open_ended else template.segments:
            if segment == "*":
                node.wildcard = node.wildcard or _Node()
                node = node.wildcard
            else:
                node = node.literals.setdefault(segment, _Node())
        leaves = (node.open_ends if open_ended else node.ends).setdefault(template.verb, {})
        if method in leaves:
            raise TemplateError(f"{method} {template.source} collides with {leaves[method].template.source}")
        leaves[method] = _Leaf(template, target)

    def match(self, method: str, raw_path: str) -> Match[T] | MethodMismatch | None:
        """Find the route of a still percent-encoded path (without query).

        Raises PathEncodingError when the path is not UTF-8 once decoded.
        """
        sent = raw_path[1:].split("/")
        escaped = "%" in raw_path
        parts = [_decode(part) for part in sent] if escaped else sent
        last, colon, verb = sent[-1].rpartition(":")
        leaves: dict[str, _Leaf[T]] | None = None
        if colon:
            stripped = [*parts[:-1], _decode(last)]
            leaves = _walk(self._root, stripped, 0, _decode(verb))
            if leaves is not None:
                parts = stripped
                sent[-1] = last
        if leaves is None:
            leaves = _walk(self._root, parts, 0, "")
        if leaves is None:
            return None
        leaf = leaves.get(method) or (leaves.get("GET") if method == "HEAD" else None) or leaves.get(ANY_METHOD)
        if leaf is None:
            return MethodMismatch(_allow_list(leaves))
        variables = leaf.template.variables
        if not escaped:
            return Match(leaf.target, {v.field_path: "/".join(parts[v.start : v.stop]) for v in variables})
        return Match(
            leaf.target,
            {
                v.field_path: parts[v.start] if v.single else "/".join(map(_decode_but_slashes, sent[v.start : v.stop]))
                for v in variables
            },
        )


def _walk(node: _Node[T], parts: list[str], index: int, verb: str) -> dict[str, _Leaf[T]] | None:
    if index == len(parts):
        return node.ends.get(verb) or node.open_ends.get(verb)
    part = parts[index]
    child = node.literals.get(part)
    if child is not None and (found := _walk(child, parts, index + 1, verb)) is not None:
        return found
    # An empty segment fills no variable: `/jobs//events` is not `/jobs/{job_id}/events`.
    if part and node.wildcard is not None:
        found = _walk(node.wildcard, parts, index + 1, verb)
        if found is not None:
            return found
    return node.open_ends.get(verb)


def _allow_list(leaves: dict[str, _Leaf[T]]) -> tuple[str, ...]:
    return tuple(sorted({*leaves, "OPTIONS", *(("HEAD",) if "GET" in leaves else ())}))


def _decode(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise PathEncodingError(part) from error


def _decode_but_slashes(part: str) -> str:
    """A segment of several: `%2F` stays as it was sent."""
    return "".join(piece if index % 2 else _decode(piece) for index, piece in enumerate(_ESCAPED_SLASH.split(part)))
