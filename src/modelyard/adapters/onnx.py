"""ONNX Runtime behind the framework port: the form that serves, whichever framework trained it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Read at its import: else ONNX Runtime reports home and keeps files outside of ours (docs/decisions/0009).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from modelyard.core import Problem, first_line
from modelyard.data import Column
from modelyard.data.cell import Cell

ELEMENTS: Mapping[str, str] = MappingProxyType(
    {
        "tensor(float16)": "Float16",
        "tensor(float)": "Float32",
        "tensor(double)": "Float64",
        "tensor(int8)": "Int8",
        "tensor(int16)": "Int16",
        "tensor(int32)": "Int32",
        "tensor(int64)": "Int64",
        "tensor(uint8)": "UInt8",
        "tensor(uint16)": "UInt16",
        "tensor(uint32)": "UInt32",
        "tensor(uint64)": "UInt64",
        "tensor(bool)": "Boolean",
        "tensor(string)": "String",
    }
)
_CLASSIFIER_OUTPUTS = 2  # label, probabilities: what converters of classifiers give
_CLASSES = 2
_MATRIX = 2


@dataclass(frozen=True)
class OnnxModel:
    """A session, and how it is asked.

    Parameters
    ----------
    input, output
        Of a model of one float32 matrix: the matrix, and where its answer stands among the outputs.
    matrix
        Whether it is such a model.
    single
        Whether it takes exactly one row at a time, as models are exported whose number of rows was fixed.
    tall
        Inputs of one value a row that it takes in the shape (n, 1).
    outputs
        The names of all.
    """

    session: onnxruntime.InferenceSession
    source: bytes
    input: str
    output: str
    classifies: bool
    matrix: bool
    single: bool
    tall: frozenset[str]
    outputs: tuple[str, ...]


class OnnxFramework:
    """Models in ONNX form. Each runs on one thread: processes are what scales.

    `predict` asks those with one float32 input of the shape (n, k): a classifier gives its label and the probabilities
    (n, classes), as a tensor or as maps; a regressor one tensor, (n,) or (n, 1). `run` asks those of any inputs.
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
            `model.invalid` when it is none, or keeps its weights outside of the file.
        """
        source = path.read_bytes()
        try:
            session = onnxruntime.InferenceSession(source, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise _invalid(first_line(error)) from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        return OnnxModel(
            session,
            source,
            input=inputs[0].name if inputs else "",
            output=outputs[-1].name,
            classifies=len(outputs) == _CLASSIFIER_OUTPUTS,
            matrix=len(inputs) == 1 and inputs[0].type == "tensor(float)",
            single=any(one.shape and one.shape[0] == 1 for one in inputs),
            tall=frozenset(one.name for one in inputs if one.shape[1:] == [1]),
            outputs=tuple(one.name for one in outputs),
        )

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities (classifiers) or values (regressors); see the port.

        Raises
        ------
        Problem
            `model.invalid` for a model of other inputs than one float32 matrix.
        """
        own = _own(model)
        if not own.matrix:
            taken = (f"{one.name}: {one.type}" for one in own.session.get_inputs())
            raise _invalid("its inputs are " + (", ".join(taken) or "none"))
        [found] = own.session.run([own.output], {own.input: features})
        answers = _matrix(found) if isinstance(found, list) else np.asarray(found, dtype=np.float64)
        if answers.ndim != _MATRIX:
            return answers
        if answers.shape[1] == 1:
            return answers[:, 0]
        return answers[:, 1] if own.classifies and answers.shape[1] == _CLASSES else answers

    def describe(self, model: object) -> tuple[Column, ...]:
        """Return the inputs of a model, the first axis of each being the rows.

        Raises
        ------
        Problem
            `model.invalid` for an input that has no rows, takes a fixed number of them other than one, or is no tensor of
            numbers, truth values or texts; and for a model without inputs.
        """
        inputs = _own(model).session.get_inputs()
        if not inputs:
            raise _invalid("it has no inputs")
        return tuple(_column(one) for one in inputs)

    def run(self, model: object, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Return the model's outputs. One that is a map by class becomes an output for each class: `probability.setosa`."""
        own = _own(model)
        if not own.single:
            return dict(_outputs(own, inputs))
        rows = len(next(iter(inputs.values())))
        parts = [dict(_outputs(own, {k: v[row : row + 1] for k, v in inputs.items()})) for row in range(rows)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def to_onnx(self, model: object, features: int) -> bytes:
        """Return the bytes that were loaded: they are ONNX."""
        return _own(model).source

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        """Return no thresholds: an ONNX file that comes by itself has no other form to be held against."""
        return [np.empty(0, dtype=np.float32) for _ in range(features)]


def _column(one: onnxruntime.NodeArg) -> Column:
    element = ELEMENTS.get(one.type)
    if element is None:
        raise _invalid(f"its input '{one.name}' is {one.type}")
    if not one.shape:
        raise _invalid(f"its input '{one.name}' has no rows: it is one value for all of them")
    if isinstance(one.shape[0], int) and one.shape[0] != 1:
        raise _invalid(
            f"its input '{one.name}' takes exactly {one.shape[0]} rows", "export it again with a free first axis, or with 1"
        )
    shape = tuple(size if isinstance(size, int) else None for size in one.shape[1:])
    return Column(one.name, str(Cell(element, () if shape == (1,) else shape)))


def _outputs(model: OnnxModel, inputs: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    if model.tall:
        inputs = {name: values[:, None] if name in model.tall else values for name, values in inputs.items()}
    for name, found in zip(model.outputs, model.session.run(None, inputs), strict=True):
        if not isinstance(found, list):
            yield name, found
        elif found and isinstance(found[0], Mapping):
            for key in found[0]:
                yield f"{name}.{key}", np.array([row[key] for row in found], dtype=np.float32)
        else:
            raise _invalid(f"its output '{name}' is a list of tensors")


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights may name a file of their own, which is else looked for in the working folder: a stranger's model would read there.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/dev/null")
    return options


def _own(model: object) -> OnnxModel:
    if not isinstance(model, OnnxModel):
        raise _invalid(f"it is a {type(model).__name__}")
    return model


def _matrix(maps: Sequence[dict[Any, float]]) -> NDArray[np.float64]:
    classes = sorted(maps[0]) if maps else []
    return np.asarray([[row[one] for one in classes] for row in maps], dtype=np.float64)


def _invalid(why: str, step: str = "make it again") -> Problem:
    return Problem("model.invalid", "The model is no ONNX model that can be served", why, step)
