"""Fit a pipeline: let each step learn from the training rows, in order, and find out what the whole needs and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from modelyard.core import Problem, missing
from modelyard.prepare.compile_polars import evaluate, frame_function, load_functions
from modelyard.prepare.compile_python import row_compiled
from modelyard.prepare.functions import TableRow, learn_function, shown
from modelyard.prepare.inputs import working_frame
from modelyard.prepare.plan import Plan, apply, trimmed
from modelyard.prepare.scope import Assignment, Scope
from modelyard.prepare.steps import Training, definition
from modelyard.prepare.types import DeclaredStep, FittedPipeline, FunctionStep, Pipeline, SetStep, Step
from modelyard.prepare.values import InputColumn, input_dtype

CHECKED_ROWS: Final = 256
_CLASSES: Final = 2


def fit(pipeline: Pipeline, frame: pl.DataFrame, label: str | None = None) -> FittedPipeline:
    """Return the pipeline fitted on these rows, and on no others: give it the training split only.

    All columns that are left at the end become features, in the order in which they stand; the label is never among them and
    no step but `target_mean` sees it.

    Parameters
    ----------
    pipeline
        The steps.
    frame
        The training rows with their raw columns, at least one.
    label
        The column to predict, when the rows have it.

    Raises
    ------
    Problem
        `pipeline.invalid` for one with steps over sets; `frame.invalid` without rows; `column.missing` with the nearest names;
        `column.invalid` when a column does not suit its step, or is no number at the end; `step.invalid` for wrong arguments or
        a function that is not row-wise; `code.failed` when a function raises.
    """
    refuse_sets(pipeline.sets)
    fitting = begin(frame, label)
    steps = tuple(fitting.step(step) for step in pipeline.steps)
    planned = fitting.plan(label)
    needed = {column.name for column in planned.inputs}
    unused = tuple(column for column in fitting.columns if column.name not in needed)
    _check(fitting, planned, frame)
    return FittedPipeline(steps, planned.inputs, unused, tuple(planned.features))


def begin(frame: pl.DataFrame, label: str | None) -> "Fitting":
    """Return training rows before the first step. Raises as `fit` does of the rows themselves."""
    if frame.is_empty():
        raise Problem("frame.invalid", "The pipeline cannot be fitted", "there is no training row", "check the split's bounds")
    if label is not None and label not in frame.columns:
        raise missing("column", label, frame.columns, "name the label as the training rows do")
    columns, absent = raw_columns(frame, label)
    return Fitting(frame, columns, absent, numeric_label(frame, label))


def refuse_sets(sets: Sequence[SetStep]) -> None:
    """Return when there is no step over sets, which a model cannot have. Problem `pipeline.invalid`."""
    if sets:
        what = "The pipeline cannot be a model's: it begins with a step over a whole set of rows"
        why = "a request brings single rows, which have no set to be joined, ranked or counted in"
        step = "store its rows by pipeline.run(data, into=NAME) and train on those, or look values up as features of a dataset"
        raise Problem("pipeline.invalid", what, why, step)


class Fitting:
    """The training rows on their way through the steps: `frame` by column ids, `scope` with the columns' names."""

    def __init__(
        self, frame: pl.DataFrame, columns: tuple[InputColumn, ...], absent: Mapping[str, str], label: pl.Series | None
    ) -> None:
        self.columns = columns
        self.label = label
        self.scope = Scope(columns, absent)
        self.frame = working_frame(frame, columns)

    def step(self, step: Step) -> Step:
        """Return the step fitted on the rows as they stand, and move the rows on."""
        done = len(self.scope.parts)
        fitted = self._function(step) if isinstance(step, FunctionStep) else self._declared(step)
        new = [part for part in self.scope.parts[done:] if isinstance(part, Assignment)]
        self.frame = evaluate(self.frame, new).select([column.id for column in self.scope.columns.values()])
        return fitted

    def _declared(self, step: DeclaredStep) -> DeclaredStep:
        defined = definition(step)
        checked = defined.checked(step)
        fitted = replace(checked, fitted=defined.learn(checked, Training(self.scope, self.frame, self.label)))
        defined.write(fitted, self.scope)
        return fitted

    def _function(self, step: FunctionStep) -> FunctionStep:
        fitted, answer = learn_function(step, shown(self.frame, self.scope.columns))
        apply(fitted, self.scope)
        self.frame = answer.select([pl.col(name).alias(column.id) for name, column in self.scope.columns.items()])
        return fitted

    def plan(self, label: str | None) -> Plan:
        """Return the plan of all steps."""
        self.scope.absent.pop(label or "", None)
        return trimmed(self.scope, self.columns)


def raw_columns(frame: pl.DataFrame, label: str | None) -> tuple[tuple[InputColumn, ...], dict[str, str]]:
    """Return the columns of a frame that can be prepared, and the others by name with why they cannot."""
    columns, absent = [], {}
    for name, dtype in frame.schema.items():
        found = input_dtype(dtype)
        if name == label:
            absent[name] = "it is the label, which is not known when predicting"
        elif found is None:
            absent[name] = f"it is of dtype {dtype}, which no step can use"
        else:
            columns.append(InputColumn(name, found))
    return tuple(columns), absent


def numeric_label(frame: pl.DataFrame, name: str | None) -> pl.Series | None:
    """Return the label as Float64: a number, a boolean as 0 or 1, of two other values the greater as 1; else None."""
    if name is None:
        return None
    label = frame.get_column(name)
    if label.dtype.is_numeric() or label.dtype == pl.Boolean:
        return label.cast(pl.Float64)
    if label.dtype == pl.String or isinstance(label.dtype, pl.Categorical | pl.Enum):
        words = label.cast(pl.String)
        values = words.drop_nulls().unique().sort()
        return (words == values[1]).cast(pl.Float64) if len(values) == _CLASSES else None
    return None


def _check(fitting: Fitting, planned: Plan, frame: pl.DataFrame) -> None:
    """Prove on some training rows that the plan, with only the columns it needs, and both compilers give what was fitted on.

    Raises
    ------
    Problem
        `step.invalid` when a function step gives other answers there; `pipeline.failed` when the compilers differ.
    """
    at = np.unique(np.linspace(0, frame.height - 1, min(CHECKED_ROWS, frame.height)).astype(np.int64))
    ids = [column.id for column in fitting.scope.columns.values()]
    final = fitting.frame[at].select(pl.col(i).cast(pl.Float64).fill_null(float("nan")).cast(pl.Float32) for i in ids)
    expected = final.rename(dict(zip(ids, planned.features, strict=True)))
    rows = working_frame(frame[at], planned.inputs)
    functions = load_functions(planned.calls)
    found = frame_function(planned, functions)(rows)
    if planned.calls and not found.equals(expected):
        raise Problem(
            "step.invalid",
            f"The steps {sorted({function.name for function in functions})} cannot be used",
            "their answers change when columns that they do not read are left out",
            "name the columns that they read, instead of selecting by type",
        )
    told = rows.select(
        [
            pl.col(c.name).dt.replace_time_zone("UTC") if c.dtype.startswith("Datetime") else pl.col(c.name)
            for c in planned.inputs
        ]
    )
    by_row = row_compiled(planned, functions)
    read: list[TableRow] = []
    by_row.read(told.to_dicts(), read)
    numbers = np.array(by_row.finish(read), dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        single = numbers.astype(np.float32)
    if not (np.array_equal(single, found.to_numpy(), equal_nan=True) and found.equals(expected)):
        raise Problem(
            "pipeline.failed",
            "The compilers of the pipeline disagree on its training rows",
            "this is a fault of modelyard",
            "report it",
        )
