"""Colours and the type scale. Sizes are scene units: the frame is 14.22 wide and 8 high, 1 unit is 90 px at 720p."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """One look. Every text colour, accents among them, has a contrast of at least 4.5 : 1 (`contrast`: 7 : 1) against
    `background` and `panel`; what is written on an accent is written in `background`."""

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
    accents=("#0b62b8", "#9a5000", "#0f7a4a", "#b5264d"),
    code=(
        ("comment", "#5c6476"),
        ("string", "#0f7040"),
        ("constant", "#8f4b00"),
        ("keyword, storage", "#b5264d"),
        ("entity.name, support.function", "#0b62b8"),
        ("support.type, support.class", "#6a3fb0"),
    ),
)

CONTRAST = Theme(
    name="contrast",
    background="#000000",
    panel="#1c1c1c",
    text="#ffffff",
    muted="#dcdcdc",
    rule="#9a9a9a",
    accents=("#7cd7ff", "#ffd84d", "#86f7ae", "#ffb0bd"),
    code=(
        ("comment", "#c8c8c8"),
        ("string", "#86f7ae"),
        ("constant", "#ffd84d"),
        ("keyword, storage", "#ffb0bd"),
        ("entity.name, support.function", "#7cd7ff"),
        ("support.type, support.class", "#dcc4ff"),
    ),
)

THEMES: dict[str, Theme] = {theme.name: theme for theme in (DARK, LIGHT, CONTRAST)}


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
