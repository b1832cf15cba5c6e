"""Lineage as a graph: what was made of what. `serving.lineage` fills it with all that a project holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Node:
    """A thing of the graph."""

    id: str
    kind: str  # external_job, external_dataset, source, file, ledger, dataset_version, run, model_version, deployment, …
    told: str  # for people: `flights v2`
    at: datetime | None = None


@dataclass(frozen=True)
class Edge:
    """`target` was made from `source`; both are ids of nodes."""

    source: str
    target: str


@dataclass(frozen=True)
class Graph:
    """Nodes, the one that was asked for first, and edges between them, each once."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def around(
    start: str, nodes: Mapping[str, Node], edges: Iterable[Edge], *, up: bool = True, down: bool = True, hops: int | None = None
) -> Graph:
    """Return what the node `start` came from (`up`) and what came of it (`down`), within `hops` steps; siblings are left out.

    >>> known = {name: Node(name, "run", name) for name in "abc"}
    >>> [node.id for node in around("b", known, [Edge("a", "b"), Edge("b", "c")], up=False).nodes]
    ['b', 'c']
    """
    into: dict[str, list[Edge]] = {}
    out_of: dict[str, list[Edge]] = {}
    for edge in edges:
        into.setdefault(edge.target, []).append(edge)
        out_of.setdefault(edge.source, []).append(edge)
    found: dict[str, None] = {start: None}
    passed: dict[Edge, None] = {}
    if up:
        _walk(start, into, hops, found, passed, forwards=False)
    if down:
        _walk(start, out_of, hops, found, passed, forwards=True)
    return Graph(tuple(nodes[id_] for id_ in found), tuple(passed))


def _walk(
    start: str,
    ways: Mapping[str, list[Edge]],
    hops: int | None,
    found: dict[str, None],
    passed: dict[Edge, None],
    *,
    forwards: bool,
) -> None:
    row, seen, gone = [start], {start}, 0
    while row and (hops is None or gone < hops):
        beyond: list[str] = []
        for id_ in row:
            for edge in ways.get(id_, []):
                passed[edge] = None
                other = edge.target if forwards else edge.source
                found[other] = None
                if other not in seen:
                    seen.add(other)
                    beyond.append(other)
        row, gone = beyond, gone + 1
