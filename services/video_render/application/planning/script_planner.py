"""The `script` planner: a deterministic reading of what the user wrote. No network, no model.

1. A context with structure (headings, lists, formulas, plots, tables, code, charts) is filmed as it is written.
2. A short context about a topic that an outline of our own covers is filmed by that outline; the user's words open it.
3. Other prose is divided into scenes and closed with a recap of its own sentences.

Fenced blocks: ```math (a derivation line by line), ```plot, ```chart, and ```scene for any other kind of scene, as the
JSON of a storyboard: `{"geometry": {"figures": [{"id": "p", "point": {"x": 1, "y": 2}}]}}`. Other fences are code.
"""

from __future__ import annotations

from services.video_render.application.planning import composing, outlines, prose
from services.video_render.application.planning.blocks import Block, parse
from services.video_render.application.planning.data_blocks import BlockError
from services.video_render.domain import storyboard as model
from services.video_render.domain.storyboard import Storyboard
from services.video_render.domain.violations import StoryboardInvalid, Violation

MAX_TOPIC = 500
MAX_CONTEXT = 2000
OUTLINE_BELOW = 3
"""A script with at least this many scenes of its own is complete; below it an outline may carry it."""

SUBTITLE_SIZE = 140
HEADING_SIZE = 60
BRIEF_HEADING = "The question"


class ScriptPlanner:
    """The `Planner` port without a model."""

    def plan(self, topic: str, context: str) -> Storyboard:
        """See `Planner.plan`. A block that says something impossible is an error at `context`, with its line."""
        _check_lengths(topic, context)
        title = " ".join(topic.split())
        heading = prose.shorten(prose.plain(title), HEADING_SIZE)
        try:
            contents = _contents(title, heading, parse(context))
        except BlockError as error:
            message = f"line {error.line}: {error}"
            raise StoryboardInvalid([Violation("context", message)]) from error
        return Storyboard(title=title, scenes=composing.scenes(contents)).validated()


def _contents(title: str, heading: str, blocks: list[Block]) -> list[tuple[str, model.Content]]:
    """(heading, content) of every scene, by the three rules above."""
    own = list(composing.Composer(heading, composing.PARAGRAPH_SIZE).compose(blocks))
    outline = outlines.find(title) if len(own) < OUTLINE_BELOW else None
    subtitle = _subtitle(own)
    opening: list[tuple[str, model.Content]] = [("", model.TitleCard(title, subtitle))]
    if subtitle:
        own = own[1:]
    if outline:
        own = [(BRIEF_HEADING if name == heading else name, content) for name, content in own]
        return opening + own + list(composing.Composer(heading).compose(parse(outline)))
    if all(block.kind == "text" for block in blocks) and own:
        own = list(composing.Composer(heading, _portion(blocks)).compose(blocks))
    closing = None if any(isinstance(content, model.Recap) for _, content in own) else composing.recap(own)
    return opening + own + ([("Recap", closing)] if closing else [])


def _portion(blocks: list[Block]) -> int:
    """Characters per scene of plain prose: a few sentences, less when the whole text is short."""
    length = sum(len(line) + 1 for block in blocks for line in block.lines)
    return max(composing.PARAGRAPH_SMALLEST, min(composing.PARAGRAPH_SIZE, length // 3))


def _subtitle(own: list[tuple[str, model.Content]]) -> str:
    """A single short sentence needs no scene of its own: it goes under the title."""
    if len(own) != 1 and not (own and isinstance(own[0][1], model.TitleCard)):
        return ""
    content = own[0][1]
    if isinstance(content, model.Paragraph) and len(content.text) <= SUBTITLE_SIZE:
        return content.text
    return ""


def _check_lengths(topic: str, context: str) -> None:
    broken = []
    for field, text, limit in (("topic", topic, MAX_TOPIC), ("context", context, MAX_CONTEXT)):
        if not text.strip():
            broken.append(Violation(field, "must not be empty"))
        elif len(text) > limit:
            broken.append(Violation(field, f"must have at most {limit} characters, has {len(text)}"))
        if any(ord(char) < 32 and char not in "\n\r\t" for char in text):
            broken.append(Violation(field, "must not hold control characters"))
    if broken:
        raise StoryboardInvalid(broken)
