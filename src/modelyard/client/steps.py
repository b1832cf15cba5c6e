"""Preparation as a user writes it: function steps and pipelines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.client.datasets import Data, DatasetVersionClient, ref_of
from modelyard.client.objects import upload
from modelyard.client.waiting import wait_for_job
from modelyard.core import Problem, canonical_json
from modelyard.data import Check, DatasetVersion, Split
from modelyard.data.quality.kinds import verify_alone
from modelyard.jobs import Job
from modelyard.prepare import DeclaredStep, FunctionStep, Pipeline, PipelineVersion, SetStep, Step, function_step
from modelyard.prepare.stored import FIT_ROWS, LOCAL, Request
from modelyard.prepare.trying import Tried

RUN_JOB: Final = "pipeline.run"


class StepFunction:
    """A row-wise function that a pipeline can hold; called, it is the plain function."""

    def __init__(self, function: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self.__wrapped__ = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return what the function gives."""
        return self.__wrapped__(rows)

    def step(self) -> FunctionStep:
        """Return the step, with the function's code as it is now."""
        return function_step(self.__wrapped__)


@dataclass(frozen=True)
class DeclaredPipeline:
    """The steps of a pipeline as they were written. A function's code is taken when a run is asked for.

    `checks` hold for the rows that a run is on, each and as a whole: where one fails, the run does before anything is fitted.
    """

    steps: tuple[Any, ...]
    checks: tuple[Check, ...]
    _connection: Connection = field(compare=False, repr=False)
    _project: str = field(compare=False, repr=False)

    @property
    def sets(self) -> tuple[SetStep, ...]:
        """The steps over sets, which come first."""
        return tuple(step for step in self.steps if isinstance(step, SetStep))

    def build(self) -> Pipeline:
        """Return the pipeline with the code of its functions."""
        return Pipeline(tuple(_built(step) for step in self.steps[len(self.sets) :]), self.sets)

    def run(
        self,
        data: Data,
        *,
        into: str,
        on: str = LOCAL,
        label: str | None = None,
        keep: Sequence[str] | None = None,
        split: Split | None = None,
        fit_rows: int = FIT_ROWS,
        note: str = "",
    ) -> DatasetVersionClient:
        """Prepare a dataset version on an engine, and return the version of the dataset `into` that holds the prepared rows.

        The numbers are the same on every engine, and those that a model with this pipeline sees. The same rows prepared again
        are the same version; earlier versions of `into` stay as they were.

        Parameters
        ----------
        data
            A version; a dataset (its latest version); or `NAME@NUMBER`, `NAME@latest`.
        into
            The dataset that the rows are stored in, made when it is not there.
        on
            `local` (where the job runs), `spark://host:7077`, `sc://host:15002` (Spark Connect), `ray://host:10001`. Its
            workers need this release of modelyard and, for a lake in a folder, that folder.
        label
            The column to predict: it is stored, is no feature, and `prep.target_mean` learns from it.
        keep
            Raw columns that are stored as they are, before the features; None: the dataset's key and time.
        split
            The steps learn from its first part alone; None: by what the dataset has, as trainers do.
        fit_rows
            How many rows the steps learn from at most; of more rows it is a sample.

        Raises
        ------
        Problem
            `dataset_version.missing`; `dataset.conflict` where `into` is fed otherwise; `column.exists` for a feature that has
            the name of a column to keep; `engine.unavailable`, `engine.conflict`, `engine.forbidden`; `query.invalid`; and what
            the steps say of the rows.
        """
        pipeline = self.build()
        [digest] = upload(self._connection, self._project, [canonical_json(pipeline.to_json()).encode()])
        kept = None if keep is None else tuple(keep)
        request = Request(ref_of(data), digest, into, on, label, kept, split, fit_rows, note)
        body: dict[str, Any] = {"kind": RUN_JOB, "title": f"prepare {request.data} into {into}"[:400]}
        body["payload"] = msgspec.to_builtins(request)
        job = self._connection.post(f"{self._project}/jobs", Job, body)
        done = wait_for_job(self._connection, f"{self._project}/jobs/{part(job.id)}")
        number = (done.result or {})["number"]
        record = self._connection.get(f"{self._project}/datasets/{part(into)}/versions/{number}", DatasetVersion)
        return DatasetVersionClient(record, None, self._connection, self._project)


@dataclass(frozen=True)
class SavedPipeline(DeclaredPipeline):
    """A version of a pipeline that the project keeps; a trainer takes it as one that is written."""

    version: PipelineVersion = field(kw_only=True)


@dataclass(frozen=True)
class PipelineContent:
    """A saved pipeline as the server tells it."""

    version: PipelineVersion
    pipeline: Mapping[str, Any]


def saved_pipeline(connection: Connection, project: str, ref: str) -> SavedPipeline:
    """Return the pipeline that `flights@3`, `flights@latest` or `flights` names."""
    found = connection.get(f"{project}/pipelines/{part(ref)}", PipelineContent)
    read = Pipeline.from_json(found.pipeline)
    return SavedPipeline((*read.sets, *read.steps), found.version.checks, connection, project, version=found.version)


def save_pipeline(connection: Connection, project: str, name: str, pipeline: DeclaredPipeline, note: str) -> PipelineVersion:
    """Save a pipeline under a name, and return its version."""
    body = {"name": name, "pipeline": pipeline.build().to_json(), "checks": pipeline.checks, "note": note}
    return connection.post(f"{project}/pipelines", PipelineVersion, body)


def try_pipeline(
    connection: Connection, project: str, pipeline: DeclaredPipeline, data: str, *, label: str | None, rows: int, seed: int
) -> Tried:
    """Return what each step does to a sample of a dataset version."""
    document = pipeline.build().to_json()
    body = {"pipeline": document, "data": data, "label": label, "rows": rows, "seed": seed}
    return connection.post(f"{project}/pipelines/try", Tried, body)


def declare_pipeline(
    connection: Connection, project: str, steps: Sequence[Any], checks: Sequence[Check] = ()
) -> DeclaredPipeline:
    """Return a pipeline of these steps.

    Raises
    ------
    Problem
        `pipeline.invalid` for anything that is no step; `check.invalid` for a check that compares a batch with its dataset.
    """
    for place, step in enumerate(steps):
        if isinstance(step, SetStep) and place and not isinstance(steps[place - 1], SetStep):
            why = "the steps before it go row by row"
            fix = "put the steps over sets first, or store the rows before by a pipeline.run of their own"
            raise Problem("pipeline.invalid", f"Step {place + 1} of the pipeline is over a whole set", why, fix)
        if not callable(step) and not isinstance(step, DeclaredStep | FunctionStep | SetStep):
            raise Problem(
                "pipeline.invalid",
                f"Step {place + 1} of the pipeline is no step",
                f"it is a {type(step).__name__}",
                "write prep.fill_null(…) and the like, or a function from a frame to a frame",
            )
    return DeclaredPipeline(tuple(steps), tuple(verify_alone(check) for check in checks), connection, project)


def _built(step: Any) -> Step:
    if isinstance(step, DeclaredStep | FunctionStep):
        return step
    return step.step() if isinstance(step, StepFunction) else function_step(step)
