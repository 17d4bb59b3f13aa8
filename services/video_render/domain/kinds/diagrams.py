"""Pictures and networks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.video_render.domain import checks, pictures
from services.video_render.domain.violations import Violation

MAX_IMAGE_BYTES = 512 * 1024
MAX_IMAGE_FILE_BYTES = 16 * 1024 * 1024
"""Of a picture that is a file of its own."""
MAX_IMAGE_SIDE = 4096
MAX_NODES = 24
MAX_EDGES = 60
MAX_NODE_ID = 32
MAX_EDGE_LABEL = 20
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Image:
    """A PNG or JPEG picture, shown whole: its bytes, or the id of a file of the owner. `description` is for who cannot
    see it.
    """

    data: bytes = b""
    caption: str = ""
    description: str = ""
    file_id: str = ""

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules; the size is read from the file's own header, before anything decodes it."""
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)
        yield from checks.text(self.description, f"{path}.description", checks.MAX_CAPTION, required=False)
        if bool(self.data) == bool(self.file_id):
            yield Violation(f"{path}.data", "must be given, or file_id, but not both")
        elif self.file_id and not _UUID.fullmatch(self.file_id):
            yield Violation(f"{path}.file_id", "must be the id of a file, a UUID")
        elif self.data:
            yield from self._pixels(path)

    def _pixels(self, path: str) -> Iterator[Violation]:
        if len(self.data) > MAX_IMAGE_BYTES:
            yield Violation(f"{path}.data", f"must have at most {MAX_IMAGE_BYTES} bytes, has {len(self.data)}")
        size = pictures.size_of(self.data)
        if size is None:
            yield Violation(f"{path}.data", "must be a PNG or JPEG file")
        elif not (0 < size[0] <= MAX_IMAGE_SIDE and 0 < size[1] <= MAX_IMAGE_SIDE):
            side = MAX_IMAGE_SIDE
            yield Violation(f"{path}.data", f"must have at most {side} × {side} pixels, has {size[0]} × {size[1]}")


class NetworkLayout(StrEnum):
    """Where the nodes are put; `AUTO` is a tree where the edges are one, else springs."""

    AUTO = "auto"
    SPRING = "spring"
    CIRCLE = "circle"
    TREE = "tree"


@dataclass(frozen=True, slots=True)
class NetworkNode:
    """A node; its id stands in it when `label` is empty."""

    id: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class NetworkEdge:
    """An edge between nodes, by their ids."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """A graph, a network, a tree. The nodes of `path` are pointed at one after the other."""

    nodes: tuple[NetworkNode, ...]
    edges: tuple[NetworkEdge, ...] = ()
    directed: bool = False
    layout: NetworkLayout = NetworkLayout.AUTO
    path: tuple[str, ...] = ()
    caption: str = ""

    @property
    def is_forest(self) -> bool:
        """Whether every node has at most one edge to it, and no edges form a ring."""
        parents = {edge.target: edge.source for edge in self.edges}
        if len(parents) != len(self.edges):
            return False
        for node in parents:
            at, steps = node, 0
            while at in parents:
                at, steps = parents[at], steps + 1
                if steps > len(self.nodes):
                    return False
        return True

    def violations(self, path: str) -> Iterator[Violation]:
        """Broken rules."""
        yield from checks.count(self.nodes, f"{path}.nodes", MAX_NODES)
        for index, node in enumerate(self.nodes):
            yield from checks.text(node.id, f"{path}.nodes[{index}].id", MAX_NODE_ID)
            yield from checks.text(node.label, f"{path}.nodes[{index}].label", checks.MAX_SHORT_LABEL, required=False)
        yield from checks.unique([node.id for node in self.nodes], f"{path}.nodes")
        names = {node.id for node in self.nodes}
        yield from checks.count(self.edges, f"{path}.edges", MAX_EDGES, least=0)
        pairs: set[tuple[str, str]] = set()
        for index, edge in enumerate(self.edges):
            where = f"{path}.edges[{index}]"
            yield from checks.known(edge.source, names, f"{where}.source", "node")
            yield from checks.known(edge.target, names, f"{where}.target", "node")
            if edge.source == edge.target:
                yield Violation(f"{where}.target", "must differ from source")
            if (edge.source, edge.target) in pairs or (not self.directed and (edge.target, edge.source) in pairs):
                yield Violation(where, "is there twice")
            pairs.add((edge.source, edge.target))
            yield from checks.text(edge.label, f"{where}.label", MAX_EDGE_LABEL, required=False)
        if self.layout is NetworkLayout.TREE and not self.is_forest:
            yield Violation(f"{path}.edges", "must form trees: at most one edge to a node, and no rings")
        yield from checks.count(self.path, f"{path}.path", MAX_NODES, least=0)
        for index, name in enumerate(self.path):
            yield from checks.known(name, names, f"{path}.path[{index}]", "node")
        yield from checks.text(self.caption, f"{path}.caption", checks.MAX_CAPTION, required=False)
