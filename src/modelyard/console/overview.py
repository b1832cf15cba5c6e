"""The overview: where each model stands in the loop, what happened, what needs a person."""

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.charts import spark
from modelyard.console.deeds import Deed, deeds_of
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.happenings import alerts_of, revisions_of, timeline_of
from modelyard.console.loop_picture import draw_loop
from modelyard.console.ranges import TimeRange, range_of
from modelyard.console.rendering import PageRoute
from modelyard.console.stations import stations_of, turning
from modelyard.console.timeline import draw_timeline
from modelyard.console.traffic import Traffic, losses, quantile, slot_width
from modelyard.console.visits import InProject, Visit
from modelyard.core import PageRequest
from modelyard.data.service import find_datasets
from modelyard.monitoring import AlertKind
from modelyard.reactions.service import find_decisions
from modelyard.registry.service import find_models
from modelyard.serving import Deployment, RouteKind
from modelyard.serving.rules import live_version
from modelyard.serving.service import find_deployments

router = APIRouter(route_class=PageRoute, include_in_schema=False)
LOOPS = 4
DEEDS = 6


@dataclass(frozen=True)
class ModelLoop:
    """Where one model stands."""

    name: str
    href: str
    picture: Markup


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment, in a line."""

    name: str
    href: str
    live: int | None
    alias: str
    canary: tuple[int, int] | None  # version and per cent
    answers: int
    p99_us: float | None
    loss: float | None
    loss_name: str
    spark: Markup
    state: str  # kind of dot
    told: str


@dataclass(frozen=True)
class OverviewPage:
    """The context of the overview."""

    frame: Frame
    loops: tuple[ModelLoop, ...]
    more_models: int
    shown: TimeRange | None
    chosen: Deployment | None
    others: tuple[tuple[str, str], ...]  # name and address of the deployments that could be shown instead
    picture: Markup | None
    rows: tuple[DeploymentRow, ...]
    deeds: tuple[Deed, ...]
    has_data: bool


def build_overview(visit: Visit) -> OverviewPage:
    """Return the context."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    frame = frame_of(visit, "Overview", "Overview")
    deployments = find_deployments(platform, actor, project)
    traffic = {one.name: visit.console.traffic.of(project, one) for one in deployments}
    models = find_models(platform, actor, project)
    served = {one.model: one for one in reversed(deployments)}
    ordered = sorted(models, key=lambda model: (model.name not in served, model.name))
    asked = frame.query.get("deployment")
    chosen = next((one for one in deployments if one.name == asked), deployments[0] if deployments else None)
    shown = picture = None
    if chosen is not None:
        of = traffic[chosen.name]
        shown = range_of(frame, of.first or chosen.created_at, of.last)
        picture = draw_timeline(timeline_of(visit, chosen, of, shown))
    newest = find_decisions(platform, actor, project, PageRequest(limit=DEEDS)).items
    return OverviewPage(
        frame=frame,
        loops=tuple(_loop(visit, model.name, served.get(model.name), traffic) for model in ordered[:LOOPS]),
        more_models=max(0, len(ordered) - LOOPS),
        shown=shown,
        chosen=chosen,
        others=tuple((one.name, frame.with_query(deployment=one.name)) for one in deployments if one != chosen),
        picture=picture,
        rows=tuple(row_of(visit, one, traffic[one.name]) for one in deployments),
        deeds=deeds_of(visit, newest),
        has_data=bool(find_datasets(platform, actor, project)),
    )


def _loop(visit: Visit, model: str, deployment: Deployment | None, traffic: dict[str, Traffic]) -> ModelLoop:
    stations = stations_of(visit, model, deployment, traffic[deployment.name] if deployment else None)
    picture = draw_loop(stations, model, turning=deployment is not None and turning(visit, deployment))
    return ModelLoop(model, f"{base_of(visit.project)}/models/{quote(model, safe='')}", picture)


def row_of(visit: Visit, deployment: Deployment, traffic: Traffic) -> DeploymentRow:
    """Return a deployment in a line: its figures are of the last fourteen days with traffic."""
    last = traffic.last or visit.platform.clock()
    part = traffic.between(last - slot_width(last, last) * 24 * 14, last)
    made = revisions_of(visit, deployment)
    canary = next((one for one in made[0].routes if one.kind is RouteKind.CANARY), None) if made else None
    points = losses(part, slot_width(last, last) * 24)
    labelled = sum(point.rows for point in points)
    alarms = [one for one in alerts_of(visit, deployment) if one.kind is AlertKind.ALARM]
    recent = [one for one in alarms if one.at >= last - slot_width(last, last) * 24 * 14]
    state, told = ("ok", "quiet") if part.rows else ("", "no answers yet")
    if recent:
        state, told = "alarm", f"{len(recent)} alarm{'s' if len(recent) > 1 else ''} in 14 d"
    if canary:
        state, told = "run", "canary is judged"
    return DeploymentRow(
        name=deployment.name,
        href=f"{base_of(visit.project)}/serve/{quote(deployment.name, safe='')}",
        live=live_version(made[0]) if made else None,
        alias=deployment.alias,
        canary=(canary.version, canary.weight) if canary else None,
        answers=part.rows,
        p99_us=quantile(part, 0.99),
        loss=sum(point.mean * point.rows for point in points) / labelled if labelled else None,
        loss_name=deployment.loss.replace("_", " "),
        spark=spark([point.mean for point in points], f"{deployment.name}, loss by day"),
        state=state,
        told=told,
    )


@router.get("/projects/{project}")
def overview(visit: InProject) -> Response:
    """Show where each model stands, what happened and what needs a person."""
    return show(visit, "overview.html", lambda: build_overview(visit))
