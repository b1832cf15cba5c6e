"""A project whose jobs are run here, step by step, as the runner would."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from modelyard.core import Digest, IdMaker, ManualClock, Problem, ProjectId
from modelyard.data import DatasetVersion
from modelyard.data.service import append, create_dataset, get_version
from modelyard.jobs import Job, Lease
from modelyard.jobs.lease import fail, finish, take
from modelyard.monitoring import Label
from modelyard.monitoring.labels import add_labels
from modelyard.prepare import Pipeline, capture, prep
from modelyard.registry import ModelVersion
from modelyard.registry.service import get_version as get_model
from modelyard.registry.service import request_registration
from modelyard.runner.context import StepContext
from modelyard.runner.steps import find_step
from modelyard.serving.infer import load_version
from modelyard.serving.ledger import ledger_table
from modelyard.serving.service import served_form
from modelyard.tenancy import Actor
from modelyard.tenancy.service import bootstrap, create_project
from modelyard.training import Direction, Recipe, Run, Trainer
from modelyard.training.service import NewRun, get_run, save_trainer, start_runs
from modelyard.wiring import Platform, open_platform, read_settings

START = datetime(2013, 4, 1, tzinfo=UTC)
ROWS = 1500


def boosting(run: Any, fit: Any, test: Any, depth: int = 3) -> Any:
    """Return a small booster."""
    return HistGradientBoostingClassifier(max_iter=6, max_depth=depth, random_state=run.seed).fit(fit.X, fit.y)


def trips(rows: int, start: datetime, seed: int = 0, name: str = "t") -> pl.DataFrame:
    """Return trips, one an hour, and whether each was late."""
    rng = np.random.default_rng(seed)
    wind = rng.normal(0, 1, rows).round(3)
    place = rng.choice(["JFK", "LGA", "EWR"], rows)
    late = rng.random(rows) < 1 / (1 + np.exp(-2 * wind - (place == "JFK")))
    return pl.DataFrame(
        {
            "trip": [f"{name}{row}" for row in range(rows)],
            "at": [start + timedelta(hours=row) for row in range(rows)],
            "wind": wind,
            "place": place,
            "late": late.astype(np.int64),
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


@dataclass
class Place:
    """The platform, and a worker's part."""

    platform: Platform
    clock: ManualClock
    actor: Actor
    project: ProjectId
    scratch: Path

    @property
    def who(self) -> tuple[Platform, Actor, ProjectId]:
        """What use cases ask for first."""
        return self.platform, self.actor, self.project

    def data(self, frame: pl.DataFrame | None = None, name: str = "trips", **rest: Any) -> DatasetVersion:
        """Make a dataset of a frame."""
        create_dataset(*self.who, name, **{"key": ["trip"], "time": "at", **rest})
        made = append(*self.who, name, trips(ROWS, START - timedelta(hours=ROWS)) if frame is None else frame)
        assert made.version is not None
        return made.version

    def trainer(self, function: Callable[..., Any] = boosting, **rest: Any) -> Digest:
        """Keep a trainer."""
        pipeline = Pipeline((prep.one_hot("place"), prep.drop("trip", "at")))
        made = Trainer("late", capture(function), pipeline, "late", "log_loss", Direction.MINIMISE)
        return save_trainer(*self.who, replace(made, **rest))

    def run(self, trainer: Digest, data: str = "trips", seed: int = 3, **params: Any) -> Run:
        """Ask for a run."""
        version = get_version(*self.who, data)
        [run] = start_runs(*self.who, [NewRun(Recipe(trainer, params, seed), version.id)])
        return run

    def take(self) -> Lease:
        """Take the next job."""
        lease = take(self.platform, "worker", lease_s=600)
        assert lease is not None, "no job is queued"
        return lease

    def step(self, job: Job) -> Mapping[str, Any]:
        """Do a try of a job, and leave its end to the caller."""
        folder = self.scratch / f"{job.id}-{job.attempts}-{len(list(self.scratch.iterdir()))}"
        folder.mkdir()
        context = StepContext(self.platform, self.actor, self.project, job, folder, lambda fraction, message="": None)
        return find_step(job.kind)(context)

    def work(self) -> Mapping[str, Any]:
        """Do the next job; what it raises is recorded, and raised."""
        lease = self.take()
        try:
            result = self.step(lease.job)
        except Problem as problem:
            fail(self.platform, lease, problem)
            raise
        finish(self.platform, lease, result)
        return result

    def trained(self, function: Callable[..., Any] = boosting, data: str = "trips", **rest: Any) -> Run:
        """Train a run to its end."""
        run = self.run(self.trainer(function, **rest), data)
        self.work()
        return get_run(*self.who, run.id)

    def registered(self, run: Run, model: str = "late", alias: str | None = None) -> ModelVersion:
        """Register a run."""
        request_registration(*self.who, model, run.id, alias=alias)
        result = self.work()
        return get_model(*self.who, f"{model}@{result['version']}")

    def card(self, version: ModelVersion) -> str:
        """Return a version's card."""
        return self.platform.objects.get(self.project, [version.card])[0].decode()

    def infer(self, version: ModelVersion, rows: pl.DataFrame) -> Any:
        """Return a version's answers, through the door that serves it."""
        folder = self.scratch / f"served-{version.number}"
        folder.mkdir(exist_ok=True)
        with self.platform.reading() as tx:
            served = served_form(tx, version)
        answers = load_version(self.platform, self.project, served, folder).infer(rows)
        columns = list(answers.values())
        return columns[0] if len(columns) == 1 else np.column_stack(columns)

    def live(self, rows: pl.DataFrame, version: ModelVersion, *, labelled: Sequence[int] | None = None) -> None:
        """Have a version answer rows, and send the labels of those named (all of them)."""
        answers = self.infer(version, rows)
        count = rows.height
        frame = pl.DataFrame(
            {
                "id": rows["trip"],
                "request": rows["trip"],
                "deployment": ["late"] * count,
                "revision": [1] * count,
                "model": ["late"] * count,
                "version": [version.number] * count,
                "form": ["onnx"] * count,
                "route": ["live"] * count,
                "time": rows["at"],
                "answered_at": rows["at"],
                "latency_us": [500] * count,
                "caller": ["test"] * count,
                "answer": answers,
                "input.wind": rows["wind"],
                "input.place": rows["place"],
            }
        )
        self.platform.lake.append(self.project, ledger_table("late"), frame, commit=self.platform.ids("ship"))
        self.label(rows if labelled is None else rows[list(labelled)])

    def label(self, rows: pl.DataFrame) -> None:
        """Send the labels of rows."""
        now = self.clock()
        labels = [Label(one, float(late), at, now) for one, late, at in rows.select("trip", "late", "at").iter_rows()]
        add_labels(*self.who, "late", labels)


@contextmanager
def opened(home: Path, scratch: Path, id_seed: int = 0) -> Iterator[Place]:
    """Open a home, and make its project if there is none."""
    clock = ManualClock(START)
    made = open_platform(read_settings(home=home, environment={}, folder=home))
    platform = replace(made, clock=clock, ids=IdMaker(clock, np.random.default_rng(id_seed).bytes))
    actor, _ = bootstrap(platform)
    with platform.reading() as tx:
        known = tx.tenancy.projects(actor.organisation)
    project = known[0].id if known else create_project(platform, actor, "trips").id
    scratch.mkdir(exist_ok=True)
    try:
        yield Place(platform, clock, actor, project, scratch)
    finally:
        platform.close()
