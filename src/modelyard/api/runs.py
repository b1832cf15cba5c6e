"""Routes of training: trainers, runs, studies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Query

from modelyard.api.callers import InProject, PageQuery
from modelyard.api.reading import SnapshotRoute
from modelyard.core import Digest, Page, Problem
from modelyard.data import Split
from modelyard.data.service import get_version
from modelyard.jobs import Job
from modelyard.jobs.service import cancel
from modelyard.training import MetricPoint, Recipe, Run, RunId, RunState, Space, Study, StudyId
from modelyard.training.conditions import parse_where
from modelyard.training.documents import trainer_from_json
from modelyard.training.examination import Examination
from modelyard.training.examining import find_examinations, request_examination
from modelyard.training.service import (
    NewRun,
    find_runs,
    find_studies,
    get_run,
    get_study,
    metric_points,
    save_trainer,
    start_runs,
    start_study,
)

router = APIRouter(prefix="/v1/projects/{project}", tags=["training"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class WantedRun:
    """A run to start."""

    trainer: Digest
    data: str  # dataset version: `flights@1`, `flights@latest` or an id
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    experiment: str | None = None
    source: Digest | None = None
    split: Split | None = None  # None: the trainer's


@dataclass(frozen=True)
class WantedExamination:
    """What an examination may take."""

    slices: int = 20
    fits: int = 60


@dataclass(frozen=True)
class WantedStudy:
    """A study to start."""

    trainer: Digest
    data: str
    space: Space
    trials: int
    parallel: int = 4
    sampler: str = "tpe"
    seed: int = 0
    source: Digest | None = None


@dataclass(frozen=True)
class StudyWithTrials:
    """A study and its trials in order."""

    study: Study
    trials: tuple[Run, ...]


@router.post("/trainers", status_code=201)
def keep_trainer(call: InProject, document: dict[str, Any]) -> dict[str, Digest]:
    """Keep a trainer, and return its digest."""
    try:
        trainer = trainer_from_json(document)
    except (KeyError, TypeError, ValueError) as error:
        raise Problem("trainer.invalid", "The trainer cannot be read", f"{type(error).__name__}: {error}") from error
    return {"digest": save_trainer(call.platform, call.actor, call.project, trainer)}


@router.get("/runs")
def runs(
    call: InProject,
    *,
    page: PageQuery,
    state: Annotated[list[RunState] | None, Query()] = None,
    study: StudyId | None = None,
    experiment: str | None = None,
    where: Annotated[list[str] | None, Query()] = None,
    sort: str | None = None,
) -> Page[Run]:
    """Return runs: newest first, or by a metric (`sort=-roc_auc`), those that meet every `where`."""
    return find_runs(
        call.platform,
        call.actor,
        call.project,
        page,
        states=state or (),
        study=study,
        experiment=experiment,
        where=[parse_where(text) for text in where or ()],
        sort=sort,
    )


@router.post("/runs", status_code=201)
def make_run(call: InProject, new: WantedRun) -> Run:
    """Start a run."""
    data = get_version(call.platform, call.actor, call.project, new.data)
    recipe = Recipe(new.trainer, new.params, new.seed)
    wanted = NewRun(recipe=recipe, data=data.id, experiment=new.experiment, source=new.source, split=new.split)
    return start_runs(call.platform, call.actor, call.project, [wanted])[0]


@router.get("/runs/{run}")
def run(call: InProject, run: str) -> Run:
    """Return a run by id or number."""
    return get_run(call.platform, call.actor, call.project, run)


@router.post("/runs/{run}/cancel")
def cancel_run(call: InProject, run: str) -> Run:
    """Ask a run to stop."""
    found = get_run(call.platform, call.actor, call.project, run)
    if found.job is not None:
        cancel(call.platform, call.actor, call.project, found.job)
    return get_run(call.platform, call.actor, call.project, run)


@router.post("/runs/{run}/examinations", status_code=202)
def examine_run(call: InProject, run: str, new: WantedExamination) -> Job:
    """Queue the examination of what data defects do to a run's model; the job's result names what it found."""
    return request_examination(call.platform, call.actor, call.project, run, slices=new.slices, fits=new.fits)


@router.get("/runs/{run}/examinations")
def examinations(call: InProject, run: str) -> list[Examination]:
    """Return what the examinations of a run found, newest first."""
    return find_examinations(call.platform, call.actor, call.project, run)


@router.get("/runs/{run}/metrics/{name}")
def run_metric(call: InProject, run: RunId, name: str) -> list[MetricPoint]:
    """Return the points of a run's metric."""
    return list(metric_points(call.platform, call.actor, call.project, [run], name).get(run, []))


@router.get("/studies")
def studies(call: InProject, page: PageQuery) -> Page[Study]:
    """Return studies, newest first."""
    return find_studies(call.platform, call.actor, call.project, page)


@router.post("/studies", status_code=201)
def make_study(call: InProject, new: WantedStudy) -> Study:
    """Start a study."""
    data = get_version(call.platform, call.actor, call.project, new.data)
    return start_study(
        call.platform,
        call.actor,
        call.project,
        trainer=new.trainer,
        space=new.space,
        data=data.id,
        trials=new.trials,
        parallel=new.parallel,
        sampler=new.sampler,
        seed=new.seed,
        source=new.source,
    )


@router.get("/studies/{study}")
def study(call: InProject, study: StudyId) -> StudyWithTrials:
    """Return a study with its trials."""
    found, trials = get_study(call.platform, call.actor, call.project, study)
    return StudyWithTrials(found, tuple(trials))
