"""Colours can be told apart (R4): WCAG 2 contrast of every theme."""

from __future__ import annotations

import pytest

from services.video_render.adapters.manim.themes import THEMES, Theme
from services.video_render.domain import storyboard_rules


def luminance(color: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG 2.2 defines it."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """1 (the same) to 21 (black and white)."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_r4_the_measure_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_r4_every_theme_a_storyboard_may_name_is_there() -> None:
    assert set(THEMES) == set(storyboard_rules.THEMES)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_r4_texts_can_be_read(theme: Theme) -> None:
    """4.5 : 1 (AA), 7 : 1 (AAA) in the theme that is made for it."""
    least = 7.0 if theme.name == "contrast" else 4.5
    texts = {"text": theme.text, "muted": theme.muted, **dict(theme.code)}
    texts |= {f"accent {number}": color for number, color in enumerate(theme.accents)}
    for surface in (theme.background, theme.panel):
        found = {name: round(contrast(color, surface), 2) for name, color in texts.items()}
        assert {name: value for name, value in found.items() if value < least} == {}


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_r4_shapes_can_be_seen(theme: Theme) -> None:
    """3 : 1 for bars, curves, dots and nodes; hairlines only help the eye and may be faint."""
    for surface in (theme.background, theme.panel):
        assert min(contrast(color, surface) for color in theme.accents) >= 3.0
    assert contrast(theme.rule, theme.background) >= 1.5


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_r4_what_is_written_on_an_accent_can_be_read(theme: Theme) -> None:
    least = 7.0 if theme.name == "contrast" else 4.5
    assert min(contrast(theme.background, color) for color in theme.accents) >= least
