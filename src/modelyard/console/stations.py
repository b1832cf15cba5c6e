"""Where a model stands in each stage of the loop, told from the records of that stage."""

import json
from datetime import timedelta
from urllib.parse import quote

from modelyard.console.frame import base_of
from modelyard.console.loop_picture import Station
from modelyard.console.telling import count, figure, moment
from modelyard.console.traffic import Traffic
from modelyard.console.visits import Visit
from modelyard.core import Digest, PageRequest
from modelyard.data.service import find_datasets, versions
from modelyard.jobs import JobState
from modelyard.monitoring import AlertKind
from modelyard.monitoring.service import find_alerts, find_monitors, find_windows
from modelyard.prepare import FittedPipeline
from modelyard.reactions.service import find_decisions, find_policies
from modelyard.registry import ModelVersion
from modelyard.registry.rules import alike
from modelyard.registry.service import evaluate_gate, find_aliases, find_versions
from modelyard.serving import Deployment, RolloutState, RouteKind
from modelyard.serving.service import find_rollouts, latest_revision
from modelyard.training import RunState, StudyState
from modelyard.training.service import find_runs, find_studies

ONE = PageRequest(limit=1)
RETRAIN_JOB = "deployment.retrain"
EXACT = 1e-6
DAY = timedelta(days=1)


def stations_of(visit: Visit, model: str, deployment: Deployment | None, traffic: Traffic | None) -> tuple[Station, ...]:
    """Return the seven stations of a model."""
    newest = next(iter(find_versions(visit.platform, visit.actor, visit.project.id, model, ONE).items), None)
    return (
        _data(visit),
        _prepare(visit, newest),
        _train(visit),
        _models(visit, model, newest),
        _serve(visit, deployment, traffic),
        _monitor(visit, deployment),
        _react(visit, deployment),
    )


def turning(visit: Visit, deployment: Deployment) -> bool:
    """Return whether a retraining of the deployment is under way."""
    with visit.platform.transaction() as tx:
        states = [JobState.QUEUED, JobState.RUNNING]
        jobs = tx.jobs.find(visit.project.id, PageRequest(limit=20), states=states, kinds=[RETRAIN_JOB]).items
    return any(job.payload.get("deployment") == deployment.name for job in jobs)


def _path(visit: Visit, *parts: str) -> str:
    return "/".join([base_of(visit.project), *(quote(part, safe="") for part in parts)])


def _data(visit: Visit) -> Station:
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    datasets = find_datasets(platform, actor, project)
    newest = next(iter(versions(platform, actor, project, ONE).items), None)
    if newest is None:
        return Station("Data", "none", count(len(datasets)) + " datasets", "no version yet", _path(visit, "data"))
    failed = any(outcome.rows_failed for outcome in newest.outcomes)
    told = f"{newest.name} v{newest.number}"
    name = f"{len(datasets)} dataset{'s' if len(datasets) != 1 else ''}"
    return Station("Data", "note" if failed else "ok", name, told, _path(visit, "data"))


def _prepare(visit: Visit, version: ModelVersion | None) -> Station:
    if version is None:
        return Station("Prepare", "none", "no steps yet", "no version is registered", _path(visit, "prepare"))
    if version.pipeline is None:
        told = (
            "combined: each member prepares by itself" if version.composition else "imported: it takes its inputs as they are"
        )
        return Station("Prepare", "none", "no steps", told, _path(visit, "prepare"))
    steps = len(pipeline_of(visit, version.pipeline).steps)
    compared = [form for form in alike(version.forms) if form.rows_compared]
    worst = max((form.max_abs_diff for form in compared), default=0.0)
    told = "parity exact" if worst == 0 else f"parity within {worst:.0e}"
    state = "ok" if worst <= EXACT else "note"
    return Station("Prepare", state, f"{steps} step{'s' if steps != 1 else ''}", told, _path(visit, "prepare"))


def pipeline_of(visit: Visit, digest: Digest) -> FittedPipeline:
    """Return a kept pipeline."""
    [content] = visit.platform.objects.get(visit.project.id, [digest])
    return FittedPipeline.from_json(json.loads(content))


