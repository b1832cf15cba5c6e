"""Serve: the deployments; one deployment: who answers, how fast, how well, and the canary beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.beside import FailureRow, ShadowRow, failures_of, shadows_of
from modelyard.console.charts import Interval, Line, forest, line_chart
from modelyard.console.deeds import Deed, deeds_of
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.happenings import decisions_of, revisions_of, timeline_of
from modelyard.console.overview import DeploymentRow, row_of
from modelyard.console.ranges import TimeRange, range_of
from modelyard.console.rendering import PageRoute, see_other
from modelyard.console.timeline import draw_timeline
from modelyard.console.traffic import RouteFigures, by_route, latency_series, quantile, slot_width, slots
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import PageRequest
from modelyard.registry import Form
from modelyard.registry.rules import chosen_form
from modelyard.registry.service import get_version
from modelyard.serving import Deployment, Revision, Rollout, RolloutState
from modelyard.serving.rules import live_version
from modelyard.serving.service import find_deployments, find_rollouts, get_deployment, roll_back_deployment

router = APIRouter(prefix="/projects/{project}/serve", route_class=PageRoute, include_in_schema=False)
SHOWN = 20
OPEN = (RolloutState.RUNNING, RolloutState.HELD)
MILLI = 1000.0


@dataclass(frozen=True)
class ServePage:
    """The context of the list."""

    frame: Frame
    rows: tuple[DeploymentRow, ...]


@dataclass(frozen=True)
class FormRow:
    """A form of a version that is asked now."""

    version: int
    form: Form
    answers: bool  # whether it is the one that is loaded


@dataclass(frozen=True)
class DeploymentPage:
    """The context of one deployment."""

    frame: Frame
    deployment: Deployment
    href: str
    model_href: str
    live: int | None
    shown: TimeRange
    picture: Markup
    latency: Markup
    answers: int
    p50_us: float | None
    p99_us: float | None
    routes: tuple[RouteFigures, ...]
    forms: tuple[FormRow, ...]
    failures: tuple[FailureRow, ...]
    failed: int
    shadows: tuple[ShadowRow, ...]
    canary: Rollout | None
    share: int
    interval: Markup | None
    revisions: tuple[Revision, ...]
    causes: Mapping[str, str]  # what a revision's cause is called
    rollouts: tuple[Rollout, ...]
    deeds: tuple[Deed, ...]
    can_roll_back: bool
    inputs_example: str


def build_serve(visit: Visit) -> ServePage:
    """Return the context of the list."""
    found = find_deployments(visit.platform, visit.actor, visit.project.id)
    rows = tuple(row_of(visit, one, visit.console.traffic.of(visit.project.id, one)) for one in found)
    return ServePage(frame_of(visit, "Serve", "Serve"), rows)


def deployment_path(visit: Visit, name: str) -> str:
    """Return the address of a deployment."""
    return f"{base_of(visit.project)}/serve/{quote(name, safe='')}"


def build_deployment(visit: Visit, name: str) -> DeploymentPage:
    """Return the context of one deployment."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    deployment = get_deployment(platform, actor, project, name)
    frame = frame_of(visit, "Serve", name)
    traffic = visit.console.traffic.of(project, deployment)
    shown = range_of(frame, traffic.first or deployment.created_at, traffic.last)
    part = traffic.between(shown.since, shown.until)
    width = slot_width(shown.since, shown.until)
    starts = slots(shown.since, shown.until, width)
    lines = [
        Line(told, tuple(one / MILLI if one is not None else None for one in latency_series(part, starts, width, of)), class_)
        for told, of, class_ in (("p50", 0.5, "loss"), ("p99", 0.99, "loss accent"))
    ]
    made = revisions_of(visit, deployment)
    rollouts = find_rollouts(platform, actor, project, PageRequest(limit=SHOWN), name=name).items
    canary = next((one for one in rollouts if one.state in OPEN), None)
    failures = failures_of(visit, name, shown.since, shown.until)
    return DeploymentPage(
        frame=frame,
        deployment=deployment,
        href=deployment_path(visit, name),
        model_href=f"{base_of(visit.project)}/models/{quote(deployment.model, safe='')}",
        live=live_version(made[0]) if made else None,
        shown=shown,
        picture=draw_timeline(timeline_of(visit, deployment, traffic, shown)),
        latency=line_chart(starts, lines, "Latency of a request", unit="ms", zero=True),
        answers=part.rows,
        p50_us=quantile(part, 0.5),
        p99_us=quantile(part, 0.99),
        routes=by_route(part),
        forms=forms_of(visit, deployment, made[0]) if made else (),
        failures=failures,
        failed=sum(one.requests for one in failures),
        shadows=shadows_of(visit, name, shown.since, shown.until),
        canary=canary,
        share=deployment.canary[canary.step] if canary else 0,
        interval=interval_of(canary) if canary else None,
        revisions=tuple(made[:SHOWN]),
        causes={one.id: f"rollout of v{one.candidate}" for one in rollouts} | {f"deployment:{deployment.id}": "deployed"},
        rollouts=rollouts,
        deeds=deeds_of(visit, decisions_of(visit, deployment)[:8]),
        can_roll_back="deployment.write" in frame.may and (canary is not None or len(made) > 1),
        inputs_example=f"/v2/models/{deployment.name}/infer",
    )


def forms_of(visit: Visit, deployment: Deployment, revision: Revision) -> tuple[FormRow, ...]:
    """Return the forms of the versions that a revision asks, newest first, and which of them is loaded."""
    numbers = sorted({route.version for route in revision.routes}, reverse=True)
    versions = [
        get_version(visit.platform, visit.actor, visit.project.id, f"{deployment.model}@{number}") for number in numbers
    ]
    return tuple(
        FormRow(version.number, form, form == chosen_form(version, deployment.form))
        for version in versions
        for form in version.forms
    )


def interval_of(rollout: Rollout) -> Markup | None:
    """Return what the judge saw at its last look; None: it has not looked yet."""
    seen = rollout.judgement
    if seen is None or not isfinite(seen.half_width):
        return None
    one = Interval(f"v{rollout.candidate}", seen.difference, seen.half_width)
    return forest([one], seen.tolerance, f"Loss of v{rollout.candidate} minus that of the live version")


@router.get("")
def list_deployments(visit: InProject) -> Response:
    """Show the deployments."""
    return show(visit, "serve.html", lambda: build_serve(visit))


@router.get("/{name}")
def one_deployment(visit: InProject, name: str) -> Response:
    """Show one deployment."""
    return show(visit, "deployment.html", lambda: build_deployment(visit, name))


@router.post("/{name}/roll-back")
def roll_back(visit: InProject, name: str, _fields: Fields) -> Response:
    """Go back to the version before."""
    cause = f"member:{visit.actor.member}"
    revision = roll_back_deployment(visit.platform, visit.actor, visit.project.id, name, cause=cause)
    return see_other(deployment_path(visit, name), f"v{live_version(revision)} answers everything.")
