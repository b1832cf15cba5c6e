"""Use cases of training: start, follow and end runs and studies."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from modelyard.core import Clock, Digest, IdMaker, MemberId, ObjectStore, Page, PageRequest, Problem, ProjectId
from modelyard.core.pages import every
from modelyard.data import Dataset, DatasetVersion, DatasetVersionId, Split
from modelyard.data.features import check_lookups, newest_tables
from modelyard.data.rules import check_there
from modelyard.data.split import default_split
from modelyard.events import Event, Fact
from modelyard.jobs import Job, JobId, JobState
from modelyard.jobs.rules import retryable
from modelyard.jobs.service import submit
from modelyard.tenancy import Actor, authorise
from modelyard.training.documents import to_bytes, trainer_from_json, trainer_to_json
from modelyard.training.rules import ENDED, best, check_space, due_trials, move
from modelyard.training.store import Sampler, TrainingTransaction
from modelyard.training.types import (
    MetricPoint,
    Recipe,
    Run,
    RunId,
    RunKind,
    RunState,
    Space,
    Study,
    StudyId,
    StudyState,
    Trainer,
)

TRAIN_JOB = "run.train"
TRAINING_JOBS = (TRAIN_JOB, "deployment.retrain")  # the kinds of job that train runs
MAX_TRIALS = 10_000


class Ports(Protocol):
    """What training needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    def transaction(self) -> AbstractContextManager[TrainingTransaction]:
        """Open or join a transaction."""
        ...


class StudyPorts(Ports, Protocol):
    """What studies need besides."""

    @property
    def sampler(self) -> Callable[[str], Sampler]:
        """A sampler by name."""
        ...


@dataclass(frozen=True)
class NewRun:
    """What somebody asks to be trained."""

    recipe: Recipe
    data: DatasetVersionId
    kind: RunKind = RunKind.TRAIN
    split: Split | None = None  # None: the trainer's, or by what the dataset has
    experiment: str | None = None
    source: Digest | None = None
    cause: str | None = None
    study: StudyId | None = None
    trial: int | None = None
    refit_of: RunId | None = None
    features: tuple[DatasetVersionId, ...] | None = None  # what the trainer's lookups read; None: what is newest
    priority: int = 0
    queued: bool = True  # False: the caller trains it in its own job
    job: JobId | None = None  # that one


@dataclass(frozen=True)
class Outputs:
    """What a finished run leaves."""

    metrics: Mapping[str, float]
    artifacts: Mapping[str, Digest]
    framework: str
    environment: Digest


def save_trainer(ports: Ports, actor: Actor, project: ProjectId, trainer: Trainer) -> Digest:
    """Keep a trainer and return its digest."""
    authorise(actor, "run.write", project)
    [digest] = ports.objects.put(project, [to_bytes(trainer_to_json(trainer))])
    return digest


def load_trainer(ports: Ports, actor: Actor, project: ProjectId, digest: Digest) -> Trainer:
    """Return a kept trainer."""
    authorise(actor, "run.read", project)
    [content] = ports.objects.get(project, [digest])
    return trainer_from_json(_decode(content))


def start_runs(ports: Ports, actor: Actor, project: ProjectId, wanted: Sequence[NewRun]) -> list[Run]:
    """Record runs and queue their jobs, in one transaction; what lookups read is fixed here.

    Raises
    ------
    Problem
        `dataset.missing`, `dataset_version.dropped`, and what `submit`, `newest_tables` and `check_lookups` raise;
        `lookup.invalid` for rows that have no time.
    """
    authorise(actor, "run.write", project)
    trainers = {new.recipe.trainer: load_trainer(ports, actor, project, new.recipe.trainer) for new in wanted}
    started = []
    with ports.transaction() as tx:
        versions = tx.datasets.get_versions(project, [new.data for new in wanted])
        datasets = {dataset.id: dataset for dataset in tx.datasets.find(project)}
        number = tx.runs.next_number(project)
        for offset, (new, version) in enumerate(zip(wanted, versions, strict=True)):
            check_there(version)  # from now on the run holds it
            trainer, dataset = trainers[new.recipe.trainer], datasets[version.dataset]
            run = Run(
                id=RunId(ports.ids("run")),
                project=project,
                experiment=new.experiment or trainer.name,
                number=number + offset,
                kind=new.kind,
                recipe=new.recipe,
                metric=trainer.metric,
                data=new.data,
                split=new.split or trainer.split or default_split(dataset.key, dataset.time),
                state=RunState.PENDING,
                created_by=actor.member,
                created_at=ports.clock(),
                study=new.study,
                trial=new.trial,
                cause=new.cause,
                refit_of=new.refit_of,
                source=new.source,
                job=new.job,
                features=_looked_up(tx, project, trainer, dataset, version) if new.features is None else new.features,
            )
            tx.runs.add(project, [run])
            if new.queued:
                job = submit(
                    ports,
                    actor,
                    project,
                    kind=TRAIN_JOB,
                    title=_title(run),
                    payload={"run": run.id},
                    cause=run.id,
                    priority=new.priority,
                    limits=trainer.limits,
                )
                run = replace(run, job=job.id)
                tx.runs.save(project, [run])
            started.append(run)
        _tell(tx, project, actor.member, ports, [Fact("run.created", run.id, {"number": run.number}) for run in started])
    return started


