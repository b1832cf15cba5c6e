"""Function steps: how a user's function is called on frames, and how it is shown at fit that it works row by row.

A function sees numbers as Float64, integers as Int64, text as String and times in microseconds in the zone that they were
stored in; missing is null in every column, also where the raw rows had NaN. What it returns is taken in the same forms.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl

from modelyard.core import Problem
from modelyard.prepare.boundary import user_code_boundary
from modelyard.prepare.capture import capture
from modelyard.prepare.code import load
from modelyard.prepare.expressions import Column, Value
from modelyard.prepare.inputs import working_frame, working_rows
from modelyard.prepare.types import FunctionStep
from modelyard.prepare.values import DTYPES, InputColumn, ValueKind, input_dtype

TableRow: TypeAlias = Sequence[Value]
Table: TypeAlias = Sequence[TableRow]  # rows of one width
TableFunction: TypeAlias = Callable[[Table], Table]

SAMPLE_ROWS: Final = 64
SINGLE_ROWS: Final = 16
# Polars divides a column by a constant through the constant's reciprocal, and a single row truly: the last bit may differ.
LAST_BITS: Final = 1e-14
_ROW_WISE: Final = (
    "a function step is row-wise: the answer for a row may depend on that row alone, not on other rows, their number or "
    "order, nor on chance or time"
)
_DTYPES: Final = {
    ValueKind.NUMBER: "Float64",
    ValueKind.INTEGER: "Int64",
    ValueKind.BOOLEAN: "Boolean",
    ValueKind.TEXT: "String",
    ValueKind.DATE: "Date",
    ValueKind.DATETIME: "Datetime",
}


def function_step(function: Callable[[pl.DataFrame], pl.DataFrame]) -> FunctionStep:
    """Return the step of a row-wise function from a frame to a frame. Raises as `capture` does.

    What a function may look at is each row by itself. Means, ranks, shifts and joins are declared steps or features
    computed before: `fit` tries the function on single rows and in another order, and refuses it where answers differ.
    """
    return FunctionStep(function.__name__, capture(function))


class Function:
    """A function step loaded, ready to be called."""

    def __init__(self, step: FunctionStep) -> None:
        self.name = step.name
        self._function = load(step.code)

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the function's answer.

        Raises
        ------
        Problem
            `code.failed` when it raises; `step.invalid` when it returns anything but a frame of as many rows.
        """
        with user_code_boundary(f"The step '{self.name}'"):
            answer: Any = self._function(frame)
        if not isinstance(answer, pl.DataFrame):
            kind = type(answer).__name__
            way = (
                "end it with .collect()"
                if isinstance(answer, pl.LazyFrame)
                else "return the frame that rows.with_columns(…) gives"
            )
            raise self.refused(f"it is to return a polars DataFrame, and returned a {kind}", way)
        if answer.height != frame.height:
            raise self.refused(
                f"it returned {answer.height} rows for {frame.height}; {_ROW_WISE}", "filter rows before the pipeline"
            )
        return answer

    def refused(self, why: str, next_step: str) -> Problem:
        """Return the problem of a function that is no step."""
        return Problem("step.invalid", f"The step '{self.name}' cannot be used", why, next_step, {"step": self.name})


