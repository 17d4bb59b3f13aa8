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
            marks = 1.4 * len(content.areas) + 1.0 * len(content.tangents) + 3.6 * len(content.moving_points)
            return 4.5 + 1.8 * len(functions) + marks + _reading(caption)
        case model.Table(header=header, rows=rows):
            return 3.0 + _reading(*header, *(cell for row in rows for cell in row.cells)) * 0.7
        case model.Code(lines=lines, highlights=highlights):
            return 3.0 + 0.9 * len(lines) + 2.0 * len(highlights)
        case model.DataChart(categories=categories, series=series):
            return 4.5 + 0.5 * len(categories) * len(series)
        case model.Recap(items=items):
            return 2.5 + 0.6 * len(items) + _reading(*items)
    return _diagram(content)


def _diagram(content: model.Content) -> float:
    """Kinds that planners without a person's help do not make as a rule."""
    match content:
        case model.Section(text=text, subtitle=subtitle):
            return 2.2 + _reading(text, subtitle) * 0.6
        case model.Quote(text=text, author=author):
            return 2.5 + _reading(text, author)
        case model.Compare(left=left, right=right, verdict=verdict):
            return 3.0 + _reading(left.title, right.title, *left.items, *right.items, verdict)
        case model.Timeline(events=events):
            return 2.5 + 1.2 * len(events) + _reading(*(f"{event.title} {event.text}" for event in events)) * 0.6
        case model.Matrix(rows=rows, highlights=highlights, caption=caption):
            return 3.0 + 0.8 * len(rows) + 0.8 * len(highlights) + _reading(caption)
        case model.NumberLine(points=points, intervals=intervals, jumps=jumps, caption=caption):
            return 3.5 + 0.5 * len(points) + 1.0 * len(intervals) + 1.2 * len(jumps) + _reading(caption)
        case model.ParametricPlot(curves=curves, caption=caption):
            return 5.0 + 2.0 * len(curves) + _reading(caption)
        case model.ScatterChart(series=series, caption=caption, trend=trend):
            return 4.5 + 1.0 * len(series) + 1.0 * trend + _reading(caption)
        case model.Network(nodes=nodes, path=path, caption=caption):
            return 3.5 + 0.25 * len(nodes) + 0.7 * len(path) + _reading(caption)
        case model.Geometry(steps=steps, caption=caption):
            return 3.5 + 2.2 * len(steps) + _reading(caption, *(step.note for step in steps)) * 0.5
        case model.Image(caption=caption):
            return 4.5 + _reading(caption)
    return SHORTEST


def _reading(*texts: str) -> float:
    words = sum(max(len(text.split()), len(text) / 8) for text in texts)  # some scripts have no spaces
    return words / WORDS_PER_SECOND