def _looked_up(
    tx: TrainingTransaction, project: ProjectId, trainer: Trainer, dataset: Dataset, rows: DatasetVersion
) -> tuple[DatasetVersionId, ...]:
    """Return the versions that a trainer's lookups read now, if they fit these rows."""
    if trainer.lookups and dataset.time is None:
        what, why = f"{trainer.name} looks up features by time", f"the dataset '{dataset.name}' has no time column"
        raise Problem("lookup.invalid", what, why, "declare it: project.dataset(…, time=…)")
    tables = newest_tables(tx, project, trainer.lookups)
    known = [(table, version.schema) for table, version in tables]
    check_lookups(trainer.lookups, known, {column.name: column.dtype for column in rows.schema.columns})
    return tuple(version.id for _, version in tables)


def begin(ports: Ports, actor: Actor, project: ProjectId, run_id: RunId) -> Run:
    """Say that a worker has the run. A retried run begins again."""
    authorise(actor, "run.write", project)
    with ports.transaction() as tx:
        [run] = tx.runs.get(project, [run_id])
        run = move(run, RunState.RUNNING, ports.clock())
        tx.runs.save(project, [run])
        _tell(tx, project, actor.member, ports, [Fact("run.started", run.id)])
    return run


def log(ports: Ports, actor: Actor, project: ProjectId, run_id: RunId, points: Sequence[MetricPoint]) -> None:
    """Keep metric points of a running run.

    Raises
    ------
    Problem
        `metric.invalid` for NaN or infinity, `run.conflict` when the run has ended.
    """
    authorise(actor, "run.write", project)
    for point in points:
        if point.value != point.value or point.value in (float("inf"), float("-inf")):
            raise Problem(
                "metric.invalid",
                f"The metric {point.name} is {point.value} at step {point.step}",
                "only finite numbers can be ranked and plotted",
                "log it only when it is defined",
            )
    with ports.transaction() as tx:
        [run] = tx.runs.get(project, [run_id])
        if run.state in ENDED:
            raise Problem("run.conflict", f"Run {run.number} takes no more metrics", f"it is {run.state.value}")
        tx.runs.log(project, run_id, points)


def finish(ports: Ports, actor: Actor, project: ProjectId, run_id: RunId, outputs: Outputs) -> Run:
    """Record the outputs of a running run, and say so."""
    authorise(actor, "run.write", project)
    with ports.transaction() as tx:
        [run] = tx.runs.get(project, [run_id])
        run = replace(
            move(run, RunState.FINISHED, ports.clock()),
            metrics={**run.metrics, **outputs.metrics},
            artifacts={**run.artifacts, **outputs.artifacts},
            framework=outputs.framework,
            environment=outputs.environment,
        )
        tx.runs.save(project, [run])
        _tell(tx, project, actor.member, ports, [Fact("run.finished", run.id, {"metrics": dict(run.metrics)})])
    return run


def end_badly(
    ports: Ports, actor: MemberId | str, project: ProjectId, run_id: RunId, state: RunState, problem: Mapping[str, Any] | None
) -> Run:
    """Record that a run failed or was cancelled; one that has ended already stays as it is."""
    with ports.transaction() as tx:
        [run] = tx.runs.get(project, [run_id])
        if run.state in ENDED:
            return run
        run = replace(move(run, state, ports.clock()), problem=problem)
        tx.runs.save(project, [run])
        _tell(tx, project, actor, ports, [Fact(f"run.{state.value}", run.id)])
    return run


def get_run(ports: Ports, actor: Actor, project: ProjectId, ref: str) -> Run:
    """Return a run by id, or by its number."""
    authorise(actor, "run.read", project)
    with ports.transaction() as tx:
        if ref.isdecimal():
            return _run_numbered(tx, project, int(ref))
        [run] = tx.runs.get(project, [RunId(ref)])
    return run


