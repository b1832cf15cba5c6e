"""PyTorch behind the framework port: networks over one matrix of features, kept as ONNX from the moment they are trained.

A `torch.export` archive is no format to keep: loading one unpickles, evaluates expressions and calls the functions it names.
ONNX does none of that, and a server needs no PyTorch for it. So what a trainer returns is exported once, and held against the
network; from then on the exported model is the model: what is measured, kept and served is one and the same.
"""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at its import, see docs/decisions/0009

import onnxruntime

from modelyard.core import Problem, first_line
from modelyard.training.matrix import FEATURES, MatrixFramework

_MATRIX = 2
_ROWS = 64
SAME = 1e-5  # of an answer, to its size: single precision, in sums of another order


@dataclass(frozen=True)
class TorchModel:
    """A network as it was exported."""

    session: onnxruntime.InferenceSession
    source: bytes
    features: int | None


class TorchFramework(MatrixFramework):
    """`torch.nn.Module`s over a matrix of features, and programs that `torch.export.export` made of them.

    A network ends in what it is to answer with: a sigmoid (n, 1) or (n,), a softmax (n, classes), or a value. It is put into
    evaluation mode. Each model runs on one thread: processes are what scales.
    """

    name = "torch"

    def __init__(self) -> None:
        self._exported: WeakKeyDictionary[Any, TorchModel] = WeakKeyDictionary()

    def owns(self, model: object) -> bool:
        """Return whether `model` is a network, an exported program, or was loaded here."""
        torch = sys.modules.get("torch")  # where nobody has imported it, nothing is of it
        return isinstance(model, TorchModel) or (
            torch is not None and isinstance(model, torch.nn.Module | torch.export.ExportedProgram)
        )

    def save(self, model: object, to: Path) -> None:
        """Write the model as ONNX.

        Raises
        ------
        Problem
            `model.invalid` when it cannot be exported, or answers otherwise then.
        """
        to.write_bytes(self._own(model).source)

    def load(self, path: Path) -> object:
        """Read what `save` wrote. Problem `model.invalid` for any other file."""
        return _opened(path.read_bytes())

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what the network ends in, as float64: (n,), or (n, classes) with more than one."""
        own = self._own(model)
        [found, *_] = own.session.run(None, {own.session.get_inputs()[0].name: features})
        answers = np.asarray(found, dtype=np.float64)
        return answers[:, 0] if answers.ndim == _MATRIX and answers.shape[1] == 1 else answers

    def to_onnx(self, model: object, features: int) -> bytes:
        """Return the model as it was exported."""
        return self._own(model).source

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        """Return no thresholds: there is one form only."""
        return [np.empty(0, dtype=np.float32) for _ in range(features)]

    def width(self, model: object) -> int | None:
        """Return how many features a model takes; None where it does not say."""
        return self._own(model).features

    def _own(self, model: object) -> TorchModel:
        if isinstance(model, TorchModel):
            return model
        if not self.owns(model):
            raise _invalid(f"it is a {type(model).__name__}", "return a torch.nn.Module")
        if model not in self._exported:
            self._exported[model] = _exported(model)
        return self._exported[model]


def _exported(model: Any) -> TorchModel:
    import torch

    program = model if isinstance(model, torch.export.ExportedProgram) else _program(model)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), _silenced("torch.onnx"):
            warnings.simplefilter("ignore")  # the exporter's own
            made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=[FEATURES])
        source = bytes(made.model_proto.SerializeToString())
    except Exception as error:  # the exporter raises a dozen kinds for one cause
        raise _invalid(f"it cannot be exported to ONNX ({first_line(error)})", "use operations that ONNX has") from error
    kept = _opened(source)
    if kept.features is None:
        raise _invalid("it does not take one matrix (rows, features)", "put what comes before into the pipeline")
    rows = np.random.default_rng(0).normal(size=(_ROWS, kept.features)).astype(np.float32)
    with torch.inference_mode():
        told = program.module()(torch.from_numpy(rows)).detach().numpy()
    [found, *_] = kept.session.run(None, {kept.session.get_inputs()[0].name: rows})
    if found.shape != told.shape or not np.allclose(found, told, rtol=SAME, atol=SAME):
        raise _invalid("its ONNX form answers otherwise than the network", "use operations that ONNX has")
    return kept


def _program(network: Any) -> Any:
    """Return a network as a program over any number of rows; its first weights say how many features it takes."""
    import torch

    width = next((one.shape[1] for one in network.parameters() if one.ndim == _MATRIX), None)
    if width is None:
        raise _invalid(
            "none of its weights is a matrix, which would say how many features it takes", "return torch.export.export(…)"
        )
    rows = {0: torch.export.Dim("rows", min=1)}
    try:
        return torch.export.export(network.eval().cpu(), (torch.zeros(_ROWS, width),), dynamic_shapes=(rows,))
    except Exception as error:
        raise _invalid(f"it cannot be exported ({first_line(error)})", "see torch.export.export") from error


def _opened(source: bytes) -> TorchModel:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/dev/null")  # as in `onnx`
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise _invalid(first_line(error), "register the run again") from error
    shapes = [one.shape for one in session.get_inputs()]
    width = shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == _MATRIX else None
    return TorchModel(session, source, width if isinstance(width, int) else None)


@contextmanager
def _silenced(name: str) -> Iterator[None]:
    """Keep a logger from warning."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _invalid(why: str, step: str) -> Problem:
    return Problem("model.invalid", "The network cannot be kept", why, step)
