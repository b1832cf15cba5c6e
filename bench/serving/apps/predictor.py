"""The model inside a peer, as a good engineer calls it: one thread, no copies that are not needed."""

# mypy: disable-error-code="import-untyped"

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class Predictor(Protocol):
    """What a server asks."""

    def columns(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """Return a probability a row, of raw columns."""
        ...

    def matrix(self, rows: NDArray[np.float32]) -> list[float]:
        """Return a probability a row, of a matrix of features."""
        ...


class OnnxPredictor:
    """An ONNX classifier of two classes: its last output is (n, 2)."""

    def __init__(self, file: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._types = {one.name: one.type for one in self._session.get_inputs()}
        self._input = next(iter(self._types))
        self._outputs = [self._session.get_outputs()[-1].name]

    def columns(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """Return a probability a row, of raw columns."""
        given = {name: np.asarray(values, dtype=_dtype(self._types[name])).reshape(-1, 1) for name, values in columns.items()}
        return self._run(given)

    def matrix(self, rows: NDArray[np.float32]) -> list[float]:
        """Return a probability a row, of a matrix of features."""
        return self._run({self._input: rows})

    def _run(self, given: Mapping[str, NDArray[Any]]) -> list[float]:
        [shares] = self._session.run(self._outputs, given)
        answers: list[float] = shares[:, 1].tolist()
        return answers


class SklearnPredictor:
    """A scikit-learn pipeline over a pandas frame."""

    def __init__(self, file: str) -> None:
        import joblib  # noqa: PLC0415 - a server of ONNX models does without
        import pandas as pd  # noqa: PLC0415

        self._frame = pd.DataFrame
        self._model = joblib.load(file)

    def columns(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """Return a probability a row, of raw columns."""
        answers: list[float] = self._model.predict_proba(self._frame(columns))[:, 1].tolist()
        return answers

    def matrix(self, rows: NDArray[np.float32]) -> list[float]:
        """Return a probability a row, of a matrix of features."""
        answers: list[float] = self._model.predict_proba(rows)[:, 1].tolist()
        return answers


def told() -> tuple[str, str, int]:
    """Return form, file and port from the command line."""
    form, file, port = sys.argv[1:4]
    return form, file, int(port)


def load(form: str, file: str) -> Predictor:
    """Return the model of a file."""
    return SklearnPredictor(file) if form == "columns-sklearn" else OnnxPredictor(file)


def _dtype(onnx_type: str) -> Any:
    return {"tensor(string)": np.object_, "tensor(double)": np.float64}.get(onnx_type, np.float32)
