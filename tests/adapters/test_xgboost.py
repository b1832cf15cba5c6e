"""XGBoost's models under the contract, and beside their ONNX forms at the edges of their splits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from modelyard.adapters.onnx import OnnxFramework
from modelyard.adapters.xgboost import XgboostFramework
from modelyard.core import Problem
from modelyard.runner.steps.forms import PARITY, edge_rows
from modelyard.testing.framework import Example, FrameworkContract
from modelyard.training import Framework

FRAMEWORK = XgboostFramework()
DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(400, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] * ROWS[:, 1] > 0).astype(int)
CLASSES = np.digitize(ROWS[:, 0], [-0.5, 0.5])
GAPS = np.where(DRAW.random(ROWS.shape) < 0.1, np.float32(np.nan), ROWS)


def boosted(rows: "np.ndarray[Any, Any]" = ROWS, **rest: Any) -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(**{"n_estimators": 20, "n_jobs": 1, "random_state": 0, **rest}).fit(rows, LABELS)


class TestContract(FrameworkContract):
    @pytest.fixture
    def framework(self) -> Framework:
        return FRAMEWORK

    @pytest.fixture
    def runtime(self) -> Framework:
        return OnnxFramework()

    @pytest.fixture
    def examples(self, tmp_path: Path) -> Mapping[str, Example]:
        classes = xgboost.XGBClassifier(n_estimators=8, n_jobs=1).fit(ROWS, CLASSES)
        value = xgboost.XGBRegressor(n_estimators=8, n_jobs=1).fit(ROWS, ROWS[:, 0])
        return {"binary": Example(boosted(), ROWS), "classes": Example(classes, ROWS), "value": Example(value, ROWS)}


def apart(model: object, tmp_path: Path, rows: "np.ndarray[Any, Any]") -> float:
    """Return how far the ONNX form is from the native one on rows and beside the splits."""
    (tmp_path / "model.onnx").write_bytes(FRAMEWORK.to_onnx(model, rows.shape[1]))
    runtime = OnnxFramework()
    asked = np.concatenate([rows, edge_rows(rows, FRAMEWORK.thresholds(model, rows.shape[1]))])
    assert len(asked) > len(rows)
    found = runtime.predict(runtime.load(tmp_path / "model.onnx"), asked)
    return float(np.abs(found - FRAMEWORK.predict(model, asked)).max())


@pytest.mark.parametrize("rows", [ROWS, GAPS], ids=["whole rows", "rows with gaps"])
@pytest.mark.parametrize("trees", [20, 200])
def test_the_onnx_form_goes_the_same_ways_beside_every_split(tmp_path: Path, rows: "np.ndarray[Any, Any]", trees: int) -> None:
    assert apart(boosted(rows, n_estimators=trees), tmp_path, rows) <= PARITY


def test_a_kept_model_answers_as_the_estimator_does(tmp_path: Path) -> None:
    model = boosted(GAPS)
    FRAMEWORK.save(model, tmp_path / "model")
    assert (tmp_path / "model").read_bytes().startswith(b'{"learner"')
    found = FRAMEWORK.predict(FRAMEWORK.load(tmp_path / "model"), GAPS)
    assert np.array_equal(found.astype(np.float32), model.predict_proba(GAPS)[:, 1])


def test_only_the_rounds_before_an_early_stop_count(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=200, early_stopping_rounds=3, n_jobs=1, learning_rate=1.0)
    model.fit(ROWS[:200], LABELS[:200], eval_set=[(ROWS[200:], LABELS[200:])], verbose=False)
    assert model.best_iteration < 100
    FRAMEWORK.save(model, tmp_path / "model")
    again = FRAMEWORK.load(tmp_path / "model")
    assert np.allclose(FRAMEWORK.predict(again, ROWS), model.predict_proba(ROWS)[:, 1], atol=1e-7)
    assert apart(again, tmp_path, ROWS) <= PARITY


@pytest.mark.parametrize("booster", ["dart", "gblinear"])
def test_other_boosters_answer_too(tmp_path: Path, booster: str) -> None:
    model = boosted(booster=booster)
    FRAMEWORK.save(model, tmp_path / "model")
    found = FRAMEWORK.predict(FRAMEWORK.load(tmp_path / "model"), ROWS)
    assert np.allclose(found, model.predict_proba(ROWS)[:, 1], atol=1e-6)
    assert len(FRAMEWORK.thresholds(model, 4)) == 4


def test_an_objective_of_labels_gives_shares() -> None:
    matrix = xgboost.DMatrix(ROWS, CLASSES)
    model = xgboost.train({"objective": "multi:softmax", "num_class": 3, "nthread": 1}, matrix, 8)
    twin = xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, matrix, 8)
    assert np.allclose(FRAMEWORK.predict(model, ROWS), FRAMEWORK.predict(twin, ROWS), atol=1e-6)
    assert FRAMEWORK.width(model) == 4


@pytest.mark.parametrize(
    ("field", "place", "value"),
    [
        ("split_indices", 0, 4),
        ("split_indices", 0, -1),
        ("left_children", 0, 10_000),
        ("left_children", 0, 0),
        ("right_children", 0, 1),
    ],
)
def test_trees_that_lead_outside_of_themselves_are_refused(tmp_path: Path, field: str, place: int, value: int) -> None:
    FRAMEWORK.save(boosted(), tmp_path / "model")
    document = json.loads((tmp_path / "model").read_bytes())
    document["learner"]["gradient_booster"]["model"]["trees"][3][field][place] = value
    (tmp_path / "model").write_text(json.dumps(document))
    with pytest.raises(Problem) as told:
        FRAMEWORK.load(tmp_path / "model")
    assert told.value.code == "model.invalid"


def test_an_unfitted_estimator_is_not_taken() -> None:
    assert not FRAMEWORK.owns(xgboost.XGBClassifier())


@pytest.mark.parametrize("content", [b"{}", b"{", b'{"a": 1}', b"{L\x00\x00\x00\x00\x00\x00\x00\x02{}"])
def test_json_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(Problem) as told:
        FRAMEWORK.load(tmp_path / "model")
    assert told.value.code == "model.invalid"
