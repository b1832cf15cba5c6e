"""The forms of preparation: steps, pipelines, and pipelines that have learned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeAlias

from modelyard.core import Digest, Json, JsonObject, Problem, ProjectId, digest_json
from modelyard.data import Check
from modelyard.prepare.code import Code
from modelyard.prepare.values import InputColumn

FUNCTION = "function"  # the kind of a function step in JSON
_FORMAT = 1


@dataclass(frozen=True)
class DeclaredStep:
    """A step of a declared kind; write one with `prep`.

    Parameters
    ----------
    kind
        A kind of `steps.STEPS`, such as `fill_null`.
    columns
        The columns it works on, in order.
    params
        What the user chose, as JSON.
    fitted
        What it learned from the training rows, as JSON; None before `fit`.
    """

    kind: str
    columns: tuple[str, ...]
    params: JsonObject
    fitted: JsonObject | None = None


@dataclass(frozen=True)
class FunctionStep:
    """A row-wise function of the user's, from a Polars frame to a Polars frame of as many rows; see `function_step`.

    `fitted` tells which columns it reads and writes; None before `fit`.
    """

    name: str
    code: Code
    fitted: JsonObject | None = None


Step: TypeAlias = DeclaredStep | FunctionStep


@dataclass(frozen=True)
class SetStep:
    """A step over a whole set of rows, such as a join, a window or an aggregate: `prep.sql` or `prep.over_set`.

    Parameters
    ----------
    work
        A query in SQL over `rows` and the names of `inputs`; or a function of theirs, from frames to a frame.
    inputs
        Further datasets by the name they have in it: `{"weather": "weather@3"}`.
    """

    work: str | Code
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipeline:
    """An ordered list of steps that have learned nothing yet. Equal pipelines have equal digests of `to_json`.

    `sets` come first and make a set of rows, which is stored; `steps` go on row by row, in every door alike.
    """

    steps: tuple[Step, ...]
    sets: tuple[SetStep, ...] = ()

    @property
    def digest(self) -> Digest:
        """The digest of its JSON form."""
        return digest_json(self.to_json())

    def to_json(self) -> JsonObject:
        """Return its one JSON form."""
        sets: JsonObject = {"sets": [_set_to_json(step) for step in self.sets]} if self.sets else {}
        return {"format": _FORMAT, **sets, "steps": [_step_to_json(step) for step in self.steps]}

    @staticmethod
    def from_json(value: Json) -> "Pipeline":
        """Return the pipeline that `to_json` told. Raises `Problem("pipeline.invalid")`."""
        try:
            _check_format(value)
            sets = tuple(_set_from_json(step) for step in value.get("sets", []))
            return Pipeline(tuple(_step_from_json(step) for step in value["steps"]), sets)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _invalid(error) from error


@dataclass(frozen=True)
class FittedPipeline:
    """A pipeline that has learned from training rows: all that is needed to prepare further rows the same way.

    Parameters
    ----------
    steps
        The steps in order, each with what it learned.
    inputs
        The raw columns that it needs.
    unused
        The raw columns that the training rows had besides; rows to prepare may lack them.
    features
        The names of the output columns, in order; each is Float32 with NaN as missing.
    """

    steps: tuple[Step, ...]
    inputs: tuple[InputColumn, ...]
    unused: tuple[InputColumn, ...]
    features: tuple[str, ...]

    def to_json(self) -> JsonObject:
        """Return its one JSON form."""
        return {
            "format": _FORMAT,
            "steps": [_step_to_json(step) for step in self.steps],
            "inputs": [column.to_json() for column in self.inputs],
            "unused": [column.to_json() for column in self.unused],
            "features": list(self.features),
        }

    @staticmethod
    def from_json(value: Json) -> "FittedPipeline":
        """Return the fitted pipeline that `to_json` told. Raises `Problem("pipeline.invalid")`."""
        try:
            _check_format(value)
            return FittedPipeline(
                steps=tuple(_step_from_json(step) for step in value["steps"]),
                inputs=tuple(InputColumn.from_json(column) for column in value["inputs"]),
                unused=tuple(InputColumn.from_json(column) for column in value["unused"]),
                features=tuple(value["features"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _invalid(error) from error


class SpeedClass(Enum):
    """What rows are prepared by, which decides what one row costs."""

    DECLARED = "declared"  # declared steps alone: generated Python for a row, microseconds
    FUNCTION = "function"  # a function of the user's is among them: a Polars frame a row, about a millisecond


def speed_class(steps: tuple[Step, ...]) -> SpeedClass:
    """Return the speed class of steps: one function makes it the functions'.

    >>> speed_class((DeclaredStep("strip", ("city",), {}),)).value
    'declared'
    """
    return SpeedClass.FUNCTION if any(isinstance(step, FunctionStep) for step in steps) else SpeedClass.DECLARED


@dataclass(frozen=True)
class PipelineVersion:
    """An immutable saved pipeline; its JSON is the object of `digest`.

    Parameters
    ----------
    name
        Of the pipeline, in its project.
    number
        From 1.
    digest
        Of `Pipeline.to_json`: that of the same pipeline written in Python.
    kinds
        The kind of each step, in order; a function's is `function`, those over sets are `sql` and `over_set`.
    checks
        What it promises about the raw rows that a run is on.
    created_by
        The member who saved it.
    note
        Why, in a line.
    """

    project: ProjectId
    name: str
    number: int
    digest: Digest
    kinds: tuple[str, ...]
    checks: tuple[Check, ...]
    created_by: str
    created_at: datetime
    note: str = ""

    @property
    def speed(self) -> SpeedClass:
        """What rows are prepared by."""
        return SpeedClass.FUNCTION if FUNCTION in self.kinds else SpeedClass.DECLARED


def kind_of(step: Step | SetStep) -> str:
    """Return the word for a step."""
    if isinstance(step, SetStep):
        return "sql" if isinstance(step.work, str) else "over_set"
    return FUNCTION if isinstance(step, FunctionStep) else step.kind


def _set_to_json(step: SetStep) -> JsonObject:
    work: JsonObject = {"sql": step.work} if isinstance(step.work, str) else {"code": step.work.to_json()}
    return {**work, "inputs": dict(step.inputs)}


def _set_from_json(value: Mapping[str, Any]) -> SetStep:
    inputs = {str(name): str(ref) for name, ref in value["inputs"].items()}
    return SetStep(str(value["sql"]) if "sql" in value else Code.from_json(value["code"]), inputs)


def _step_to_json(step: Step) -> JsonObject:
    if isinstance(step, FunctionStep):
        told: dict[str, Any] = {"kind": FUNCTION, "name": step.name, "code": step.code.to_json()}
    else:
        told = {"kind": step.kind, "columns": list(step.columns), "params": dict(step.params)}
    return told if step.fitted is None else told | {"fitted": dict(step.fitted)}


def _step_from_json(value: Mapping[str, Any]) -> Step:
    fitted = value.get("fitted")
    if not isinstance(value["kind"], str):
        raise TypeError(f"{value['kind']!r} is no kind of step")
    if value["kind"] == FUNCTION:
        return FunctionStep(value["name"], Code.from_json(value["code"]), fitted)
    return DeclaredStep(value["kind"], tuple(value["columns"]), dict(value["params"]), fitted)


def _check_format(value: Json) -> None:
    if value["format"] != _FORMAT:
        raise Problem(
            "pipeline.invalid",
            f"The pipeline is written in format {value['format']}",
            f"this version reads format {_FORMAT}",
            "upgrade modelyard here",
        )


def _invalid(error: Exception) -> Problem:
    return Problem("pipeline.invalid", "This is not the JSON of a pipeline", f"{type(error).__name__}: {error}")
