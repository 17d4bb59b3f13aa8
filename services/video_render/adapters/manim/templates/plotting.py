"""What plots have in common: axes at the left, a legend at the right, a caption below."""

from __future__ import annotations

from collections.abc import Sequence

from manim import Create, FadeIn, VGroup, VMobject
from manim.utils.rate_functions import ease_out_cubic

from services.video_render.adapters.manim import axes, captions, layout, legend
from services.video_render.adapters.manim.templates.base import C, StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain.storyboard import Interval

LABEL_EM = Type.LABEL * 0.9
_LEGEND_GAP = 0.45


class PlotScene(StoryScene[C]):
    """A scene with axes. Subclasses call `reserve_caption`, then `place_axes`, then draw into `axes`."""

    def reserve_caption(self, source: str) -> None:
        """Set the caption; the axes share what is left."""
        self.caption, self._room = captions.reserve(self, source)

    def place_axes(
        self, entries: Sequence[legend.Entry], x: Interval, y: Interval, *, equal_units: bool = False
    ) -> None:
        """Give the legend its column and the rest to the axes. May be called again with other entries."""
        area = self._room
        self.legend = legend.column(self, entries, area.height - 0.2)
        width = self.legend.group.width + _LEGEND_GAP if len(self.legend.group) else 0.0
        room = layout.Box(area.left, area.right - width, area.bottom, area.top)
        self.axes = axes.axes(self, room, (x.min, x.max), (y.min, y.max), equal_units=equal_units)
        if len(self.legend.group):
            group = self.legend.group
            middle = max(self.axes.box.top - 0.05 - group.height / 2, area.bottom + group.height / 2)
            group.move_to((area.right - group.width / 2, middle, 0))

    def register(self, *drawn: VMobject) -> None:
        """Register the plot with what is drawn into it, and the legend."""
        self.block("the plot", VGroup(self.axes.drawing, *drawn), LABEL_EM)
        if len(self.legend.group):
            self.block("the legend", self.legend.group, self.legend.em)

    def show_axes(self) -> None:
        """Grid, axes and their numbers."""
        parts = self.axes
        self.play(FadeIn(parts.grid), Create(parts.frame), FadeIn(parts.labels), run_time=1.0, rate_func=ease_out_cubic)

    def show_caption(self) -> None:
        """The caption, where there is one."""
        if self.caption is not None:
            self.appear(self.caption)
