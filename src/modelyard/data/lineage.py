"""Where a dataset version came from, and what was made of it."""

from dataclasses import dataclass
from datetime import datetime

from modelyard.core import ProjectId
from modelyard.data.reading import Ports, get_version_by_id, newest_first
from modelyard.data.types import DatasetVersion, DatasetVersionId, Parent
from modelyard.tenancy import Actor, authorise

DATASET_VERSION = "dataset_version"


@dataclass(frozen=True)
class Node:
    """A thing of the graph: a dataset version, or what a parent names (a source, a stretch of the ledger)."""

    id: str  # of the version; the URL or reference of another thing
    kind: str
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


def lineage(ports: Ports, actor: Actor, project: ProjectId, version: DatasetVersionId, hops: int = 2) -> Graph:
    """Return what lies within `hops` steps up and within `hops` steps down of a version; siblings are left out.

    Raises
    ------
    Problem
        `dataset.missing` for an unknown version.
    """
    authorise(actor, "dataset.read", project)
    with ports.transaction() as tx:
        start = get_version_by_id(ports, project, version)
        known = {one.id: one for one in newest_first(tx, project)}
    nodes: dict[str, Node] = {start.id: _node(start)}
    edges: dict[Edge, None] = {}
    _upwards(start, hops, known, nodes, edges)
    _downwards(start, hops, known, nodes, edges)
    return Graph(tuple(nodes.values()), tuple(edges))


def _upwards(
    start: DatasetVersion,
    hops: int,
    known: dict[DatasetVersionId, DatasetVersion],
    nodes: dict[str, Node],
    edges: dict[Edge, None],
) -> None:
    row = [start]
    for _ in range(hops):
        above: list[DatasetVersion] = []
        for child in row:
            for parent in child.parents:
                edges[Edge(parent.ref, child.id)] = None
                version = known.get(DatasetVersionId(parent.ref)) if parent.kind == DATASET_VERSION else None
                if parent.ref not in nodes and version is not None:
                    above.append(version)
                nodes.setdefault(parent.ref, _node(version) if version else _thing(parent))
        row = above


def _downwards(
    start: DatasetVersion,
    hops: int,
    known: dict[DatasetVersionId, DatasetVersion],
    nodes: dict[str, Node],
    edges: dict[Edge, None],
) -> None:
    children: dict[str, list[DatasetVersion]] = {}
    for version in reversed(known.values()):
        for parent in version.parents:
            children.setdefault(parent.ref, []).append(version)
    row = [start]
    for _ in range(hops):
        below: list[DatasetVersion] = []
        for version in row:
            for child in children.get(version.id, []):
                edges[Edge(version.id, child.id)] = None
                if child.id not in nodes:
                    below.append(child)
                    nodes[child.id] = _node(child)
        row = below


def _node(version: DatasetVersion) -> Node:
    return Node(version.id, DATASET_VERSION, f"{version.name} v{version.number}", version.created_at)


def _thing(parent: Parent) -> Node:
    return Node(parent.ref, parent.kind, parent.told or parent.ref)
