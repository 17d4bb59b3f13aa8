"""Where the nodes of a network stand, so that their boxes keep clear of one another. Plain geometry, no drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import networkx as nx
import numpy as np

from services.video_render.adapters.manim.layout import Box
from services.video_render.domain.storyboard import Network, NetworkLayout

Point = tuple[float, float]
Points = np.ndarray[Any, np.dtype[np.float64]]
_ROUNDS = 400


@dataclass(frozen=True, slots=True)
class Size:
    """Of a node's box, in scene units."""

    width: float
    height: float


def wanted(network: Network) -> NetworkLayout:
    """The layout to use: `AUTO` resolved."""
    if network.layout is not NetworkLayout.AUTO:
        return network.layout
    return NetworkLayout.TREE if network.edges and network.is_forest else NetworkLayout.SPRING


def place(
    network: Network, sizes: Sequence[Size], area: Box, gap: float, between: float, sideways: bool = False
) -> list[Point] | None:
    """Middles of the boxes, `gap` apart and inside the area; None when they find no room at these sizes.

    Rows of a tree are at least `between` apart; `sideways`, they are columns from the roots to the right.
    """
    kind = wanted(network)
    if kind is NetworkLayout.TREE:
        return _tree(network, sizes, area, gap, between, sideways)
    start = _circle(len(sizes)) if kind is NetworkLayout.CIRCLE else _springs(network)
    return _settled(_stretched(start, sizes, area), sizes, area, gap)


