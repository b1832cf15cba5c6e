"""Routes of lineage: the graph, our events for others, and theirs for us, both as OpenLineage has them."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from modelyard.api.callers import InProject, PageQuery, ProjectCaller
from modelyard.api.reading import SnapshotRoute
from modelyard.core import Page, Problem
from modelyard.data import Graph
from modelyard.serving.lineage import lineage
from modelyard.serving.openlineage.events import exported
from modelyard.serving.openlineage.received import MOST_BYTES, decode_events, receive

router = APIRouter(prefix="/v1/projects/{project}/lineage", tags=["lineage"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class Receipt:
    """How many events were kept."""

    received: int


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


@router.get("/events")
def events(call: InProject, page: PageQuery, since: datetime | None = None) -> Page[Mapping[str, Any]]:
    """Return what happened as OpenLineage's run events, oldest first, from `since` on: those of `limit` facts a page."""
    return exported(call.platform, call.actor, call.project, page, since=since)


@router.post("", status_code=201)
async def post_event(call: InProject, request: Request) -> Receipt:
    """Keep an OpenLineage event of somebody else's job: of a run, a job or a dataset."""
    return await _received(call, request, batch=False)


@router.post("/batch", status_code=201)
async def post_events(call: InProject, request: Request) -> Receipt:
    """Keep a list of OpenLineage events, all or none."""
    return await _received(call, request, batch=True)


async def _received(call: ProjectCaller, request: Request, *, batch: bool) -> Receipt:
    content = await _body(request)
    count = await run_in_threadpool(
        lambda: receive(call.platform, call.actor, call.project, decode_events(content, batch=batch))
    )
    return Receipt(count)


async def _body(request: Request) -> bytes:
    """Return the body, unpacked where it is gzip. Problem `lineage.too_large` as soon as it is."""
    packed = request.headers.get("content-encoding", "").lower() == "gzip"
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    content = bytearray()
    try:
        async for piece in request.stream():
            content += unpack.decompress(piece, MOST_BYTES + 1) if packed else piece
            if len(content) > MOST_BYTES or unpack.unconsumed_tail:
                why = f"the most is {MOST_BYTES:,} bytes"
                raise Problem("lineage.too_large", "The events are too large", why, "send fewer at once, or leave facets out")
            if unpack.unused_data:  # refused at once: zlib keeps it, and copies all of it with every further piece
                why = "something follows the end of its gzip stream"
                raise Problem("lineage.invalid", "The body cannot be unpacked", why, "send one gzip stream")
    except zlib.error as error:
        raise Problem(
            "lineage.invalid", "The body cannot be unpacked", str(error), "send gzip, or no Content-Encoding"
        ) from error
    if packed and not unpack.eof:
        raise Problem("lineage.invalid", "The body cannot be unpacked", "it ends too early", "send it whole")
    return bytes(content)
