"""The picture of lineage: where a dataset version came from, and what was made of it."""

from collections.abc import Mapping

from markupsafe import Markup

from modelyard.console.svg import element, link, picture, title
from modelyard.data.lineage import Graph, Node

COLUMN, BOX_WIDTH, BOX_HEIGHT, GAP = 200.0, 164.0, 38.0, 12.0
MOST_IN_COLUMN = 8
LONGEST = 24


def draw_lineage(graph: Graph, hrefs: Mapping[str, str]) -> Markup:
    """Return the graph in columns: what stands left was there before. `hrefs` leads from ids of nodes to pages."""
    places = columns_of(graph)
    first, last = min(places.values()), max(places.values())
    columns: dict[int, list[Node]] = {}
    for node in graph.nodes:
        columns.setdefault(places[node.id] - first, []).append(node)
    tallest = max(min(len(nodes), MOST_IN_COLUMN) for nodes in columns.values())
    height = tallest * (BOX_HEIGHT + GAP) + GAP
    at: dict[str, tuple[float, float]] = {}
    boxes: list[Markup] = []
    for column, nodes in columns.items():
        shown = nodes[:MOST_IN_COLUMN]
        top = (height - len(shown) * (BOX_HEIGHT + GAP) + GAP) / 2
        for n, node in enumerate(shown):
            at[node.id] = (column * COLUMN + 2, top + n * (BOX_HEIGHT + GAP))
            boxes.append(_box(node, *at[node.id], hrefs.get(node.id), chosen=node is graph.nodes[0]))
    lines = [_line(at[edge.source], at[edge.target]) for edge in graph.edges if edge.source in at and edge.target in at]
    left_out = len(graph.nodes) - len(boxes)
    told = f"Lineage of {graph.nodes[0].told}: {told_lineage(graph)}" + (f"; {left_out} more not drawn" if left_out else "")
    return picture((last - first + 1) * COLUMN, height, told, [*lines, *boxes], role="group", class_="lineage")


def told_lineage(graph: Graph) -> str:
    """Return the edges in words."""
    names = {node.id: node.told for node in graph.nodes}
    told = [f"{names[edge.target]} was made from {names[edge.source]}" for edge in graph.edges]
    return "; ".join(told) or "it came from nothing recorded"


def columns_of(graph: Graph) -> dict[str, int]:
    """Return the column of each node, the chosen one's being 0: its ancestors left of it, what was made of it to the right."""
    places = {graph.nodes[0].id: 0}
    known = 0
    while known < len(places):  # until a pass finds no more
        known = len(places)
        for edge in graph.edges:
            if edge.target in places and edge.source not in places:
                places[edge.source] = places[edge.target] - 1
            elif edge.source in places and edge.target not in places:
                places[edge.target] = places[edge.source] + 1
    return {node.id: places.get(node.id, 0) for node in graph.nodes}


def _box(node: Node, x: float, y: float, href: str | None, *, chosen: bool) -> Markup:
    return link(
        href,
        title(node.told),
        element("rect", class_="box chosen" if chosen else "box", x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, rx=8),
        element("text", _cut(node.told), class_="nm", x=x + 10, y=y + 16),
        element("text", node.kind.replace("_", " "), class_="sm", x=x + 10, y=y + 30),
        label=node.told,
    )


def _line(source: tuple[float, float], target: tuple[float, float]) -> Markup:
    x1, y1 = source[0] + BOX_WIDTH, source[1] + BOX_HEIGHT / 2
    x2, y2 = target[0], target[1] + BOX_HEIGHT / 2
    bend = (x1 + x2) / 2
    return element("path", class_="edge", d=f"M {x1:g} {y1:g} C {bend:g} {y1:g} {bend:g} {y2:g} {x2 - 1:g} {y2:g}")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
