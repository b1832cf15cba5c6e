"""The program of a version that was trained here: raw columns through its fitted preparation into its model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.data.cell import Cell
from modelyard.prepare.columnar import ColumnarRows
from modelyard.prepare.transform import Transform
from modelyard.prepare.values import InputColumn, ValueKind
from modelyard.serving.program import ONNX, Answers, Batch, Columns, Rows, guarded
from modelyard.training import Framework

Features: TypeAlias = NDArray[np.float32]

_NEUTRAL: Mapping[ValueKind, Any] = {
    ValueKind.NUMBER: 0.0,
    ValueKind.INTEGER: 0,
    ValueKind.BOOLEAN: False,
    ValueKind.TEXT: "",
    ValueKind.DATE: "2000-01-01",
    ValueKind.DATETIME: "2000-01-01T00:00:00",
}


@dataclass(frozen=True, eq=False)
class RowInputs:
    """Raw columns, taken as rows."""

    columns: Mapping[str, InputColumn]
    kinds: Mapping[str, ValueKind]

    @property
    def cells(self) -> Mapping[str, Cell]:
        """None: its inputs are raw columns."""
        return {}

    def batch(self, columns: Columns, shapes: Mapping[str, Sequence[int]]) -> ColumnarRows:
        """Return columns as rows; what they hold is looked at when they are prepared."""
        return ColumnarRows.of(columns)

    def joined(self, batches: Sequence[Batch]) -> Rows:
        """Return the rows of all batches, in their order."""
        columnar = [batch for batch in batches if isinstance(batch, ColumnarRows)]
        if len(columnar) == len(batches):
            return ColumnarRows.joined(columnar)
        return [row for batch in batches for row in _as_rows(batch)]


@dataclass(frozen=True, eq=False)
class Prepared(RowInputs):
    """The fitted preparation and the model behind it."""

    version: int
    outputs: tuple[str, ...]
    transform: Transform
    framework: Framework
    model: object

    @property
    def runs_code(self) -> bool:
        """Whether a step is a function, or the model anything but ONNX."""
        return self.transform.has_functions or self.framework.name != ONNX

    @property
    def is_apart(self) -> bool:
        """False: it answers in this process."""
        return False

    def infer(self, batch: Batch) -> Answers:
        """Return the answers for raw rows, in their order: float64 of the shape (n,) for each output; all finite.

        Values are taken as the pipeline takes them: numbers also as NaN or infinity, times also as ISO 8601 texts, None for
        what is missing. Columns that it does not know are passed over.

        Raises
        ------
        Problem
            `column.missing` and `column.invalid`, naming column and row, with the nearest names; `row.invalid` when a row has
            no finite answer because of what is missing in it; `version.failed` when the version's own code raises.
        """
        prepare: Callable[[], Features]
        if isinstance(batch, pl.DataFrame):
            frame, count = batch, batch.height
            prepare = lambda: self.transform.matrix(frame)  # noqa: E731 - one of two ways, chosen here
        else:
            rows = _as_rows(batch)
            count = len(rows)
            prepare = lambda: self.transform.rows(rows)  # noqa: E731
        answers = self._shaped(self._predict(guarded(self.version, "preparation", prepare)), count)
        finite = isfinite(answers[0]) if answers.shape == (1,) else bool(np.isfinite(answers).all())
        if not finite:
            row = int(np.flatnonzero(~np.isfinite(answers.reshape(count, -1)).all(axis=1))[0])
            raise self._no_answer(row, batch.row(row, named=True) if isinstance(batch, pl.DataFrame) else rows[row])
        if answers.ndim == 1:
            return {self.outputs[0]: answers}
        return dict(zip(self.outputs, answers.T, strict=True))

    def warm(self) -> None:
        """Run everything once. A function step may rightly refuse the made-up row; the model has to answer.

        Raises
        ------
        Problem
            `version.failed` when the model does not take what the pipeline gives, or does not give what the signature says.
        """
        row = {name: _NEUTRAL[kind] for name, kind in self.kinds.items()}
        try:
            features = guarded(self.version, "preparation", lambda: self.transform.rows([row]))
        except Problem:
            features = np.zeros((1, len(self.transform.features)), dtype=np.float32)
        self._shaped(self._predict(features), 1)

    def _predict(self, features: Features) -> NDArray[np.float64]:
        return guarded(self.version, "model", lambda: self.framework.predict(self.model, features))

    def _shaped(self, answers: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        wanted = (count,) if len(self.outputs) == 1 else (count, len(self.outputs))
        if answers.shape == wanted:
            return answers
        raise Problem(
            "version.failed",
            f"Version {self.version} gave answers of the shape {answers.shape} for {count} rows",
            f"its signature names the outputs {', '.join(self.outputs)}",
            "register the run again",
        )

    def _no_answer(self, row: int, raw: Mapping[str, Any]) -> Problem:
        gaps = [name for name in self.columns if _is_gap(raw.get(name))]
        what = f"Row {row} has no finite answer"
        if not gaps:
            step = "look at the version's metrics, and roll it back"
            return Problem("version.failed", what, f"version {self.version} had every input", step, {"row": row})
        return Problem(
            "row.invalid",
            what,
            f"the model cannot do without what is missing there: {', '.join(gaps)}",
            "send the values, or fill them in the pipeline (fill_null) and train again",
            {"row": row, "columns": gaps},
        )


def _as_rows(batch: Batch) -> Rows:
    if type(batch) is ColumnarRows:  # nearly always: asked first, and so, for it is asked with every request
        return batch
    if isinstance(batch, pl.DataFrame):
        return batch.to_dicts()
    if isinstance(batch, Mapping):
        raise TypeError("a prepared version takes rows, not tensors")
    return batch


def _is_gap(value: object) -> bool:
    return value is None or (isinstance(value, float) and not isfinite(value))