def find_runs(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    page: PageRequest,
    *,
    states: Sequence[RunState] = (),
    study: StudyId | None = None,
    experiment: str | None = None,
    where: Sequence[tuple[str, str, float]] = (),
    sort: str | None = None,
) -> Page[Run]:
    """Return runs; see `RunStore.find`."""
    authorise(actor, "run.read", project)
    with ports.transaction() as tx:
        return tx.runs.find(project, page, states=states, study=study, experiment=experiment, where=where, sort=sort)


def metric_points(
    ports: Ports, actor: Actor, project: ProjectId, runs: Sequence[RunId], name: str
) -> Mapping[RunId, list[MetricPoint]]:
    """Return the points of one metric of several runs."""
    authorise(actor, "run.read", project)
    with ports.transaction() as tx:
        return tx.runs.points(project, runs, name)


def start_study(
    ports: StudyPorts,
    actor: Actor,
    project: ProjectId,
    *,
    trainer: Digest,
    space: Space,
    data: DatasetVersionId,
    trials: int,
    parallel: int = 4,
    sampler: str = "tpe",
    seed: int = 0,
    source: Digest | None = None,
) -> Study:
    """Record a study and queue its first trials.

    Raises
    ------
    Problem
        `study.invalid` for a space that cannot be searched or a number of trials below 1, `adapter.missing` for an unknown
        sampler.
    """
    authorise(actor, "run.write", project)
    check_space(space)
    if not 1 <= trials <= MAX_TRIALS:
        raise Problem("study.invalid", f"The study has {trials} trials", f"it must be 1 to {MAX_TRIALS}")
    if parallel < 1:
        raise Problem("study.invalid", f"The study tries {parallel} at once", "it must be 1 at least")
    ports.sampler(sampler)
    made = load_trainer(ports, actor, project, trainer)
    study = Study(
        id=StudyId(ports.ids("study")),
        project=project,
        experiment=made.name,
        trainer=trainer,
        data=data,
        space=space,
        metric=made.metric,
        direction=made.direction,
        trials=trials,
        parallel=min(parallel, trials),
        sampler=sampler,
        seed=seed,
        state=StudyState.RUNNING,
        created_by=actor.member,
        created_at=ports.clock(),
    )
    suggested = _suggest(ports, study, [])
    with ports.transaction() as tx:
        tx.runs.add_studies(project, [study])
        _tell(tx, project, actor.member, ports, [Fact("study.created", study.id, {"trials": trials})])
        _start_trials(ports, actor, study, suggested, first=0, source=source)
    return study


def advance_study(ports: StudyPorts, actor: Actor, project: ProjectId, study_id: StudyId) -> Study:
    """Queue the next trials when the last batch has ended; end the study after its last. Safe to repeat, and to race.

    The sampler is asked between two transactions, since nobody should wait for it; who was overtaken meanwhile leaves it be.
    """
    authorise(actor, "run.write", project)
    with ports.transaction() as tx:
        [study] = tx.runs.get_studies(project, [study_id])
        runs = trials_of(tx, project, study_id)
        if study.state is not StudyState.RUNNING or any(run.state not in ENDED for run in runs):
            return study
        if not due_trials(study, runs):
            return _end_study(ports, tx, actor.member, study, runs)
    suggested = _suggest(ports, study, runs)
    with ports.transaction() as tx:
        [study] = tx.runs.get_studies(project, [study_id])
        if study.state is StudyState.RUNNING and len(trials_of(tx, project, study_id)) == len(runs):
            source, features = (runs[0].source, runs[0].features) if runs else (None, None)
            _start_trials(ports, actor, study, suggested, first=len(runs), source=source, features=features)
    return study


def _suggest(ports: StudyPorts, study: Study, runs: Sequence[Run]) -> list[dict[str, Any]]:
    tried = [(run.recipe.params, _value(run, study.metric)) for run in runs]
    sampler = ports.sampler(study.sampler)
    count = due_trials(study, runs)
    return sampler.suggest(study.space, tried, count=count, seed=study.seed, direction=study.direction)


def _start_trials(
    ports: Ports,
    actor: Actor,
    study: Study,
    suggested: Sequence[Mapping[str, Any]],
    *,
    first: int,
    source: Digest | None,
    features: tuple[DatasetVersionId, ...] | None = None,
) -> None:
    new = [
        NewRun(
            recipe=Recipe(study.trainer, params, study.seed),
            data=study.data,
            kind=RunKind.TRIAL,
            experiment=study.experiment,
            source=source,
            study=study.id,
            trial=first + offset,
            features=features,
        )
        for offset, params in enumerate(suggested)
    ]
    start_runs(ports, actor, study.project, new)


def get_study(ports: Ports, actor: Actor, project: ProjectId, study_id: StudyId) -> tuple[Study, list[Run]]:
    """Return a study and its trials, in order."""
    authorise(actor, "run.read", project)
    with ports.transaction() as tx:
        [study] = tx.runs.get_studies(project, [study_id])
        return study, trials_of(tx, project, study_id)


