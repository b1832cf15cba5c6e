"""The route of lineage."""

from typing import Annotated

from fastapi import APIRouter, Query

from modelyard.api.callers import InProject
from modelyard.api.reading import SnapshotRoute
from modelyard.data import Graph
from modelyard.serving.lineage import lineage

router = APIRouter(prefix="/v1/projects/{project}/lineage", tags=["lineage"], route_class=SnapshotRoute)


@router.get("")
def graph(
    call: InProject,
    of: str,
    *,
    up: bool = True,
    down: bool = True,
    hops: Annotated[int | None, Query(ge=1)] = None,
    column: str | None = None,
) -> Graph:
    """Return what a thing came from and what came of it; `of` is `file:…`, `dataset:flights@3`, `model:delay@7`."""
    return lineage(call.platform, call.actor, call.project, of, up=up, down=down, hops=hops, column=column)
