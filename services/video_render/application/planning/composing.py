"""Blocks to scenes: what stands under which heading, and what has to be divided over several scenes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from services.video_render.application.planning import data_blocks, pacing, prose
from services.video_render.application.planning.blocks import Block
from services.video_render.domain import mathtext
from services.video_render.domain import storyboard as model
from services.video_render.domain import storyboard_rules as rules
from services.video_render.domain.math_names import TYPST_NAMES

PARAGRAPH_SIZE = 280
PARAGRAPH_SMALLEST = 90
LIST_SIZE = 6
LIST_CHARACTERS = 420
ITEM_SIZE = 220
CODE_LINES = 16
CODE_COLUMNS = 88
RECAP_ITEMS = 4
RECAP_ITEM = 110

_CLOSING = re.compile(r"(?:recap|summary|in short|remember|conclusions?|takeaways?|key points)\b", re.IGNORECASE)
_MATH_WORD = re.compile(r"[A-Za-z]{2,}")
_INLINE_DISPLAY = re.compile(r"\$\$(.+?)\$\$")


class Composer:
    """Turns blocks into content under headings. One composer serves one script."""

    def __init__(self, default_heading: str, portion: int = PARAGRAPH_SIZE) -> None:
        self._portion = portion
        self._heading = default_heading
        self._pending = ""

    def compose(self, blocks: Iterable[Block]) -> Iterator[tuple[str, model.Content]]:
        """(heading, content) per scene; raises `BlockError`."""
        for block in blocks:
            if block.kind == "heading":
                yield from self._flush()
                self._heading = self._pending = prose.shorten(block.lines[0], rules.MAX_HEADING)
                continue
            for content in self._contents(block):
                self._pending = ""
                yield self._heading, content
        yield from self._flush()

    def _flush(self) -> Iterator[tuple[str, model.Content]]:
        """A heading with nothing under it is shown as a card of its own."""
        if self._pending:
            yield "", model.TitleCard(self._pending)
            self._pending = ""

    def _contents(self, block: Block) -> Iterable[model.Content]:
        match block.kind:
            case "list":
                return self._list(block.lines)
            case "math":
                return data_blocks.mathematics(block)
            case "plot":
                return self._plot(block)
            case "chart":
                return [data_blocks.chart(block)]
            case "scene":
                return [data_blocks.scene(block)]
            case "table":
                return data_blocks.table(block) or self._text(block)
            case "code":
                return _code(block)
        return self._text(block)

    def _plot(self, block: Block) -> Iterable[model.Content]:
        """A line such as "Plot: the hero leaves home" is a sentence, not a broken plot."""
        try:
            return [data_blocks.plot(block)]
        except data_blocks.BlockError:
            words = _MATH_WORD.findall(block.lines[0]) if block.info == "line" else []
            if len(words) >= 4 and "=" not in block.lines[0]:
                return self._text(Block("text", block.line, (f"Plot: {block.lines[0]}",)))
            raise

    def _list(self, lines: tuple[str, ...]) -> Iterable[model.Content]:
        items = [
            model.BulletItem(part, 1 if line.startswith("  ") else 0)
            for line in lines
            for part in prose.portions(line.strip(), ITEM_SIZE)
        ]
        if _CLOSING.match(self._heading) and len(items) <= LIST_SIZE and not any(item.level for item in items):
            return [model.Recap(tuple(item.text for item in items))]
        return [model.Bullets(tuple(group)) for group in _groups(items)]

    def _text(self, block: Block) -> Iterable[model.Content]:
        if len(block.lines) == 1 and _is_formula(block.lines[0]):
            return data_blocks.mathematics(block)
        text = _INLINE_DISPLAY.sub(r"$\1$", " ".join(block.lines))
        return [model.Paragraph(part) for part in prose.portions(text, self._portion)]


def _groups(items: list[model.BulletItem]) -> Iterator[list[model.BulletItem]]:
    """Items in runs that fit one scene, of about equal length."""
    total = sum(len(item.text) for item in items)
    scenes = max(-(-len(items) // LIST_SIZE), -(-total // LIST_CHARACTERS))
    per_scene = -(-len(items) // scenes)
    group: list[model.BulletItem] = []
    for item in items:
        full = len(group) >= per_scene or sum(len(i.text) for i in group) + len(item.text) > LIST_CHARACTERS
        if group and full:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _is_formula(line: str) -> bool:
    """A line of its own such as `a^2 + b^2 = c^2`: a relation, and no words but function names."""
    if not re.search(r"[=<>\u2248\u2264\u2265]", line) or len(line) > 120 or not re.search(r"[A-Za-z]", line):
        return False
    if any(word not in TYPST_NAMES and len(word) > 2 for word in _MATH_WORD.findall(line)):
        return False
    return line[-1] not in ".!?:," and mathtext.problem(mathtext.normalise(line)) is None


def _code(block: Block) -> Iterator[model.Code]:
    """Source text in pages; lines that are too wide are wrapped, none is lost."""
    lines: list[str] = []
    for text in block.lines:
        pieces = [text[start : start + CODE_COLUMNS] for start in range(0, len(text), CODE_COLUMNS)] or [""]
        lines += pieces
    while lines and not lines[-1].strip():
        lines.pop()
    language = block.info if re.fullmatch(r"[A-Za-z0-9+#._-]{0,32}", block.info) else ""
    pages = max(-(-len(lines) // CODE_LINES), 1)
    per_page = -(-len(lines) // pages)
    for start in range(0, len(lines), max(per_page, 1)):
        page = tuple(lines[start : start + per_page])
        if any(line.strip() for line in page):
            yield model.Code(page, language)


def scenes(contents: Iterable[tuple[str, model.Content]]) -> tuple[model.Scene, ...]:
    """Scenes with ids, narration and durations."""
    return tuple(
        model.Scene(
            id=f"s{number}",
            content=content,
            heading=heading,
            narration=_narration(content),
            duration_s=pacing.duration(content),
        )
        for number, (heading, content) in enumerate(contents, start=1)
    )


def _narration(content: model.Content) -> str:
    """What a voice would say: the words on the screen; formulas and data are left to be seen."""
    match content:
        case model.TitleCard(text=text, subtitle=subtitle):
            said = [text, subtitle]
        case model.Bullets(items=items):
            said = [item.text for item in items]
        case model.Paragraph(text=text):
            said = [text]
        case model.Equation(caption=caption) | model.FunctionPlot(caption=caption) | model.Matrix(caption=caption):
            said = [caption]
        case model.NumberLine(caption=caption) | model.ParametricPlot(caption=caption):
            said = [caption]
        case model.ScatterChart(caption=caption) | model.Network(caption=caption) | model.Image(caption=caption):
            said = [caption]
        case model.Geometry(caption=caption, steps=steps):
            said = [caption, *(step.note for step in steps)]
        case model.Recap(items=points):
            said = list(points)
        case model.Section(text=text, subtitle=subtitle):
            said = [text, subtitle]
        case model.Quote(text=text, author=author):
            said = [text, author]
        case _:
            said = []
    sentences = (prose.plain(part).strip() for part in said)
    joined = " ".join(part if part[-1] in ".!?:" else f"{part}." for part in sentences if part)
    return joined[: rules.MAX_NARRATION]


def recap(contents: list[tuple[str, model.Content]]) -> model.Recap | None:
    """The closing list, drawn from what was shown; None when there is too little to repeat."""
    points: list[str] = []
    for heading, content in contents:
        point = _point(heading, content)
        if point and point not in points:
            points.append(point)
    if len(points) < 2:
        return None
    step = max(len(points) / RECAP_ITEMS, 1.0)
    chosen = [points[int(at * step)] for at in range(min(len(points), RECAP_ITEMS))]
    return model.Recap(tuple(chosen))


def _point(heading: str, content: model.Content) -> str:
    match content:
        case model.Paragraph(text=text):
            first = prose.sentences(text)[0]
            return first if len(first) <= RECAP_ITEM else prose.shorten(first, RECAP_ITEM)
        case model.Equation(math=math) if len(math) <= 60:
            return f"{heading}: ${math}$" if heading else f"${math}$"
        case model.Derivation(steps=steps) if len(steps[-1].math) <= 60:
            last = steps[-1].math.replace("&", "")
            return f"{heading}: ${last}$" if heading else f"${last}$"
        case model.Bullets(items=items) if len(items[0].text) <= RECAP_ITEM:
            return items[0].text
    return ""
