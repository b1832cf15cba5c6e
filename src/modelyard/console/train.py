"""Train: runs, filtered and sorted by metric; several beside each other; one run; one study."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite, log10
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import polars as pl
from fastapi import APIRouter, Query
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.charts import Dot, best_so_far, scatter
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.outcomes import Outcome, outcome_of
from modelyard.console.rendering import PageRoute, see_other
from modelyard.console.telling import figure, value, words
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import Digest, PageRequest, Problem
from modelyard.data import CheckOutcome, DatasetVersion, Severity
from modelyard.jobs import LogLine
from modelyard.jobs.service import logs
from modelyard.training import Direction, Run, RunId, RunKind, RunState, Study, StudyId
from modelyard.training.conditions import parse_where
from modelyard.training.examination import Examination
from modelyard.training.examining import find_examinations, request_examination
from modelyard.training.metrics import DIRECTIONS
from modelyard.training.service import find_runs, find_studies, get_run, get_study, metric_points

router = APIRouter(prefix="/projects/{project}/train", route_class=PageRoute, include_in_schema=False)
SHOWN_METRICS = 4
DOUBTFUL = 50
SHOWN_STUDIES = 8
MOST_COMPARED = 20
CHARTED = 8
LEAST_POINTS = 2
DOES_TO_A_RUN = {Severity.ERROR: "fails the run", Severity.BLOCK: "fails the run", Severity.WARNING: "warns"}
FIRST = ("log_loss", "roc_auc", "brier", "accuracy", "rmse")


@dataclass(frozen=True)
class Head:
    """The head of a column of metrics: a click sorts by it."""

    name: str
    href: str
    sorted: str  # ascending, descending or nothing


@dataclass(frozen=True)
class StudyRow:
    """A study, in a line."""

    study: Study
    href: str
    done: int
    best: float | None


@dataclass(frozen=True)
class TrainPage:
    """The context of runs and studies."""

    frame: Frame
    runs: tuple[Run, ...]
    next_key: str | None
    heads: tuple[Head, ...]
    where: str
    refused: str
    sort: str
    studies: tuple[StudyRow, ...]


@dataclass(frozen=True)
class Row:
    """A named value of each of several runs."""

    name: str
    cells: tuple[str, ...]
    differs: bool
    best: int | None = None  # place of the best cell


@dataclass(frozen=True)
class ComparePage:
    """The context of several runs beside each other."""

    frame: Frame
    runs: tuple[Run, ...]
    params: tuple[Row, ...]
    metrics: tuple[Row, ...]
    chart: str  # JSON for <metric-chart>; empty: nothing was logged over steps
    metric: str
    choices: tuple[tuple[str, str], ...]  # metric and address


@dataclass(frozen=True)
class Chart:
    """A metric over steps."""

    name: str
    data: str


@dataclass(frozen=True)
class RunPage:
    """The context of one run."""

    frame: Frame
    run: Run
    data: DatasetVersion | None
    took: timedelta | None
    charts: tuple[Chart, ...]
    environment: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    source: Mapping[str, Any]
    lines: tuple[LogLine, ...]
    refit_of: Run | None
    traceback: str
    outcomes: tuple[Outcome, ...]  # of the trainer's checks on the rows of the run
    examinable: bool
    examination: Examination | None  # the newest
    doubtful: tuple[Mapping[str, Any], ...]  # the first rows to fix or relabel


@dataclass(frozen=True)
class StudyPage:
    """The context of one study."""

    frame: Frame
    study: Study
    trials: tuple[Run, ...]
    done: int
    best: Run | None
    so_far: Markup
    scatters: tuple[tuple[str, Markup], ...]
    params: tuple[str, ...]
    space: tuple[tuple[str, str], ...]


def run_path(visit: Visit, number: int) -> str:
    """Return the address of a run."""
    return f"{base_of(visit.project)}/train/runs/{number}"


def build_train(visit: Visit) -> TrainPage:
    """Return the context of runs and studies."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    frame = frame_of(visit, "Train", "Train")
    where, sort = frame.query.get("where", ""), frame.query.get("sort", "")
    refused = ""
    try:
        conditions = [parse_where(part) for part in where.split(",") if part.strip()]
    except Problem as problem:
        conditions, refused = [], str(problem)
    page = PageRequest(frame.query.get("after"))
    found = find_runs(platform, actor, project, page, where=conditions, sort=sort or None)
    studies = find_studies(platform, actor, project, PageRequest(limit=SHOWN_STUDIES)).items
    return TrainPage(
        frame=frame,
        runs=found.items,
        next_key=found.next_key,
        heads=tuple(_head(frame, name, sort) for name in shown_metrics(found.items, sort)),
        where=where,
        refused=refused,
        sort=sort,
        studies=tuple(_study_row(visit, study) for study in studies),
    )