def grid(sizes: Sequence[Size], area: Box, gap: float) -> list[Point] | None:
    """In rows of equal cells, the last resort; None when a box is larger than its cell."""
    width = max(size.width for size in sizes) + gap
    height = max(size.height for size in sizes) + gap
    columns = min(int((area.width + gap) / width), len(sizes))
    if columns < 1:
        return None
    rows = math.ceil(len(sizes) / columns)
    if rows * height > area.height + gap:
        return None
    columns = math.ceil(len(sizes) / rows)
    step_x, step_y = area.width / columns, area.height / rows
    return [
        (area.left + step_x * (at % columns + 0.5), area.top - step_y * (at // columns + 0.5))
        for at in range(len(sizes))
    ]


def _circle(count: int) -> Points:
    angles = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    return np.column_stack((np.cos(angles), np.sin(angles))) if count > 1 else np.zeros((1, 2))


@lru_cache(maxsize=4)
def _springs(network: Network) -> Points:
    """Distances on the page like those along the edges; parts that hang together by no edge stand side by side.

    Remembered, as one network is tried at many sizes; not to be changed.
    """
    graph = nx.Graph()
    graph.add_nodes_from(range(len(network.nodes)))
    index = {node.id: at for at, node in enumerate(network.nodes)}
    graph.add_edges_from((index[edge.source], index[edge.target]) for edge in network.edges)
    positions = np.zeros((len(network.nodes), 2))
    first = index[network.path[0]] if network.path else 0
    offset = 0.0
    for part in nx.connected_components(graph):
        members = sorted(part)
        found = _spring_part(graph.subgraph(members), members, first if first in members else members[0])
        found -= found.min(axis=0)
        positions[members] = found + np.array([offset, -found[:, 1].mean()])
        offset += float(found[:, 0].max()) + 0.9
    return positions


def _spring_part(graph: nx.Graph, members: list[int], first: int) -> Points:
    """One connected part; `first` stands at the left, and not at the bottom."""
    if len(members) == 1:
        return np.zeros((1, 2))
    found = [_relaxed(graph, members, start) for start in _starts(graph, members)]
    edges = [(members.index(a), members.index(b)) for a, b in graph.edges]
    points = min(found, key=lambda candidate: _crossings(candidate, edges))
    points -= points.mean(axis=0)
    # The longest way lies across: frames are wide.
    _, _, axes = np.linalg.svd(points, full_matrices=False)
    turned = points @ axes.T
    lead = turned[members.index(first)]
    turned *= np.array([-1.0 if lead[0] > 0 else 1.0, -1.0 if lead[1] < -1e-9 else 1.0])
    spread: Points = turned * math.sqrt(len(members)) / 2
    return spread


def _starts(graph: nx.Graph, members: list[int]) -> list[dict[int, Point]]:
    """Where springs may start from: they end where few edges cross only if they begin well."""
    circle = {node: (float(x), float(y)) for node, (x, y) in zip(members, _circle(len(members)), strict=True)}
    starts = [circle]
    planar, embedding = nx.check_planarity(graph)
    if planar and len(members) > 3:
        placed = nx.combinatorial_embedding_to_pos(embedding)
        starts.append({node: (float(x), float(y)) for node, (x, y) in placed.items()})
    return starts


def _relaxed(graph: nx.Graph, members: list[int], start: dict[int, Point]) -> Points:
    found = nx.kamada_kawai_layout(graph, pos=start)
    return np.array([found[node] for node in members], dtype=np.float64)


def _crossings(points: Points, edges: list[tuple[int, int]]) -> int:
    """How many pairs of straight edges cross."""

    def side(a: int, b: int, c: int) -> float:
        (ax, ay), (bx, by), (cx, cy) = points[a], points[b], points[c]
        return float((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))

    return sum(
        len({a, b, c, d}) == 4 and side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for (a, b), (c, d) in combinations(edges, 2)
    )


def _stretched(points: Points, sizes: Sequence[Size], area: Box) -> Points:
    """Points spread over the area, as far as it keeps their boxes inside."""
    half = np.array([[size.width / 2, size.height / 2] for size in sizes])
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([area.width, area.height]) - 2 * half.max(axis=0)
    extent = np.where(high - low < 1e-6, 1.0, high - low)
    scale = np.maximum(room, 0.0) / extent
    scale = np.minimum(scale, scale.min() * 1.9)  # some stretching is welcome, distortion is not
    stretched: Points = (points - (low + high) / 2) * scale + np.array(area.center)
    return stretched


def _settled(points: Points, sizes: Sequence[Size], area: Box, gap: float) -> list[Point] | None:
    """Boxes pushed apart until none is closer than `gap`; None when they do not come to rest."""
    half = np.array([[size.width / 2, size.height / 2] for size in sizes])
    low = np.array([area.left, area.bottom]) + half
    high = np.array([area.right, area.top]) - half
    if (low > high + 1e-9).any():
        return None
    at = np.clip(points, low, high)
    reach = half[:, None, :] + half[None, :, :] + gap
    distances = reach.tolist()
    upper = np.triu(np.ones((len(sizes), len(sizes)), dtype=bool), 1)
    for _ in range(_ROUNDS):
        apart = at[:, None, :] - at[None, :, :]
        depth = reach - np.abs(apart)
        touching = (depth > 1e-6).all(axis=2) & upper
        if not touching.any():
            return [(float(x), float(y)) for x, y in at]
        moved = at.tolist()  # Pair by pair, plain numbers are several times as fast as arrays of two.
        for first, second in np.argwhere(touching).tolist():
            one, other, needed = moved[first], moved[second], distances[first][second]
            overlap = [needed[axis] - abs(one[axis] - other[axis]) for axis in (0, 1)]
            if min(overlap) <= 0:
                continue
            axis = int(overlap[1] < overlap[0])
            delta = one[axis] - other[axis]
            # Equal places are told apart by number, so that the result is the same every time.
            side = 1.0 if delta > 0 or (delta == 0 and first > second) else -1.0
            step = side * (overlap[axis] / 2 + 1e-4)
            one[axis] += step
            other[axis] -= step
        at = np.clip(np.array(moved), low, high)
    return None


def _tree(
    network: Network, sizes: Sequence[Size], area: Box, gap: float, between: float, sideways: bool
) -> list[Point] | None:
    widths, heights = [size.width for size in sizes], [size.height for size in sizes]
    rows = _rows(network, heights, widths, gap) if sideways else _rows(network, widths, heights, gap)
    width, height = (area.height, area.width) if sideways else (area.width, area.height)
    if rows.across > width + 1e-9 or rows.along + between * (rows.levels - 1) > height + 1e-9:
        return None
    found = _spread(rows, width, height)
    if sideways:
        return [(area.left + along, area.top - across) for across, along in found]
    return [(area.left + across, area.top - along) for across, along in found]


@dataclass(frozen=True, slots=True)
class _Rows:
    """A tree without a direction: `across` the rows, `along` from row to row."""

    middles: Mapping[int, float]
    depths: Mapping[int, int]
    thickness: Sequence[float]
    across: float

    @property
    def along(self) -> float:
        """All rows without the room between them."""
        return sum(self.thickness)

    @property
    def levels(self) -> int:
        """How many rows there are."""
        return len(self.thickness)


def _rows(network: Network, across: Sequence[float], along: Sequence[float], gap: float) -> _Rows:
    """Every node over the middle of its children, subtrees side by side."""
    index = {node.id: at for at, node in enumerate(network.nodes)}
    children: dict[int, list[int]] = {at: [] for at in index.values()}
    for edge in network.edges:
        children[index[edge.source]].append(index[edge.target])
    targets = {index[edge.target] for edge in network.edges}
    middles: dict[int, float] = {}
    depths: dict[int, int] = {}

    def shift(node: int, by: float) -> None:
        middles[node] += by
        for child in children[node]:
            shift(child, by)

    def visit(node: int, start: float, depth: int) -> float:
        """Place a subtree from `start` on; returns where it ends."""
        depths[node] = depth
        end = start
        for child in children[node]:
            end = visit(child, end, depth + 1) + gap
        end = end - gap if children[node] else start
        if not children[node]:
            middles[node] = start + across[node] / 2
            return start + across[node]
        middles[node] = (middles[children[node][0]] + middles[children[node][-1]]) / 2
        missing = start + across[node] / 2 - middles[node]
        if missing > 0:
            shift(node, missing)
            end += missing
        return max(end, middles[node] + across[node] / 2)

    end = -gap
    for root in (at for at in index.values() if at not in targets):
        end = visit(root, end + gap, 0)
    thickness = [max(along[at] for at in depths if depths[at] == level) for level in range(max(depths.values()) + 1)]
    return _Rows(middles, depths, thickness, end)


def _spread(rows: _Rows, width: float, height: float) -> list[Point]:
    """(across, along) of every node, in the order of the nodes: over the whole area, but no further than looks well."""
    between = min((height - rows.along) / max(rows.levels - 1, 1), 2.4)
    tops = [0.0]
    for thickness in rows.thickness:
        tops.append(tops[-1] + thickness + between)
    used = tops[-1] - between
    stretch = min(width / rows.across, 1.6)
    margin_across = (width - rows.across * stretch) / 2
    margin_along = (height - used) / 2
    return [
        (
            margin_across + rows.middles[node] * stretch,
            margin_along + tops[rows.depths[node]] + rows.thickness[rows.depths[node]] / 2,
        )
        for node in sorted(rows.middles)
    ]
