"""How long a scene should last, in seconds."""

from __future__ import annotations

from services.video_render.domain import storyboard as model

WORDS_PER_SECOND = 3.2
SHORTEST, LONGEST = 3.5, 16.0


def duration(content: model.Content) -> float:
    """A comfortable length: time to read it, and time to see it appear."""
    seconds = _wanted(content)
    return round(min(max(seconds, SHORTEST), LONGEST), 1)


def _wanted(content: model.Content) -> float:
    match content:
        case model.TitleCard(text=text, subtitle=subtitle):
            return 2.6 + _reading(text, subtitle) * 0.6
        case model.Bullets(items=items):
            return 2.2 + 0.6 * len(items) + _reading(*(item.text for item in items))
        case model.Paragraph(text=text):
            return 2.2 + _reading(text)
        case model.Equation(math=math, caption=caption):
            return 4.0 + len(math) / 40 + _reading(caption)
        case model.Derivation(steps=steps):
            return 3.0 + 2.0 * len(steps) + _reading(*(step.note for step in steps)) * 0.5
        case model.FunctionPlot(functions=functions, caption=caption):
            return 4.5 + 1.8 * len(functions) + _reading(caption)
        case model.Table(header=header, rows=rows):
            return 3.0 + _reading(*header, *(cell for row in rows for cell in row.cells)) * 0.7
        case model.Code(lines=lines):
            return 3.0 + 0.9 * len(lines)
        case model.DataChart(categories=categories, series=series):
            return 4.5 + 0.5 * len(categories) * len(series)
        case model.Recap(items=items):
            return 2.5 + 0.6 * len(items) + _reading(*items)


def _reading(*texts: str) -> float:
    words = sum(max(len(text.split()), len(text) / 8) for text in texts)  # some scripts have no spaces
    return words / WORDS_PER_SECOND