def _train(visit: Visit) -> Station:
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    studies = find_studies(platform, actor, project, ONE).items
    running = find_runs(platform, actor, project, ONE, states=[RunState.RUNNING, RunState.PENDING]).items
    if studies and studies[0].state is StudyState.RUNNING:
        study = studies[0]
        trials = find_runs(platform, actor, project, PageRequest(limit=1000), study=study.id).items
        done = [run for run in trials if run.state is RunState.FINISHED and study.metric in run.metrics]
        values = [run.metrics[study.metric] for run in done]
        best = (min if study.direction.value == "minimise" else max)(values) if values else None
        told = f"best {study.metric.replace('_', ' ')} {figure(best)}"
        return Station("Train", "run", f"study · {len(done)}/{study.trials}", told, _path(visit, "train", "studies", study.id))
    newest = running or find_runs(platform, actor, project, ONE).items
    if not newest:
        return Station("Train", "none", "no run yet", "nothing was trained", _path(visit, "train"))
    run = newest[0]
    value = run.metrics.get(run.metric)
    told = f"{run.metric.replace('_', ' ')} {figure(value)}" if value is not None else run.state.value
    state = {"finished": "ok", "failed": "alarm", "cancelled": "none"}.get(run.state.value, "run")
    return Station("Train", state, f"run {run.number} · {run.kind.value}", told, _path(visit, "train", "runs", str(run.number)))


def _models(visit: Visit, model: str, version: ModelVersion | None) -> Station:
    path = _path(visit, "models", model)
    if version is None:
        return Station("Models", "none", model, "no version yet", path)
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    aliases = find_aliases(platform, actor, project, model)
    held = [alias.name for alias in aliases if alias.version == version.number]
    name = f"{model} v{version.number}"
    if held:
        return Station("Models", "ok", name, f"is {held[0]}", path)
    gated = next((alias for alias in aliases if alias.gate.conditions), None)
    if gated is None:
        return Station("Models", "none", name, "stands under no alias", path)
    result = evaluate_gate(platform, actor, project, model, version.number, gated.name)
    green = sum(one.passed for one in result.results)
    state = "ok" if result.passed else "note"
    if not result.passed and all(one.passed or one.condition.kind.value == "approvals" for one in result.results):
        state = "wait"
    return Station("Models", state, name, f"gate: {green} of {len(result.results)} green", path)


def _serve(visit: Visit, deployment: Deployment | None, traffic: Traffic | None) -> Station:
    if deployment is None or traffic is None:
        return Station("Serve", "none", "not deployed", "it answers nobody", _path(visit, "serve"))
    revision = latest_revision(visit.platform, visit.actor, visit.project.id, deployment.name)
    routes = sorted(revision.routes, key=lambda route: route.kind is RouteKind.CANARY)
    told = " · ".join(f"v{route.version} {route.weight} %" for route in routes)
    last = traffic.last
    rows = traffic.between(last - DAY, last).rows if last else 0
    state = "run" if len(routes) > 1 else "ok" if rows else "none"
    return Station("Serve", state, f"{count(rows)} answers a day", told, _path(visit, "serve", deployment.name))


def _monitor(visit: Visit, deployment: Deployment | None) -> Station:
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    monitors = [one for one in find_monitors(platform, actor, project) if deployment and one.deployment == deployment.name]
    if not monitors:
        return Station("Monitor", "none", "not watched", "no monitor", _path(visit, "monitor"))
    monitor = monitors[0]
    path = _path(visit, "monitor", monitor.name)
    windows = find_windows(platform, actor, project, monitor.name, PageRequest(limit=30)).items
    known = next((one for one in windows if "log_loss" in one.metrics), None)
    since = windows[0].end - 7 * DAY if windows else None
    recent = [one for one in find_alerts(platform, actor, project, PageRequest(limit=100)).items if since and one.at > since]
    alarms = sum(one.kind is AlertKind.ALARM for one in recent)
    notices = len(recent) - alarms
    state = "alarm" if alarms else "note" if notices else "ok"
    headline = f"log loss {figure(known.metrics['log_loss'])}" if known else "no labels yet"
    told = f"{notices} notice{'s' * (notices != 1)}, {alarms} alarm{'s' * (alarms != 1)}"
    return Station("Monitor", state if windows else "none", headline, told, path)


def _react(visit: Visit, deployment: Deployment | None) -> Station:
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    path = _path(visit, "react")
    policies = [one for one in find_policies(platform, actor, project) if deployment and one.deployment == deployment.name]
    if deployment is None or not policies:
        return Station("React", "none", "no policy", "nothing acts by itself", path)
    states = [RolloutState.RUNNING, RolloutState.HELD]
    open_ones = find_rollouts(platform, actor, project, ONE, name=deployment.name, states=states).items
    made = find_decisions(platform, actor, project, PageRequest(limit=1000), deployment=deployment.name).items
    headline = f"{len(made)} decision{'s' * (len(made) != 1)}"
    if turning(visit, deployment):
        return Station("React", "run", headline, "a retraining is under way", path)
    if open_ones:
        held = open_ones[0].state is RolloutState.HELD
        told = f"v{open_ones[0].candidate} waits for you" if held else "next: judge canary"
        return Station("React", "wait" if held else "run", headline, told, path)
    told = f"last {moment(made[0].at, platform.clock())}" if made else "nothing to do yet"
    return Station("React", "ok", headline, told, path)
