"""ONNX Runtime's quantisation behind the compactor port: networks with their weights in whole numbers of eight bits.

The ranges of what flows between layers are fixed beforehand, on rows that stand for those to come. Ranges taken from each batch
would have a row's answer depend on the rows that it is asked with (docs/decisions/0023).
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at its import, see docs/decisions/0009

import onnxruntime

from modelyard.core import Problem, first_line

WEIGHTED = ("MatMul", "Gemm")
_MATRIX = 2
_OPSET = 13  # from which weights are scaled by column

Rows = NDArray[np.float32]


class Int8Compactor:
    """Static quantisation of matrix products with constant weights: each column of them with a scale of its own."""

    form = "onnx-int8"

    def compact(self, source: bytes, rows: Rows) -> bytes:
        """Return the model in eight bits. Where the source has no answer to a row with a gap, the result has none either.

        Raises
        ------
        Problem
            `model.invalid` when it has no such weights, or cannot be quantised.
        """
        try:
            model = onnx.load_from_string(source)
            weighted = _weighted(model)
            if not weighted or len(model.graph.input) != 1 or not len(rows):
                raise _invalid("there are no matrices of weights, or no rows to go by")
            taken = model.graph.input[0].name
            with TemporaryDirectory(prefix="modelyard-int8-") as folder:
                found = _quantised(model, weighted, _Calibration(taken, rows), Path(folder))
        except Problem:
            raise
        except Exception as error:  # those of protobuf and of the quantiser have no common base
            raise _invalid(first_line(error)) from error
        if _needs_whole_rows(source, taken, rows):
            _have_gaps_tell(found, taken)
        return bytes(found.SerializeToString())


class _Calibration:
    """The rows by which ranges are fixed, all at once: what the quantiser calls a `CalibrationDataReader`."""

    def __init__(self, name: str, rows: Rows) -> None:
        self._left = [{name: rows}]

    def get_next(self) -> dict[str, Rows] | None:
        """Return them the first time, and then nothing."""
        return self._left.pop() if self._left else None


def _weighted(model: ModelProto) -> list[str]:
    """Return the names of the products by constant matrices."""
    matrices = {one.name for one in model.graph.initializer if one.data_type == TensorProto.FLOAT and len(one.dims) == _MATRIX}
    for place, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{place}"
    return [node.name for node in model.graph.node if node.op_type in WEIGHTED and node.input[1] in matrices]


def _quantised(model: ModelProto, weighted: list[str], calibration: _Calibration, folder: Path) -> ModelProto:
    # Imported here: most models have no such weights, and end before.
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    opsets = {one.domain: one.version for one in model.opset_import}
    if opsets.get("", 0) < _OPSET:
        raise _invalid(f"it is of opset {opsets.get('', 0)}, and {_OPSET} is the least")
    quant_pre_process(model, folder / "shaped.onnx", skip_symbolic_shape=True, skip_optimization=True)
    quantize_static(
        folder / "shaped.onnx",
        folder / "compact.onnx",
        calibration,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(WEIGHTED),
        nodes_to_quantize=weighted,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibration_providers=["CPUExecutionProvider"],
    )
    return onnx.load(folder / "compact.onnx")


def _needs_whole_rows(source: bytes, taken: str, rows: Rows) -> bool:
    """Return whether a row with a gap has no finite answer; Problem `model.invalid` when that depends on where the gap is."""
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    gaps = np.repeat(rows[:1], rows.shape[1], axis=0)
    np.fill_diagonal(gaps, np.nan)
    answers = np.asarray(session.run([session.get_outputs()[-1].name], {taken: gaps})[0], dtype=np.float64)
    answered = np.isfinite(answers.reshape(len(gaps), -1)).all(axis=1)
    if answered.any() != answered.all():
        raise _invalid("it has answers to gaps in some of its features only")
    return not answered.any()


def _have_gaps_tell(model: ModelProto, taken: str) -> None:
    """Have each answer be NaN where its row has a gap: in eight bits there is no NaN, and a gap would pass for a number."""
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros(1, dtype=np.float32), "gap_zero"),
            numpy_helper.from_array(np.ones(1, dtype=np.int64), "gap_axis"),
        ]
    )
    graph.node.append(helper.make_node("Mul", [taken, "gap_zero"], ["gap_cells"], name="gap_cells"))
    for output in graph.output:
        kind = output.type.tensor_type
        if kind.elem_type != TensorProto.FLOAT:
            continue
        before, gap = f"{output.name}_whole", f"{output.name}_gap"
        for node in graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    names[place] = before if name == output.name else name
        keeps = int(len(kind.shape.dim) == _MATRIX)
        graph.node.append(helper.make_node("ReduceSum", ["gap_cells", "gap_axis"], [gap], name=gap, keepdims=keeps))
        graph.node.append(helper.make_node("Add", [before, gap], [output.name], name=f"{output.name}_told"))


def _invalid(why: str) -> Problem:
    return Problem("model.invalid", "The model has no form in eight bits", why, "it is served in its other forms")
