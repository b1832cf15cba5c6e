"""Routes of serving: deployments, rollouts, labels, the ledger, and the catalogue that gateways follow."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool

from modelyard.api.callers import Call, InProject, PageQuery
from modelyard.api.data import frame_response
from modelyard.api.reading import SnapshotRoute
from modelyard.core import Page, from_text
from modelyard.monitoring import Label, QueuedRow
from modelyard.monitoring.labels import add_labels, labelled_rows
from modelyard.monitoring.queue import Wish, ask, find_queued, skip
from modelyard.reactions import Decision
from modelyard.reactions.service import push
from modelyard.serving import Deployment, Revision, Rollout
from modelyard.serving.routing import shadow, split
from modelyard.serving.service import (
    catalogue,
    catalogue_position,
    deploy,
    find_deployments,
    find_rollouts,
    get_deployment,
    revisions,
    roll_back_deployment,
    start_rollout,
)
from modelyard.serving.shadow import ShadowDiff, shadow_diffs
from modelyard.tenancy import authorise

router = APIRouter(prefix="/v1", tags=["serving"], route_class=SnapshotRoute)
MAX_WAIT_S = 30.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class NewDeployment:
    """A deployment to make, or to change."""

    name: str
    model: str
    alias: str = "champion"
    canary: tuple[int, ...] = (10, 50, 100)
    time: str | None = None
    tolerance: float = 0.02
    loss: str = "log_loss"
    form: str = "auto"


@dataclass(frozen=True)
class Weights:
    """Per cent of the requests by version."""

    weights: dict[int, int]


@dataclass(frozen=True)
class NewShadow:
    """A version to ask besides, about a share of the requests in per cent; 0 ends it."""

    version: int
    share: int = 100


@dataclass(frozen=True)
class NewRollout:
    """A version to bring up."""

    version: int
    cause: str = ""


@dataclass(frozen=True)
class Pushed:
    """A version to bring up past its gate."""

    version: int
    reason: str


@dataclass(frozen=True)
class PushedRollout:
    """The rollout of a push, and the decision on record."""

    rollout: Rollout
    decision: Decision


@dataclass(frozen=True)
class NewLabels:
    """Labels by prediction id, as columns of one length; `times` are the event times of the truth."""

    predictions: tuple[str, ...]
    values: tuple[float, ...]
    times: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """Predictions that somebody cannot tell the truth about."""

    predictions: tuple[str, ...]


@router.get("/catalogue")
async def serve_catalogue(call: Call, after: int = -1, wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0.0) -> Response:
    """Return what gateways serve; when nothing is newer than `after`, wait up to `wait_s` and answer 304."""
    until, seen = time.monotonic() + wait_s, None
    while True:
        changes = call.platform.metadata.changes()
        is_new = changes is None or changes != seen
        if is_new and await run_in_threadpool(catalogue_position, call.platform, call.actor) > after:
            break
        if time.monotonic() >= until:
            return Response(status_code=304)
        seen = changes
        await asyncio.sleep(LOOK_EVERY_S)
    found = await run_in_threadpool(catalogue, call.platform, call.actor)
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.get("/projects/{project}/deployments")
def deployments(call: InProject) -> list[Deployment]:
    """Return the deployments."""
    return find_deployments(call.platform, call.actor, call.project)


@router.post("/projects/{project}/deployments", status_code=201)
def make_deployment(call: InProject, new: NewDeployment) -> Deployment:
    """Make a deployment, or change the one of this name."""
    return deploy(
        call.platform,
        call.actor,
        call.project,
        new.name,
        model=new.model,
        alias=new.alias,
        canary=new.canary,
        time=new.time,
        tolerance=new.tolerance,
        loss=new.loss,
        form=new.form,
    )


@router.get("/projects/{project}/deployments/{name}")
def deployment(call: InProject, name: str) -> Deployment:
    """Return one deployment."""
    return get_deployment(call.platform, call.actor, call.project, name)


@router.get("/projects/{project}/deployments/{name}/revisions")
def deployment_revisions(call: InProject, name: str, page: PageQuery) -> Page[Revision]:
    """Return a deployment's revisions, newest first."""
    return revisions(call.platform, call.actor, call.project, name, page)