def find_studies(ports: Ports, actor: Actor, project: ProjectId, page: PageRequest) -> Page[Study]:
    """Return studies, newest first."""
    authorise(actor, "run.read", project)
    with ports.transaction() as tx:
        return tx.runs.studies(project, page)


def trials_of(tx: TrainingTransaction, project: ProjectId, study_id: StudyId) -> list[Run]:
    """Return all runs of a study, by trial."""
    return sorted(every(partial(tx.runs.find, project, study=study_id)), key=lambda run: run.trial or 0)


def follow(ports: StudyPorts, actor_of: Callable[[MemberId], Actor], project: ProjectId, events: Sequence[Event]) -> None:
    """Turn what happened into what comes next: ended trials into the next ones, lost jobs into failed runs."""
    for event in events:
        if event.kind in ("job.failed", "job.cancelled"):
            _follow_lost_job(ports, project, event)
        if event.kind in ("run.finished", "run.failed", "run.cancelled"):
            with ports.transaction() as tx:
                [run] = tx.runs.get(project, [RunId(event.subject)])
            if run.study is not None:
                _follow_trial(ports, actor_of, run, run.study)


def end_runs_of(ports: Ports, actor: MemberId | str, project: ProjectId, job: Job) -> list[Run]:
    """End the runs that a job was training when it, or its last try, was lost; what has ended stays as it is."""
    state = RunState.CANCELLED if job.state is JobState.CANCELLED else RunState.FAILED
    with ports.transaction() as tx:
        under_way = tx.runs.find(project, PageRequest(limit=1000), states=[RunState.PENDING, RunState.RUNNING]).items
        return [end_badly(ports, actor, project, run.id, state, job.problem) for run in under_way if run.job == job.id]


def _follow_trial(ports: StudyPorts, actor_of: Callable[[MemberId], Actor], run: Run, study: StudyId) -> None:
    """Go on with a study. One that never can again (its maker may no longer train) ends, so that it holds up nothing."""
    try:
        with ports.transaction():
            advance_study(ports, actor_of(MemberId(run.created_by)), run.project, study)
    except Problem as problem:
        if retryable(problem):
            raise
        with ports.transaction() as tx:
            [found] = tx.runs.get_studies(run.project, [study])
            _end_study(ports, tx, run.created_by, found, trials_of(tx, run.project, study), problem)


def _follow_lost_job(ports: Ports, project: ProjectId, event: Event) -> None:
    if event.data.get("kind") in TRAINING_JOBS:
        with ports.transaction() as tx:
            [job] = tx.jobs.get(project, [JobId(event.subject)])
        end_runs_of(ports, event.actor, project, job)


def _end_study(
    ports: Ports, tx: TrainingTransaction, by: str, study: Study, runs: Sequence[Run], problem: Problem | None = None
) -> Study:
    if study.state is not StudyState.RUNNING:
        return study
    chosen = best(runs, study.metric, study.direction)
    ended = replace(
        study,
        state=StudyState.FINISHED if chosen else StudyState.FAILED,
        best=chosen.id if chosen else None,
        finished_at=ports.clock(),
    )
    tx.runs.save_studies(study.project, [ended])
    told = {"best": ended.best, "trials": len(runs), **({"cut_short": str(problem)} if problem else {})}
    _tell(tx, study.project, by, ports, [Fact(f"study.{ended.state.value}", study.id, told)])
    return ended


def _value(run: Run, metric: str) -> float | None:
    return run.metrics.get(metric) if run.state is RunState.FINISHED else None


def _title(run: Run) -> str:
    return f"trial {run.trial} of {run.experiment}" if run.study else f"{run.kind.value} {run.experiment} (run {run.number})"


def _run_numbered(tx: TrainingTransaction, project: ProjectId, number: int) -> Run:
    page = tx.runs.find(project, PageRequest(limit=1000))
    newest = page.items[0].number if page.items else None
    while True:
        found = next((run for run in page.items if run.number == number), None)
        if found is not None:
            return found
        if page.next_key is None or page.items[-1].number < number:
            why = f"the newest is {newest}" if newest else "nothing was trained yet"
            raise Problem("run.missing", f"There is no run {number}", why, "yard run list")
        page = tx.runs.find(project, PageRequest(page.next_key, 1000))


def _tell(tx: TrainingTransaction, project: ProjectId, actor: str, ports: Ports, facts: Sequence[Fact]) -> None:
    tx.events.add(project, facts, actor=actor, at=ports.clock())


def _decode(content: bytes) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(content)
    return document
