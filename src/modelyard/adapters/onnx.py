"""ONNX Runtime behind the framework port: the form that serves, whichever framework trained it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Read at its import: else ONNX Runtime reports home and keeps files outside of ours (docs/decisions/0009).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from modelyard.core import Problem

_CLASSIFIER_OUTPUTS = 2  # label, probabilities: what converters of classifiers give
_CLASSES = 2
_MATRIX = 2


@dataclass(frozen=True)
class OnnxModel:
    """A session and where its answer stands among the outputs."""

    session: onnxruntime.InferenceSession
    source: bytes
    input: str
    output: str
    classifies: bool


class OnnxFramework:
    """Models in ONNX form with one float32 input of the shape (n, k).

    A classifier gives its label and the probabilities (n, classes), as a tensor or as maps; a regressor one tensor, (n,) or
    (n, 1). Each model runs on one thread: processes are what scales.
    """

    name = "onnxruntime"

    def owns(self, model: object) -> bool:
        """Return whether `model` was loaded here."""
        return isinstance(model, OnnxModel)

    def save(self, model: object, to: Path) -> None:
        """Write the model's ONNX bytes."""
        to.write_bytes(_own(model).source)

    def load(self, path: Path) -> OnnxModel:
        """Read an ONNX file.

        Raises
        ------
        Problem
            `model.invalid` when it is none, or has other inputs than one float32 matrix.
        """
        source = path.read_bytes()
        try:
            session = onnxruntime.InferenceSession(source, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise _invalid(_first_line(error)) from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise _invalid("its inputs are " + (", ".join(f"{one.name}: {one.type}" for one in inputs) or "none"))
        classifies = len(outputs) == _CLASSIFIER_OUTPUTS
        return OnnxModel(session, source, inputs[0].name, outputs[-1].name, classifies)

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities (classifiers) or values (regressors); see the port."""
        own = _own(model)
        [found] = own.session.run([own.output], {own.input: features})
        answers = _matrix(found) if isinstance(found, list) else np.asarray(found, dtype=np.float64)
        if answers.ndim != _MATRIX:
            return answers
        if answers.shape[1] == 1:
            return answers[:, 0]
        return answers[:, 1] if own.classifies and answers.shape[1] == _CLASSES else answers

    def to_onnx(self, model: object, features: int) -> bytes:
        """Return the bytes that were loaded: they are ONNX."""
        return _own(model).source

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        """Return no thresholds: an ONNX file that comes by itself has no other form to be held against."""
        return [np.empty(0, dtype=np.float32) for _ in range(features)]


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _own(model: object) -> OnnxModel:
    if not isinstance(model, OnnxModel):
        raise _invalid(f"it is a {type(model).__name__}")
    return model


def _matrix(maps: Sequence[dict[Any, float]]) -> NDArray[np.float64]:
    classes = sorted(maps[0]) if maps else []
    return np.asarray([[row[one] for one in classes] for row in maps], dtype=np.float64)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__


def _invalid(why: str) -> Problem:
    return Problem("model.invalid", "The model is no ONNX model that can be served", why, "register the run again")
