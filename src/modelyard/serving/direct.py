"""The program of a version that came from outside: raw tensors straight into its model, named tensors out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem, nearest
from modelyard.data.cell import Cell
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.serving.program import ONNX, Answers, Batch, Columns, Rows, Tensors, guarded, rows_in
from modelyard.serving.tensors import joined, neutral, tensor_of
from modelyard.training import Framework


@dataclass(frozen=True, eq=False)
class TensorInputs:
    """Tensors, taken as they are once they are checked."""

    cells: Mapping[str, Cell]

    @property
    def columns(self) -> Mapping[str, InputColumn]:
        """The inputs; their dtype is a `Cell` in its notation."""
        return {name: InputColumn(name, str(cell)) for name, cell in self.cells.items()}

    @property
    def kinds(self) -> Mapping[str, ValueKind]:
        """None: its inputs are tensors."""
        return {}

    def batch(self, columns: Columns, shapes: Mapping[str, Sequence[int]]) -> Tensors:
        """Return columns as checked tensors; those that the model does not know are passed over.

        Raises
        ------
        Problem
            `column.missing`, `tensor.invalid`; `tensor.invalid` too where inputs have different numbers of rows.
        """
        for name in self.cells:
            if name not in columns:
                raise self._lacking(name, columns)
        found = {name: tensor_of(name, cell, columns[name], shapes.get(name)) for name, cell in self.cells.items()}
        counts = {name: len(values) for name, values in found.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name}: {count}" for name, count in counts.items())
            raise Problem("tensor.invalid", "The inputs have different numbers of rows", told, "send equally many of each")
        return found

    def joined(self, batches: Sequence[Batch]) -> Tensors:
        """Return batches as one along the rows; Problem `batch.invalid` where a free length differs between them."""
        return joined([self.tensors(batch) for batch in batches])

    def tensors(self, batch: Batch) -> Tensors:
        """Return tensors, rows of cells, or a frame with a column an input, as tensors. Raises as `batch` does."""
        if isinstance(batch, Mapping):
            return batch
        if isinstance(batch, pl.DataFrame):
            return self.batch({name: _of_series(batch[name]) for name in self.cells if name in batch.columns}, {})
        return self._of_rows(batch)

    def _of_rows(self, rows: Rows) -> Tensors:
        try:
            return self.batch({name: [row[name] for row in rows] for name in self.cells}, {})
        except (KeyError, TypeError, IndexError):
            for place, row in enumerate(rows):
                self._check_row(row, place)
            raise
        except Problem as problem:
            for place, row in enumerate(rows):  # which row it is shows when each is read alone
                try:
                    self.batch({name: [row[name]] for name in self.cells}, {})
                except Problem as told:
                    detail = {**told.detail, "row": place}
                    raise Problem(told.code, f"{told.what} in row {place}", told.why, told.next_step, detail) from problem
            raise

    def _check_row(self, row: object, place: int) -> None:
        if not isinstance(row, Mapping):
            raise Problem("row.invalid", f"Row {place} is no mapping of inputs", f"it is a {type(row).__name__}")
        for name in self.cells:
            if name not in row:
                raise self._lacking(name, [str(one) for one in row], place)

    def _lacking(self, name: str, given: Iterable[str], row: int | None = None) -> Problem:
        at = "" if row is None else f" in row {row}"
        near = nearest(name, given)
        sent = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(self.cells)}"
        detail = {"column": name} if row is None else {"column": name, "row": row}
        return Problem("column.missing", f"The input '{name}' is missing{at}", sent, "send every input of the model", detail)


@dataclass(frozen=True, eq=False)
class Direct(TensorInputs):
    """A model that is asked as it is: nothing is prepared, filled or scaled."""

    version: int
    outputs: tuple[str, ...]
    framework: Framework
    model: object

    @property
    def runs_code(self) -> bool:
        """Whether the model is anything but ONNX."""
        return self.framework.name != ONNX

    @property
    def is_apart(self) -> bool:
        """False: it answers in this process."""
        return False

    def infer(self, batch: Batch) -> Answers:
        """Return what the model gives for tensors, for rows of cells, or for a frame with a column an input.

        The outputs keep the model's own types and shapes, (n, …); nothing is made of a NaN among them.

        Raises
        ------
        Problem
            `column.missing` and `tensor.invalid`, naming the input; `version.failed` when the model raises, or gives an output
            that has not one entry a row.
        """
        tensors = self.tensors(batch)
        return self._answered(tensors, rows_in(tensors))

    def warm(self) -> None:
        """Run everything once, on zeros. Problem `version.failed` when the model cannot answer them."""
        self._answered({name: neutral(cell) for name, cell in self.cells.items()}, 1)

    def _answered(self, tensors: Tensors, count: int) -> Answers:
        answers = guarded(self.version, "model", lambda: self.framework.run(self.model, tensors))
        for name in self.outputs:
            if name not in answers or answers[name].shape[:1] != (count,):
                told = f"the shape {answers[name].shape}" if name in answers else "nothing"
                what = f"Version {self.version} gave {told} for '{name}'"
                why = f"there are {count} rows, and each has one entry"
                raise Problem("version.failed", what, why, "look at its card, and roll it back")
        return {name: _flat(answers[name]) for name in self.outputs}


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """Return an output of one value a row as a column, also where the model gives each in a row of its own."""
    return values[:, 0] if values.shape[1:] == (1,) else values


def _of_series(values: pl.Series) -> Sequence[Any] | NDArray[Any]:
    plain = values.dtype.is_numeric() and not values.dtype.is_decimal() and not values.null_count()
    return values.to_numpy() if plain else np.array(values.to_list(), dtype=object) if values.is_empty() else values.to_list()
