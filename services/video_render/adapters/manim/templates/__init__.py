"""One trusted template per kind of scene. A template draws declarative content and executes nobody's code."""

from __future__ import annotations

from typing import Any

from services.video_render.adapters.manim.templates.base import StoryScene
from services.video_render.adapters.manim.templates.cards import QuoteScene, SectionScene
from services.video_render.adapters.manim.templates.chart import DataChartScene
from services.video_render.adapters.manim.templates.columns import CompareScene
from services.video_render.adapters.manim.templates.geometry import GeometryScene
from services.video_render.adapters.manim.templates.listing import CodeScene, TableScene
from services.video_render.adapters.manim.templates.mathematics import DerivationScene, EquationScene
from services.video_render.adapters.manim.templates.matrix import MatrixScene
from services.video_render.adapters.manim.templates.network import NetworkScene
from services.video_render.adapters.manim.templates.number_line import NumberLineScene
from services.video_render.adapters.manim.templates.parametric import ParametricPlotScene
from services.video_render.adapters.manim.templates.picture import ImageScene
from services.video_render.adapters.manim.templates.plot import FunctionPlotScene
from services.video_render.adapters.manim.templates.scatter import ScatterChartScene
from services.video_render.adapters.manim.templates.text import (
    BulletsScene,
    ParagraphScene,
    RecapScene,
    TitleScene,
)
from services.video_render.adapters.manim.templates.timeline import TimelineScene

_ALL: tuple[type[StoryScene[Any]], ...] = (
    TitleScene,
    BulletsScene,
    ParagraphScene,
    EquationScene,
    DerivationScene,
    FunctionPlotScene,
    TableScene,
    CodeScene,
    DataChartScene,
    RecapScene,
    GeometryScene,
    ParametricPlotScene,
    ScatterChartScene,
    MatrixScene,
    NumberLineScene,
    SectionScene,
    QuoteScene,
    CompareScene,
    TimelineScene,
    ImageScene,
    NetworkScene,
)

TEMPLATES: dict[type[Any], type[StoryScene[Any]]] = {template.kind: template for template in _ALL}
"""Content class → scene class."""

__all__ = ["TEMPLATES", "StoryScene"]