def shown_metrics(runs: Sequence[Run], sort: str = "") -> list[str]:
    """Return the metrics worth a column: the one sorted by, the runs' objectives, the known ones, then the most frequent."""
    counted: dict[str, int] = {}
    for run in runs:
        for name in run.metrics:
            counted[name] = counted.get(name, 0) + 1
    objectives = list(dict.fromkeys(run.metric for run in runs if run.metric in counted))
    rest = sorted(counted, key=lambda name: (name not in FIRST, -counted[name], name))
    wanted = [sort.removeprefix("-")] if sort else []
    return list(dict.fromkeys([*wanted, *objectives, *rest]))[:SHOWN_METRICS]


def _head(frame: Frame, name: str, sort: str) -> Head:
    """Return a head whose click sorts the better way round first, then the other, then by time again."""
    better = f"-{name}" if DIRECTIONS.get(name) is Direction.MAXIMISE else name
    worse = name if better.startswith("-") else f"-{name}"
    following: dict[str, str | None] = {better: worse, worse: None}
    told = "" if sort.removeprefix("-") != name else "descending" if sort.startswith("-") else "ascending"
    return Head(name, frame.with_query(sort=following.get(sort, better), after=None), told)


def _study_row(visit: Visit, study: Study) -> StudyRow:
    trials = find_runs(visit.platform, visit.actor, visit.project.id, PageRequest(limit=1000), study=study.id).items
    values = [run.metrics[study.metric] for run in trials if run.state is RunState.FINISHED and study.metric in run.metrics]
    best = (min if study.direction is Direction.MINIMISE else max)(values) if values else None
    ended = sum(run.state not in (RunState.PENDING, RunState.RUNNING) for run in trials)
    return StudyRow(study, f"{base_of(visit.project)}/train/studies/{study.id}", ended, best)


# Several runs


def build_compare(visit: Visit, refs: Sequence[str]) -> ComparePage:
    """Return the context of several runs beside each other. Problem `run.invalid` when none is named."""
    if not refs:
        raise Problem("run.invalid", "There is nothing to compare", "no run is chosen", "choose two or more runs in the list")
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    runs = tuple(get_run(platform, actor, project, ref) for ref in list(dict.fromkeys(refs))[:MOST_COMPARED])
    frame = frame_of(visit, "Train", "Compare runs")
    params = sorted({name for run in runs for name in run.recipe.params})
    metrics = shown_all([run.metrics for run in runs])
    points = {name: metric_points(platform, actor, project, [run.id for run in runs], name) for name in metrics[:CHARTED]}
    curved = [name for name, found in points.items() if any(len(one) >= LEAST_POINTS for one in found.values())]
    asked = frame.query.get("metric", "")
    metric = asked if asked in curved else curved[0] if curved else ""
    path = frame.path + "?" + "&".join(f"run={quote(ref, safe='')}" for ref in refs)
    return ComparePage(
        frame=frame,
        runs=runs,
        params=tuple(_row(name, [value(run.recipe.params.get(name)) for run in runs]) for name in params),
        metrics=tuple(_metric_row(name, [run.metrics.get(name) for run in runs]) for name in metrics),
        chart=chart_data({f"run {run.number}": points[metric].get(run.id, []) for run in runs}) if metric else "",
        metric=metric,
        choices=tuple((name, f"{path}&metric={quote(name, safe='')}") for name in curved),
    )


