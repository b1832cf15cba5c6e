"""Networks in eight bits: what answers a row with a gap, and what none of it can be made of."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard.adapters.int8 import Int8Compactor
from modelyard.adapters.onnx import OnnxFramework
from modelyard.adapters.sklearn import SklearnFramework
from modelyard.core import Problem

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(600, 4)).astype(np.float32)
KINDS = np.digitize(ROWS[:, 0] + RNG.normal(size=600), [-0.5, 0.5])
COMPACTOR, RUNTIME, SKLEARN = Int8Compactor(), OnnxFramework(), SklearnFramework()


def fitted(*before: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it may not have converged
        return make_pipeline(*before, MLPClassifier((64, 64), max_iter=15, random_state=0)).fit(ROWS, KINDS)


def answers(source: bytes, rows: Any, folder: Path) -> Any:
    (folder / "model.onnx").write_bytes(source)
    return RUNTIME.predict(RUNTIME.load(folder / "model.onnx"), rows)


def flat_network() -> bytes:
    """Return a network whose answers have the shape (n,)."""
    weights = {"w": RNG.normal(size=(4, 64)), "v": RNG.normal(size=(64, 1))}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "v"], ["tall"]),
        helper.make_node("Squeeze", ["tall", "axis"], ["y"]),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [
            *(numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()),
            numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())


GAP = np.where(np.eye(4, dtype=bool), np.float32(np.nan), ROWS[:4])


@pytest.mark.parametrize("before", [[], [StandardScaler()]], ids=["plain", "scaled"])
def test_classes_are_told_nearly_as_before_and_a_gap_has_no_answer(before: list[Any], tmp_path: Path) -> None:
    source = SKLEARN.to_onnx(fitted(*before), 4)
    compact = COMPACTOR.compact(source, ROWS)
    assert len(compact) < len(source)
    found = answers(compact, ROWS, tmp_path)
    assert found.shape == (600, 3)
    assert 0 < np.abs(found - answers(source, ROWS, tmp_path)).max() < 0.05
    assert np.isnan(answers(compact, GAP, tmp_path)).all()


def test_a_gap_that_is_filled_has_an_answer(tmp_path: Path) -> None:
    source = SKLEARN.to_onnx(fitted(SimpleImputer()), 4)
    compact = COMPACTOR.compact(source, ROWS)
    assert np.abs(answers(compact, GAP, tmp_path) - answers(source, GAP, tmp_path)).max() < 0.05


def test_answers_without_a_second_axis_stay_so(tmp_path: Path) -> None:
    source = flat_network()
    compact = COMPACTOR.compact(source, ROWS)
    found, whole = answers(compact, ROWS, tmp_path), answers(source, ROWS, tmp_path)
    assert found.shape == (600,)
    assert np.abs(found - whole).max() < 0.05 * np.ptp(whole)
    assert np.isnan(answers(compact, GAP, tmp_path)).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: SKLEARN.to_onnx(LogisticRegression().fit(ROWS, KINDS), 4),
        lambda: SKLEARN.to_onnx(RandomForestClassifier(n_estimators=3).fit(ROWS, KINDS), 4),
        lambda: b"no model",
        lambda: b"",
    ],
    ids=["linear", "trees", "no model", "nothing"],
)
def test_what_has_no_weights_of_that_kind_has_no_such_form(make: Any) -> None:
    with pytest.raises(Problem) as told:
        COMPACTOR.compact(make(), ROWS)
    assert told.value.code == "model.invalid"


def test_without_rows_there_is_none() -> None:
    with pytest.raises(Problem) as told:
        COMPACTOR.compact(flat_network(), ROWS[:0])
    assert told.value.code == "model.invalid"
