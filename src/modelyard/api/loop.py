"""How far the loop has come: for replays, tests and whoever waits."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from modelyard.api.callers import InProject
from modelyard.api.reading import SnapshotRoute
from modelyard.reactions.service import pending
from modelyard.serving.service import catalogue_position
from modelyard.tenancy import authorise

if TYPE_CHECKING:
    from modelyard.wiring import Follower

router = APIRouter(prefix="/v1/projects/{project}/loop", tags=["loop"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class LoopState:
    """Where the follower stands."""

    now: datetime  # the platform's clock
    turned: datetime | None  # the clock's time of the last turn that found nothing more to do
    pending: tuple[str, ...]  # what is under way, in words
    failing: str | None  # what the last turn broke on
    position: int  # of the newest event

    # `settled`: everything due by `now` has been done
    settled: bool = False


@router.get("/catalogue")
def catalogue_state(call: InProject) -> dict[str, int]:
    """Return the position that a gateway has to reach to answer by the newest catalogue."""
    authorise(call.actor, "project.read", call.project)
    return {"position": catalogue_position(call.platform, call.actor)}


@router.get("")
def loop(call: InProject, request: Request) -> LoopState:
    """Return how far the loop has come."""
    authorise(call.actor, "project.read", call.project)
    follower: Follower | None = request.app.state.follower
    now = call.platform.clock()
    under_way = tuple(pending(call.platform, call.project))
    turned = follower.turned.get(call.project) if follower else None
    if follower is not None and (turned is None or turned < now):
        follower.hurried.set()
    with call.platform.transaction() as tx:
        newest = tx.events.read(call.project, limit=1, newest_first=True)
    return LoopState(
        now=now,
        turned=turned,
        pending=under_way,
        failing=follower.failing.get(call.project) if follower else None,
        position=newest[0].position if newest else 0,
        settled=turned is not None and turned >= now and not under_way,
    )