def shown(frame: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Return a working frame (by ids) as a user's function sees it (by names)."""
    return frame.select([_shown(column).alias(name) for name, column in columns.items()])


def _shown(column: Column) -> pl.Expr:
    if column.kind is ValueKind.NUMBER:
        return pl.col(column.id).fill_nan(None)
    if column.zone:
        return pl.col(column.id).dt.replace_time_zone("UTC").dt.convert_time_zone(column.zone)
    return pl.col(column.id)


def run_function(function: Function, frame: pl.DataFrame, writes: Mapping[str, Column]) -> pl.DataFrame:
    """Return what a function writes, in the forms of `values`. No row, no call.

    Raises
    ------
    Problem
        As `Function` does; `step.invalid` when a column is missing or of another kind than at fit.
    """
    columns = _written(writes)
    if frame.is_empty():
        empty = pl.DataFrame(schema={column.name: pl.Null for column in columns})
        return working_frame(empty, columns)
    return _taken(function, function(frame), columns)


def table_function(function: Function, reads: Mapping[str, Column], writes: Mapping[str, Column]) -> TableFunction:
    """Return `run_function` for rows of what the function reads, in the forms of `values` but with no NaN: None is missing.

    Such a table is made into a frame once and the answer read once, which for a few rows costs a tenth of Polars' expressions.
    """
    schema = {name: pl.Datetime("us", column.zone) if column.zone else DTYPES[column.kind] for name, column in reads.items()}
    columns = _written(writes)

    def run(rows: Table) -> Table:
        if not rows:
            return []
        answer = function(pl.DataFrame(rows, schema, orient="row"))  # a time without zone is taken as UTC, as ours are
        with _as_at_fit(function):
            return working_rows(answer, columns)

    return run


def _written(writes: Mapping[str, Column]) -> list[InputColumn]:
    return [InputColumn(name, _dtype(column.kind, column.zone)) for name, column in writes.items()]


def _taken(function: Function, answer: pl.DataFrame, columns: Sequence[InputColumn]) -> pl.DataFrame:
    with _as_at_fit(function):
        return working_frame(answer, columns)


@contextmanager
def _as_at_fit(function: Function) -> Iterator[None]:
    try:
        yield
    except Problem as problem:
        why = f"its answer is not of the form that it had at fit; {problem.what[0].lower()}{problem.what[1:]}, {problem.why}"
        raise function.refused(why, "let it give each column one type, whatever the values") from problem


def _dtype(kind: ValueKind, zone: str | None) -> str:
    return f"Datetime[{zone}]" if zone else _DTYPES[kind]


def learn_function(step: FunctionStep, frame: pl.DataFrame) -> tuple[FunctionStep, pl.DataFrame]:
    """Return the fitted step and its answer on the training rows, in the forms of `values`.

    Parameters
    ----------
    step
        The step; what it learned before is forgotten.
    frame
        The training rows as the function sees them (`shown`), at least one.

    Raises
    ------
    Problem
        As `Function` does; `step.invalid` when it is not row-wise, or gives a column that cannot be prepared.
    """
    function = Function(step)
    answer = function(frame)
    columns = [_column(function, name, dtype) for name, dtype in answer.schema.items()]
    taken = _taken(function, answer, columns)
    at = np.unique(np.linspace(0, frame.height - 1, min(SAMPLE_ROWS, frame.height)).astype(np.int64))
    sample, expected = frame[at], taken[at]
    _check_row_wise(function, sample, expected, columns)
    needs, own = _reads(function, sample, expected, columns)
    writes = [column.to_json() for column in columns]
    return replace(step, fitted={"writes": writes, "needs": needs, "own": own}), taken


def _column(function: Function, name: str, dtype: pl.DataType) -> InputColumn:
    found = input_dtype(dtype)
    if found is None:
        raise function.refused(
            f"its column '{name}' is of dtype {dtype}, which no step can use", "return numbers, text, dates or times"
        )
    return InputColumn(name, found)


def _same(found: pl.Series, wanted: pl.Series) -> bool:
    """Return whether two answers are equal; numbers to within `LAST_BITS`, far below the float32 that features are."""
    if found.dtype != pl.Float64:
        return found.equals(wanted, null_equal=True)
    if not found.is_null().equals(wanted.is_null()):
        return False
    near = (found - wanted).abs() <= LAST_BITS * pl.select(pl.max_horizontal(wanted.abs(), 1.0)).to_series()
    return bool((near | found.eq(wanted)).fill_null(value=True).all())


def _check_row_wise(function: Function, sample: pl.DataFrame, expected: pl.DataFrame, columns: Sequence[InputColumn]) -> None:
    trials = [(sample, expected), (sample.reverse(), expected.reverse())]
    trials += [(sample[row], expected[row]) for row in range(min(SINGLE_ROWS, sample.height))]
    for rows, wanted in trials:
        number = f"{rows.height} row" + ("s" if rows.height > 1 else "")
        try:
            found = _taken(function, function(rows), columns)
        except Problem as problem:
            raise function.refused(
                f"it works on all rows, but not on {number} of them ({problem.why}); {_ROW_WISE}", _ADVICE
            ) from problem
        for name in wanted.columns:
            if not _same(found[name], wanted[name]):
                why = f"column '{name}' differs between all rows at once and {number} of them; {_ROW_WISE}"
                raise function.refused(why, _ADVICE)


_ADVICE: Final = "use a declared step, which learns from the training rows (prep.standardise, prep.target_mean …)"


def _reads(
    function: Function, sample: pl.DataFrame, expected: pl.DataFrame, columns: Sequence[InputColumn]
) -> tuple[list[str], list[str]]:
    """Return the columns that the answer needs, and those that only their own column of the answer needs.

    Found by leaving each out. What a function reads on rare rows only may be missed; so the columns found are tried
    together, and where that does not give the same answer, all are needed.
    """
    needs, own = [], []
    for name in sample.columns:
        changed = _changed(function, sample.drop(name), expected, columns)
        if changed is None or changed - {name}:
            needs.append(name)
        elif changed:
            own.append(name)
    if _changed(function, sample.select([*needs, *own]), expected, columns) != set():
        return list(sample.columns), []
    return needs, own


def _changed(function: Function, rows: pl.DataFrame, expected: pl.DataFrame, columns: Sequence[InputColumn]) -> set[str] | None:
    """Return the columns whose answer differs on these rows, None where there is no answer at all."""
    try:
        answer = function(rows)
        present = [column for column in columns if column.name in answer.columns]
        found = working_frame(answer, present)
    except Problem:
        return None
    absent = {column.name for column in columns} - set(found.columns)
    return absent | {name for name in found.columns if not found[name].equals(expected[name], null_equal=True)}
