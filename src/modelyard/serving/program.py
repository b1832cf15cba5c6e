"""What a loaded version runs: rows in, answers out, by its own way of taking them."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.data.cell import Cell
from modelyard.prepare.columnar import ColumnarRows
from modelyard.prepare.values import InputColumn, ValueKind

T = TypeVar("T")
ONNX = "onnxruntime"  # the framework whose models are data

Answers: TypeAlias = Mapping[str, NDArray[Any]]  # by output, in the signature's order; the first axis is the rows
Rows: TypeAlias = Sequence[Mapping[str, Any]]
Tensors: TypeAlias = Mapping[str, NDArray[Any]]  # by input, checked; the first axis is the rows
Batch: TypeAlias = Rows | Tensors | pl.DataFrame
Columns: TypeAlias = Mapping[str, Sequence[Any] | NDArray[Any]]  # by input, as a caller sent them


class Inputs(Protocol):
    """How a version takes what callers send: `RowInputs` or `TensorInputs`. It follows from the signature alone."""

    @property
    def columns(self) -> Mapping[str, InputColumn]:
        """The inputs, in the signature's order."""
        ...

    @property
    def kinds(self) -> Mapping[str, ValueKind]:
        """The kinds of value of the inputs that are raw columns; none for a version that takes tensors."""
        ...

    @property
    def cells(self) -> Mapping[str, Cell]:
        """What a cell of each input holds, for a version that takes tensors; else none."""
        ...

    def batch(self, columns: Columns, shapes: Mapping[str, Sequence[int]]) -> Batch:
        """Return one request's columns as what `infer` takes."""
        ...

    def joined(self, batches: Sequence[Batch]) -> Batch:
        """Return several batches as one, in their order."""
        ...


class ByInputs:
    """The inputs of a program that hands to others what it takes: all of it follows from `inputs`."""

    inputs: Inputs

    @property
    def columns(self) -> Mapping[str, InputColumn]:
        """The inputs, in the signature's order."""
        return self.inputs.columns

    @property
    def kinds(self) -> Mapping[str, ValueKind]:
        """Their kinds of value, where they are raw columns."""
        return self.inputs.kinds

    @property
    def cells(self) -> Mapping[str, Cell]:
        """Their cells, where they are tensors."""
        return self.inputs.cells

    def batch(self, columns: Columns, shapes: Mapping[str, Sequence[int]]) -> Batch:
        """Return one request's columns as what `infer` takes."""
        return self.inputs.batch(columns, shapes)

    def joined(self, batches: Sequence[Batch]) -> Batch:
        """Return several batches as one, in their order."""
        return self.inputs.joined(batches)


class Program(Inputs, Protocol):
    """One way to answer: `Prepared` or `Direct`, or one of them in another process. Safe to share between threads."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        ...

    @property
    def runs_code(self) -> bool:
        """Whether somebody's own code is part of it."""
        ...

    @property
    def is_apart(self) -> bool:
        """Whether it answers in a process of its own, which ends a call that takes too long."""
        ...

    def infer(self, batch: Batch) -> Answers:
        """Return the answers."""
        ...

    def warm(self) -> None:
        """Run everything once."""
        ...


def guarded(version: int, part: str, work: Callable[[], T]) -> T:
    """Return what `work` returns; Problem `version.failed`, naming the part, for anything but a Problem that it raises."""
    try:
        return work()
    except Problem:
        raise
    except Exception as error:
        raise Problem(
            "version.failed",
            f"The {part} of version {version} raised {type(error).__name__}",
            str(error)[:500],
            "mend it and register a new version",
            {"version": version, "traceback": "".join(traceback.format_exception(error))[-8000:]},
        ) from error


def rows_in(batch: Batch) -> int:
    """Return how many rows a batch has."""
    if type(batch) is not ColumnarRows and isinstance(batch, Mapping):
        return len(next(iter(batch.values()), ()))
    return len(batch)
