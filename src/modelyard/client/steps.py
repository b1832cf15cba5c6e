"""Preparation as a user writes it: function steps and pipelines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from modelyard.client.connection import Connection, part
from modelyard.core import Problem
from modelyard.data import Check
from modelyard.data.quality.kinds import verify_alone
from modelyard.prepare import DeclaredStep, FunctionStep, Pipeline, PipelineVersion, Step, function_step
from modelyard.prepare.trying import Tried


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
    checks: tuple[Check, ...] = ()

    def build(self) -> Pipeline:
        """Return the pipeline with the code of its functions."""
        return Pipeline(tuple(_built(step) for step in self.steps))


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
    return SavedPipeline(Pipeline.from_json(found.pipeline).steps, found.version.checks, version=found.version)


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


def declare_pipeline(steps: Sequence[Any], checks: Sequence[Check] = ()) -> DeclaredPipeline:
    """Return a pipeline of these steps.

    Raises
    ------
    Problem
        `pipeline.invalid` for anything that is no step; `check.invalid` for a check that compares a batch with its dataset.
    """
    for place, step in enumerate(steps):
        if not callable(step) and not isinstance(step, DeclaredStep | FunctionStep):
            raise Problem(
                "pipeline.invalid",
                f"Step {place + 1} of the pipeline is no step",
                f"it is a {type(step).__name__}",
                "write prep.fill_null(…) and the like, or a function from a frame to a frame",
            )
    return DeclaredPipeline(tuple(steps), tuple(verify_alone(check) for check in checks))


def _built(step: Any) -> Step:
    if isinstance(step, DeclaredStep | FunctionStep):
        return step
    return step.step() if isinstance(step, StepFunction) else function_step(step)