@router.get("/projects/{project}/deployments/{name}/rollouts")
def deployment_rollouts(call: InProject, name: str, page: PageQuery) -> Page[Rollout]:
    """Return a deployment's rollouts, newest first."""
    return find_rollouts(call.platform, call.actor, call.project, page, name=name)


@router.post("/projects/{project}/deployments/{name}/rollouts", status_code=201)
def make_rollout(call: InProject, name: str, new: NewRollout) -> Rollout:
    """Start the canary of a version that its gate lets through."""
    authorise(call.actor, "deployment.write", call.project)
    cause = new.cause or f"member:{call.actor.member}"
    return start_rollout(call.platform, call.actor, call.project, name, version=new.version, cause=cause)


@router.post("/projects/{project}/deployments/{name}/push", status_code=201)
def push_version(call: InProject, name: str, new: Pushed) -> PushedRollout:
    """Break the glass: start a canary past the gate, on record."""
    rollout, decision = push(call.platform, call.actor, call.project, name, new.version, reason=new.reason)
    return PushedRollout(rollout, decision)


@router.post("/projects/{project}/deployments/{name}/roll-back", status_code=201)
def roll_back(call: InProject, name: str) -> Revision:
    """Go back to the version before."""
    return roll_back_deployment(call.platform, call.actor, call.project, name, cause=f"member:{call.actor.member}")


@router.post("/projects/{project}/deployments/{name}/split", status_code=201)
def split_requests(call: InProject, name: str, new: Weights) -> Revision:
    """Let versions share the requests."""
    cause = f"member:{call.actor.member}"
    return split(call.platform, call.actor, call.project, name, new.weights, cause=cause)


@router.post("/projects/{project}/deployments/{name}/shadow", status_code=201)
def set_shadow(call: InProject, name: str, new: NewShadow) -> Revision:
    """Ask a version besides, or no longer."""
    cause = f"member:{call.actor.member}"
    return shadow(call.platform, call.actor, call.project, name, new.version, share=new.share, cause=cause)


@router.get("/projects/{project}/deployments/{name}/shadows")
def shadows(call: InProject, name: str, since: datetime | None = None, until: datetime | None = None) -> list[ShadowDiff]:
    """Return what shadows answered beside what callers got."""
    return shadow_diffs(call.platform, call.actor, call.project, name, since=since, until=until)


@router.post("/projects/{project}/deployments/{name}/labels", status_code=201)
def take_labels(call: InProject, name: str, new: NewLabels) -> dict[str, int]:
    """Keep labels: late, repeated and out of order as they come."""
    now = call.platform.clock()
    times = [from_text(text) for text in new.times] if new.times else [now] * len(new.predictions)
    rows = zip(new.predictions, new.values, times, strict=True)
    labels = [Label(prediction, value, at, now) for prediction, value, at in rows]
    return {"labels": add_labels(call.platform, call.actor, call.project, name, labels)}


@router.post("/projects/{project}/deployments/{name}/queue")
def ask_for_labels(call: InProject, name: str, wish: Wish) -> Response:
    """Return predictions to label as Arrow IPC, and hold them for the caller."""
    return frame_response(ask(call.platform, call.actor, call.project, name, wish))


@router.get("/projects/{project}/deployments/{name}/queue")
def queue(call: InProject, name: str) -> list[QueuedRow]:
    """Return who was asked about which predictions, and what came of it."""
    return find_queued(call.platform, call.actor, call.project, name)


@router.post("/projects/{project}/deployments/{name}/queue/skipped")
def skip_labels(call: InProject, name: str, told: Skipped) -> dict[str, int]:
    """Say that the caller cannot tell."""
    return {"skipped": skip(call.platform, call.actor, call.project, name, told.predictions)}


@router.get("/projects/{project}/deployments/{name}/predictions")
def predictions(call: InProject, name: str, since: datetime | None = None, until: datetime | None = None) -> Response:
    """Return the ledger's rows of [since, until) by event time, joined with their labels, as Arrow IPC."""
    get_deployment(call.platform, call.actor, call.project, name)
    return frame_response(labelled_rows(call.platform, call.project, name, since=since, until=until))