def shown_all(metrics: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the names of all metrics, the known ones first."""
    names = {name for one in metrics for name in one}
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def _row(name: str, cells: Sequence[str]) -> Row:
    return Row(name, tuple(cells), len(set(cells)) > 1)


def _metric_row(name: str, values: Sequence[float | None]) -> Row:
    known = [one for one in values if one is not None]
    direction = DIRECTIONS.get(name)
    best = None
    if direction is not None and len(set(known)) > 1:
        best = values.index((min if direction is Direction.MINIMISE else max)(known))
    return Row(name, tuple(figure(one) for one in values), len(set(known)) > 1, best)


def chart_data(series: Mapping[str, Sequence[Any]], most: int = 600) -> str:
    """Return series of points as the JSON of `<metric-chart>`: shared steps, thinned where there are more than can be seen."""
    steps = sorted({point.step for points in series.values() for point in points})
    if len(steps) > most:
        every = len(steps) / most
        steps = [steps[int(n * every)] for n in range(most)]
    lines = []
    for name, points in series.items():
        at = {point.step: point.value for point in points}
        lines.append({"name": name, "values": [at.get(step) for step in steps]})
    return json.dumps({"steps": steps, "lines": lines})


# One run


def build_run(visit: Visit, ref: str) -> RunPage:
    """Return the context of one run."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    run = get_run(platform, actor, project, ref)
    environment = document(visit, run.environment)
    found = {
        name: metric_points(platform, actor, project, [run.id], name).get(run.id, [])
        for name in shown_all([run.metrics])[:CHARTED]
    }
    charts = tuple(Chart(name, chart_data({name: points})) for name, points in found.items() if len(points) >= LEAST_POINTS)
    with platform.transaction() as tx:
        try:
            [data] = tx.datasets.get_versions(project, [run.data])
        except Problem:
            data = None
    examination = next(iter(find_examinations(platform, actor, project, run.id)), None)
    ended = run.finished_at or platform.clock()
    traceback = ((run.problem or {}).get("detail") or {}).get("traceback", "")
    return RunPage(
        frame=frame_of(visit, "Train", f"run {run.number}"),
        run=run,
        data=data,
        took=ended - run.started_at if run.started_at else None,
        charts=charts,
        environment=tuple((words(name), value(told)) for name, told in environment.items() if not isinstance(told, dict)),
        packages=tuple(sorted((name, str(version)) for name, version in (environment.get("packages") or {}).items())),
        source=document(visit, run.source),
        lines=tuple(logs(platform, actor, project, run.job)[-200:]) if run.job else (),
        refit_of=get_run(platform, actor, project, run.refit_of) if run.refit_of else None,
        traceback="\n".join(map(str, traceback)) if isinstance(traceback, list) else str(traceback),
        outcomes=_outcomes(visit, run),
        examinable=run.state is RunState.FINISHED and run.kind is not RunKind.REFIT,
        examination=examination,
        doubtful=() if examination is None else _doubtful(visit, examination),
    )


def _doubtful(visit: Visit, examination: Examination) -> tuple[Mapping[str, Any], ...]:
    [content] = visit.platform.objects.get(visit.project.id, [examination.rows])
    rows = pl.read_parquet(content, n_rows=DOUBTFUL)
    return tuple(rows.select("reason", "score", "slices", pl.exclude("reason", "score", "slices")).iter_rows(named=True))


def _outcomes(visit: Visit, run: Run) -> tuple[Outcome, ...]:
    """Return what the trainer's checks found: kept with the run, or in the problem that they ended it with."""
    found = ((run.problem or {}).get("detail") or {}).get("outcomes", ())
    if "checks" in run.artifacts:
        [content] = visit.platform.objects.get(visit.project.id, [run.artifacts["checks"]])
        found = json.loads(content)
    return tuple(outcome_of(one, DOES_TO_A_RUN) for one in msgspec.convert(found, tuple[CheckOutcome, ...]))


def document(visit: Visit, digest: Digest | None) -> Mapping[str, Any]:
    """Return a kept JSON document; empty when there is none."""
    if digest is None:
        return {}
    try:
        [content] = visit.platform.objects.get(visit.project.id, [digest])
        found = json.loads(content)
    except (Problem, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


# One study


def build_study(visit: Visit, study_id: StudyId) -> StudyPage:
    """Return the context of one study."""
    study, trials = get_study(visit.platform, visit.actor, visit.project.id, study_id)
    values = [run.metrics.get(study.metric) if run.state is RunState.FINISHED else None for run in trials]
    smaller = study.direction is Direction.MINIMISE
    known = [one for one in values if one is not None]
    top = (min if smaller else max)(known) if known else None
    best = next((run for run, one in zip(trials, values, strict=True) if one is not None and one == top), None)
    numeric = [*study.space.floats, *study.space.ints]
    return StudyPage(
        frame=frame_of(visit, "Train", f"study of {study.experiment}"),
        study=study,
        trials=tuple(trials),
        done=sum(run.state not in (RunState.PENDING, RunState.RUNNING) for run in trials),
        best=best,
        so_far=best_so_far(values, smaller=smaller, label=f"{words(study.metric)} by trial"),
        scatters=tuple((name, _scatter(visit, study, trials, best, name)) for name in numeric),
        params=tuple(sorted([*numeric, *study.space.choices])),
        space=_space(study),
    )


def _scatter(visit: Visit, study: Study, trials: Sequence[Run], best: Run | None, name: str) -> Markup:
    span = study.space.floats.get(name) or study.space.ints.get(name)
    logarithmic = span is not None and span.log
    dots = []
    for run in trials:
        x, y = run.recipe.params.get(name), run.metrics.get(study.metric)
        if isinstance(x, int | float) and y is not None and isfinite(x) and (x > 0 or not logarithmic):
            told = f"trial {run.trial}: {name} {value(x)}, {study.metric} {figure(y)}"
            dots.append(Dot(log10(x) if logarithmic else float(x), y, told, run_path(visit, run.number), run is best))
    x_name = f"log10 {name}" if logarithmic else name
    return scatter(dots, f"{words(study.metric)} over {name}", x_name=x_name, y_name=study.metric)


def _space(study: Study) -> tuple[tuple[str, str], ...]:
    told = [(n, f"{r.low:g} … {r.high:g}{', logarithmic' if r.log else ''}") for n, r in study.space.floats.items()]
    told += [(n, f"{r.low} … {r.high}{', logarithmic' if r.log else ''}") for n, r in study.space.ints.items()]
    told += [(n, ", ".join(value(one) for one in c.values)) for n, c in study.space.choices.items()]
    return tuple(sorted(told))


@router.get("")
def train(visit: InProject) -> Response:
    """Show runs and studies."""
    return show(visit, "train.html", lambda: build_train(visit))


@router.get("/compare")
def compare(visit: InProject, run: Annotated[list[str] | None, Query()] = None) -> Response:
    """Show several runs beside each other."""
    return show(visit, "compare.html", lambda: build_compare(visit, run or ()))


@router.get("/runs/{ref}")
def one_run(visit: InProject, ref: RunId) -> Response:
    """Show one run."""
    return show(visit, "run.html", lambda: build_run(visit, ref))


@router.post("/runs/{ref}/examine")
def examine_run(visit: InProject, ref: str, _fields: Fields) -> Response:
    """Queue the examination of a run."""
    job = request_examination(visit.platform, visit.actor, visit.project.id, ref)
    return see_other(f"{base_of(visit.project)}/jobs/{job.id}", "It is examined; what is found will be on the run's page.")


@router.get("/studies/{study}")
def one_study(visit: InProject, study: StudyId) -> Response:
    """Show one study."""
    return show(visit, "study.html", lambda: build_study(visit, study))
