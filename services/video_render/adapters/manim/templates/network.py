"""Graphs, networks and trees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from manim import Animation, Create, FadeIn, LaggedStart, RoundedRectangle, Triangle, VGroup, VMobject
from manim.utils.rate_functions import ease_in_out_sine, ease_out_cubic

from services.video_render.adapters.manim import layout, markup, network_layout
from services.video_render.adapters.manim.edges import Edge, label_place, route
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.network_layout import Point, Size
from services.video_render.adapters.manim.templates.base import Fitted, StoryScene
from services.video_render.adapters.manim.themes import Type
from services.video_render.domain import storyboard
from services.video_render.domain.storyboard import NetworkLayout

_LARGEST = Type.CAPTION * 1.1
_SHRINK = 0.88
_STEPS = 22
_LABEL_STEPS = 8
_READABLE = 0.3
_HEAD = 0.2


@dataclass(frozen=True, slots=True)
class _Arrangement:
    """Where the nodes stand, how large, and with labels of which em, broken at how many em."""

    em: float
    wrap: float
    sizes: list[Size]
    places: list[Point]


class NetworkScene(StoryScene[storyboard.Network]):
    """Nodes as rounded boxes, edges behind them; a path is lit node by node."""

    kind = storyboard.Network

    def compose(self) -> None:
        """Caption below; then the largest size at which nodes and labels find their places."""
        area = self._reserve_caption()
        tree = network_layout.wanted(self.content) is NetworkLayout.TREE
        options = [self._arranged(area, wrap, sideways=False) for wrap in ((9.0, 5.0) if tree else (9.0,))]
        if tree and max(option.em for option in options) < _READABLE:
            options.append(self._arranged(area, 24.0, sideways=True))
        best = max(options, key=lambda option: option.em)
        texts = [self._node_text(node, best.em, best.wrap) for node in self.content.nodes]
        self._draw(texts, best, area)

    def perform(self) -> None:
        """Nodes, then edges with their labels, then the path."""
        nodes: list[Animation] = [FadeIn(node, scale=0.85) for node in self.nodes]
        seconds = min(0.8 + 0.08 * len(nodes), 2.0)
        self.play(LaggedStart(*nodes, lag_ratio=0.25), run_time=seconds, rate_func=ease_out_cubic)
        if self.lines:
            drawing: list[Animation] = [Create(line) for line in self.lines]
            seconds = min(0.8 + 0.05 * len(drawing), 2.0)
            self.play(LaggedStart(*drawing, lag_ratio=0.15), run_time=seconds, rate_func=ease_in_out_sine)
        if len(self.edge_labels):
            self.appear(*self.edge_labels)
        if self.caption is not None:
            self.appear(self.caption)
        self._light_path()

    # -- placing -----------------------------------------------------------------------------------

    def _reserve_caption(self) -> layout.Box:
        area = self.area
        self.caption = None
        if not self.content.caption:
            return area
        source = f"#set align(center)\n{markup.inline(self.content.caption, self.accent)}"
        fitted = self.fit(source, area.width * 0.92, 1.0, Type.CAPTION, balance=True, color=self.theme.muted)
        top = area.bottom + fitted.typeset.logical_height
        self.caption = fitted.typeset.place(-fitted.typeset.logical_width / 2, top)
        self.block("the caption", self.caption, fitted.em)
        return layout.Box(area.left, area.right, top + 0.3, area.top)

    def _arranged(self, area: layout.Box, wrap: float, sideways: bool) -> _Arrangement:
        """The largest em at which the nodes find places, their labels broken at `wrap` em.

        Texts keep their shape when em and width shrink together: they are measured once.
        """
        texts = [self._node_text(node, _LARGEST, wrap).typeset for node in self.content.nodes]
        labelled = any(edge.label for edge in self.content.edges)
        em = _LARGEST
        for step in range(_STEPS):
            share = em / _LARGEST
            sizes = [
                Size(max(text.logical_width * share + 1.2 * em, 2.2 * em), text.logical_height * share + 0.7 * em)
                for text in texts
            ]
            gap, between = (1.6 if labelled else 1.0) * em, (3.0 if labelled else 1.8) * em
            if network_layout.wanted(self.content) is NetworkLayout.TREE:
                gap = 0.45 * em
            places = network_layout.place(self.content, sizes, area, gap, between, sideways)
            if places is None and step > _STEPS * 0.5:
                places = network_layout.grid(sizes, area, gap * 0.6)
            if places is not None:
                return _Arrangement(em, wrap, sizes, places)
            em *= _SHRINK
        raise AssertionError("boxes of 1/16 of the largest size fit a grid")

    def _node_text(self, node: storyboard.NetworkNode, em: float, wrap: float) -> Fitted:
        """A label, on lines of about equal length when it is a long one."""
        body = markup.inline(node.label or node.id, self.accent)
        page = self.page(body, em, self.theme.text)
        if page.width <= wrap * em:
            return Fitted(self.placeable(page), em)
        return self.fit(f"#set align(center)\n#set par(leading: 0.2em)\n{body}", em * wrap, em * 6, em, balance=True)

    def _draw(self, texts: list[Fitted], found: _Arrangement, area: layout.Box) -> None:
        self.nodes: list[VGroup] = []
        boxes: list[layout.Box] = []
        em = found.em
        for number, (text, size, (x, y)) in enumerate(zip(texts, found.sizes, found.places, strict=True)):
            boxes.append(layout.Box(x - size.width / 2, x + size.width / 2, y - size.height / 2, y + size.height / 2))
            radius = min(0.45 * em, size.height / 2.01)
            shape = RoundedRectangle(width=size.width, height=size.height, corner_radius=radius)
            shape.set_fill(self.theme.panel, opacity=1.0).set_stroke(self.accent, width=min(3.0, 9 * em))
            text.typeset.place_center(x, y)
            self.nodes.append(VGroup(shape.move_to((x, y, 0)), text.typeset).set_z_index(2))
            self.block(f"node {number + 1}", self.nodes[-1], text.em)
        index = {node.id: at for at, node in enumerate(self.content.nodes)}
        self.ends = [(index[edge.source], index[edge.target]) for edge in self.content.edges]
        both_ways = {(b, a) for a, b in self.ends} & set(self.ends)
        self.edges = [route(boxes, a, b, area, bend=(a, b) in both_ways) for a, b in self.ends]
        head = min(_HEAD, em * 0.55) if self.content.directed else 0.0
        self.lines = [self._line(edge, self.theme.muted, 3.0, head) for edge in self.edges]
        self.head = head
        self._label_edges(boxes, em, area)

    def _line(self, edge: Edge, color: str, width: float, head: float) -> VGroup:
        """A curve from box to box, with an arrow head when `head` is its length."""
        points, angle = edge.shortened(head * 0.8)
        curve = VMobject(stroke_color=color, stroke_width=width, fill_opacity=0.0)
        curve.set_points_as_corners([(x, y, 0.0) for x, y in points]) if edge.straight else curve.set_points_smoothly(
            [(x, y, 0.0) for x, y in points]
        )
        parts = VGroup(curve)
        if head:
            tip = Triangle(stroke_width=0).set_fill(color, opacity=1.0)
            tip.stretch_to_fit_height(head).stretch_to_fit_width(head * 0.8).rotate(angle - math.pi / 2)
            x, y = edge.end
            parts.add(tip.move_to((x - math.cos(angle) * head / 2, y - math.sin(angle) * head / 2, 0)))
        return parts

    def _label_edges(self, boxes: list[layout.Box], em: float, area: layout.Box) -> None:
        """A label beside each edge, all of one size: clear of nodes and other labels, and of lines where it can be."""
        self.edge_labels = VGroup()
        wanted = [(number, edge.label) for number, edge in enumerate(self.content.edges) if edge.label]
        size = min(max(em * 0.8, Type.SMALLEST), em)
        placed: list[tuple[int, Typeset]] = []
        for _ in range(_LABEL_STEPS):
            placed = self._placed_labels(wanted, size, boxes, area)
            if len(placed) == len(wanted):
                break
            size *= _SHRINK
        for number, text in placed:
            self.edge_labels.add(text.set_z_index(3))
            self.block(f"the label of edge {number + 1}", text, size)
        if len(placed) < len(wanted):
            self.warn(f"{len(wanted) - len(placed)} labels of edges find no room")

    def _placed_labels(
        self, wanted: list[tuple[int, str]], size: float, boxes: list[layout.Box], area: layout.Box
    ) -> list[tuple[int, Typeset]]:
        taken = list(boxes)
        placed: list[tuple[int, Typeset]] = []
        for number, label in wanted:
            text = self.text(label, size, color=self.theme.muted)
            place = label_place(self.edges, number, text.width, text.height, taken, area)
            if place is not None:
                text.move_to((*place, 0))
                taken.append(layout.measure(text))
                placed.append((number, text))
        return placed

    # -- the path ----------------------------------------------------------------------------------

    def _light_path(self) -> None:
        """Node by node; where an edge leads to the next, it is drawn over first."""
        path = [next(at for at, node in enumerate(self.content.nodes) if node.id == name) for name in self.content.path]
        rest = min(self.spread(path, 1.0), 1.2)
        for step, at in enumerate(path):
            line = self._path_line(path[step - 1], at) if step else None
            if line is not None:
                self.play(Create(line), run_time=0.5, rate_func=ease_in_out_sine)
            self.play(*self._lit(at), run_time=0.4, rate_func=ease_out_cubic)
            self.wait_frames(rest)

    def _path_line(self, start: int, end: int) -> VGroup | None:
        for ends, edge in zip(self.ends, self.edges, strict=True):
            if ends == (start, end):
                return self._line(edge, self.theme.accents[1], 7.0, self.head * 1.25).set_z_index(1)
            if not self.content.directed and ends == (end, start):
                return self._line(edge.reversed(), self.theme.accents[1], 7.0, 0.0).set_z_index(1)
        return None

    def _lit(self, at: int) -> list[Any]:
        shape, text = self.nodes[at]
        color = self.theme.accents[1]
        return [
            shape.animate.set_fill(color, opacity=1.0).set_stroke(color),
            text.animate.set_fill(self.theme.background),
        ]
