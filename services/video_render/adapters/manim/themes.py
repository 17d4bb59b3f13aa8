"""Colours and the type scale. Sizes are scene units: the frame is 14.22 wide and 8 high, 1 unit is 90 px at 720p."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """One look. Every text colour has a contrast of at least 4.5 : 1 against `background` and `panel`."""

    name: str
    background: str
    panel: str
    """Surfaces behind code and table heads."""
    text: str
    muted: str
    """Captions, axis labels, notes."""
    rule: str
    """Hairlines, grid lines, axes."""
    accents: tuple[str, str, str, str]
    """Emphasis first, then the colours of further series."""
    code: tuple[tuple[str, str], ...]
    """TextMate scope → colour, for source text."""


DARK = Theme(
    name="dark",
    background="#10141f",
    panel="#1b2233",
    text="#eef1f8",
    muted="#a3aec4",
    rule="#46516b",
    accents=("#5cc8ff", "#ffc65c", "#7ee0a1", "#ff8fa3"),
    code=(
        ("comment", "#8b97b0"),
        ("string", "#9ae6a5"),
        ("constant", "#ffc65c"),
        ("keyword, storage", "#ff8fa3"),
        ("entity.name, support.function", "#5cc8ff"),
        ("support.type, support.class", "#c4a7ff"),
    ),
)

LIGHT = Theme(
    name="light",
    background="#fbfaf7",
    panel="#ecebe6",
    text="#1c2230",
    muted="#586074",
    rule="#b9bcc6",
    accents=("#0b62b8", "#a85800", "#0f7a4a", "#b5264d"),
    code=(
        ("comment", "#666e80"),
        ("string", "#0f7040"),
        ("constant", "#995000"),
        ("keyword, storage", "#b5264d"),
        ("entity.name, support.function", "#0b62b8"),
        ("support.type, support.class", "#6a3fb0"),
    ),
)

THEMES: dict[str, Theme] = {theme.name: theme for theme in (DARK, LIGHT)}


class Type:
    """The type scale: em sizes in scene units."""

    TITLE = 1.15
    SUBTITLE = 0.5
    HEADING = 0.62
    BODY = 0.5
    EQUATION = 1.25
    CAPTION = 0.4
    LABEL = 0.36
    FLOOR = 0.11
    """Nothing is set smaller than this; what still does not fit is scaled down as a picture."""
    SMALLEST = 0.26
    """Below this nothing is readable at 480p (16 px); the layout check reports it."""


class Frame:
    """The safe area: content stays inside, the heading sits in its own band at the top."""

    WIDTH = 128 / 9
    HEIGHT = 8.0
    LEFT = -6.35
    RIGHT = 6.35
    HEADING_TOP = 3.45
    TOP = 2.45
    TOP_WITHOUT_HEADING = 3.3
    BOTTOM = -3.45
