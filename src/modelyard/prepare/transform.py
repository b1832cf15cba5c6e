"""The one door to a fitted pipeline: the trainer, the servers, batch and streams all prepare rows through it."""

from collections.abc import Mapping, Sequence
from itertools import chain
from struct import pack_into
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.prepare.compile_polars import frame_function, load_functions
from modelyard.prepare.compile_python import row_compiled
from modelyard.prepare.fit import fit
from modelyard.prepare.functions import Table, TableRow
from modelyard.prepare.inputs import raw_frame, wrong_value
from modelyard.prepare.plan import plan
from modelyard.prepare.types import FittedPipeline, Pipeline, Step
from modelyard.prepare.values import InputColumn

ROWS_BY_PYTHON: Final = 256  # up to so many rows generated Python is taken: about where they cross


class Transform:
    """A fitted pipeline, compiled. Safe to use from several threads.

    Parameters
    ----------
    fitted
        What `fit` returned, or what its JSON form was read as.

    Raises
    ------
    Problem
        `pipeline.invalid`, `step.missing` when the pipeline cannot be compiled; `code.failed` when a function step cannot be
        loaded here.
    """

    def __init__(self, fitted: FittedPipeline) -> None:
        self.fitted = fitted
        self._plan = plan(fitted)
        functions = load_functions(self._plan.calls)
        self._by_raw_frame = frame_function(self._plan, functions, raw=True)
        self._by_frame = frame_function(self._plan, functions)
        self._by_row = row_compiled(self._plan, functions)

    @property
    def has_functions(self) -> bool:
        """Whether a step is a function of a user's."""
        return bool(self._plan.calls)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the output columns, in order."""
        return self.fitted.features

    @property
    def inputs(self) -> tuple[InputColumn, ...]:
        """The raw columns that a row must have, with their dtypes."""
        return self.fitted.inputs

    def frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the features of a raw frame as Float32 with NaN as missing; rows keep their order.

        Raises
        ------
        Problem
            `column.missing` with the nearest names; `column.invalid` with the row, what it has and what is expected;
            `code.failed` when a function step raises. Columns that are not needed are ignored.
        """
        return self._by_raw_frame(frame)

    def matrix(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Return `frame` as a C-contiguous array, shape (rows, features). Raises as `frame` does."""
        return _matrix(self.frame(frame))

    def rows(self, rows: Sequence[Mapping[str, object]]) -> NDArray[np.float32]:
        """Return the features of raw rows, such as JSON objects, shape (rows, features), C-contiguous.

        The numbers are those of `frame`, bit for bit: a few rows go through generated Python, but for function steps, and many
        through Polars. A row has every column of `inputs`; an unknown value is None. Raises as `frame` does, and `row.invalid`
        when a row is no mapping.
        """
        if len(rows) > ROWS_BY_PYTHON:
            return _matrix(self._by_frame(raw_frame(rows, self._plan.inputs)))
        read: list[TableRow] = []
        try:
            self._by_row.read(rows, read)
        except Problem as problem:
            raise self._in_row(problem, rows, len(read)) from None
        return _rounded(self._by_row.finish(read), len(self.fitted.features))

    def _in_row(self, problem: Problem, rows: Sequence[Mapping[str, object]], number: int) -> Problem:
        """Return a problem of the row function, which calls each row of a wrong value 0, with the row's number."""
        if number == 0 or problem.code != "column.invalid":
            return problem
        column = next(column for column in self._plan.inputs if column.name == problem.detail.get("column"))
        return wrong_value(column, number, rows[number][column.name])


def preview(*steps: Step, label: str | None = None, **columns: Sequence[object]) -> dict[str, list[float]]:
    """Return what steps make of some values, learned from these very values: to try steps out.

    >>> from modelyard.prepare import prep
    >>> preview(prep.fill_null("tenure", 0), tenure=[12, None])
    {'tenure': [12.0, 0.0]}
    """
    frame = pl.DataFrame(columns)
    return Transform(fit(Pipeline(steps), frame, label)).frame(frame).to_dict(as_series=False)


def _matrix(features: pl.DataFrame) -> NDArray[np.float32]:
    return np.ascontiguousarray(features.to_numpy(order="c"))


def _rounded(answers: Table, width: int) -> NDArray[np.float32]:
    found = np.empty((len(answers), width), dtype=np.float32)
    try:
        pack_into(f"{found.size}f", found.data, 0, *chain.from_iterable(answers))  # a quarter of what an array of lists costs
    except OverflowError:  # beyond float32 is infinite, as in a frame
        with np.errstate(over="ignore", invalid="ignore"):
            found[:] = np.array(answers, dtype=np.float64)
    return found
