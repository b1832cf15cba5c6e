"""Lineage: what a thing came from and what came of it, as a picture and as a list."""

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.lineage_picture import draw_lineage
from modelyard.console.rendering import PageRoute
from modelyard.console.visits import InProject, Visit
from modelyard.core import Problem
from modelyard.data import Graph, Node
from modelyard.serving.lineage import STARTS, lineage

router = APIRouter(prefix="/projects/{project}/lineage", route_class=PageRoute, include_in_schema=False)
WAYS = ("both", "up", "down")


@dataclass(frozen=True)
class Thing:
    """A thing of the graph, in a line."""

    node: Node
    href: str | None


@dataclass(frozen=True)
class LineagePage:
    """The context: what was asked, and what was found."""

    frame: Frame
    of: str
    column: str
    way: str
    kinds: tuple[str, ...]
    picture: Markup | None
    things: tuple[Thing, ...]
    problem: Problem | None


def node_paths(visit: Visit, graph: Graph) -> dict[str, str]:
    """Return the address of each thing that has a page."""
    found = {node.id: _path(base_of(visit.project), node) for node in graph.nodes}
    return {id_: path for id_, path in found.items() if path is not None}


def lineage_path(visit: Visit, of: str) -> str:
    """Return the address of a thing's lineage."""
    return f"{base_of(visit.project)}/lineage?of={quote(of, safe='')}"


def _path(base: str, node: Node) -> str | None:
    name, _, number = node.told.rpartition(" v")
    if node.kind == "dataset_version":
        return f"{base}/data/{quote(name, safe='')}/{number}"
    if node.kind == "run":
        return f"{base}/train/runs/{node.told.rpartition(' ')[2]}"
    if node.kind == "model_version":
        model, _, version = node.told.rpartition("@")
        return f"{base}/models/{quote(model, safe='')}/{version}"
    return f"{base}/serve/{quote(node.told, safe='')}" if node.kind == "deployment" else None


def build_lineage(visit: Visit) -> LineagePage:
    """Return the context of what the query asks for; without one, of an empty form."""
    frame = frame_of(visit, "Data", "Lineage")
    of, column = frame.query.get("of", ""), frame.query.get("column", "")
    way = frame.query.get("way", "both")
    picture: Markup | None = None
    things: tuple[Thing, ...] = ()
    problem: Problem | None = None
    if of:
        try:
            graph = lineage(
                visit.platform,
                visit.actor,
                visit.project.id,
                of,
                up=way != "down",
                down=way != "up",
                column=column or None,
            )
        except Problem as told:
            problem = told
        else:
            paths = node_paths(visit, graph)
            picture = draw_lineage(graph, paths)
            things = tuple(Thing(node, paths.get(node.id)) for node in graph.nodes)
    return LineagePage(frame, of, column, way, STARTS, picture, things, problem)


@router.get("")
def one_lineage(visit: InProject) -> Response:
    """Show the lineage of what the query names."""
    return show(visit, "lineage.html", lambda: build_lineage(visit))
