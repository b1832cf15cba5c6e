"""LightGBM's models under the contract, and beside their ONNX forms at the edges of their splits."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from modelyard.adapters.lightgbm import LightgbmFramework
from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import Problem
from modelyard.runner.steps.forms import PARITY, edge_rows
from modelyard.testing.framework import Example, FrameworkContract
from modelyard.training import Framework

FRAMEWORK = LightgbmFramework()
DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(400, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] * ROWS[:, 1] > 0).astype(int)
CLASSES = np.digitize(ROWS[:, 0], [-0.5, 0.5])
GAPS = np.where(DRAW.random(ROWS.shape) < 0.1, np.float32(np.nan), ROWS)


def boosted(rows: "np.ndarray[Any, Any]" = ROWS, **rest: Any) -> lightgbm.LGBMClassifier:
    return lightgbm.LGBMClassifier(**{"n_estimators": 20, "n_jobs": 1, "random_state": 0, "verbose": -1, **rest}).fit(
        rows, LABELS
    )


class TestContract(FrameworkContract):
    @pytest.fixture
    def framework(self) -> Framework:
        return FRAMEWORK

    @pytest.fixture
    def runtime(self) -> Framework:
        return OnnxFramework()

    @pytest.fixture
    def examples(self, tmp_path: Path) -> Mapping[str, Example]:
        classes = lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1).fit(ROWS, CLASSES)
        value = lightgbm.LGBMRegressor(n_estimators=8, n_jobs=1, verbose=-1).fit(ROWS, ROWS[:, 0])
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
    assert (tmp_path / "model").read_bytes().startswith(b"tree\n")
    found = FRAMEWORK.predict(FRAMEWORK.load(tmp_path / "model"), GAPS)
    assert np.array_equal(found, np.asarray(model.predict_proba(GAPS))[:, 1])


def test_only_the_rounds_before_an_early_stop_count(tmp_path: Path) -> None:
    stop = lightgbm.early_stopping(3, verbose=False)
    model = lightgbm.LGBMClassifier(n_estimators=200, n_jobs=1, learning_rate=1.0, verbose=-1)
    model.fit(ROWS[:200], LABELS[:200], eval_X=ROWS[200:], eval_y=LABELS[200:], callbacks=[stop])
    assert model.best_iteration_ < 100
    FRAMEWORK.save(model, tmp_path / "model")
    again = FRAMEWORK.load(tmp_path / "model")
    assert np.allclose(FRAMEWORK.predict(again, ROWS), np.asarray(model.predict_proba(ROWS))[:, 1], atol=1e-12)
    assert apart(again, tmp_path, ROWS) <= PARITY


@pytest.mark.parametrize(
    ("field", "value"),
    [("split_feature", "4"), ("left_child", "0"), ("left_child", "999"), ("right_child", "-999"), ("num_leaves", "3")],
)
def test_trees_that_lead_outside_of_themselves_are_refused(tmp_path: Path, field: str, value: str) -> None:
    FRAMEWORK.save(boosted(), tmp_path / "model")
    source = (tmp_path / "model").read_text()
    (tmp_path / "model").write_text(re.sub(rf"(?m)^{field}=-?\d+", f"{field}={value}", re.sub("tree_sizes=.*\n", "", source)))
    with pytest.raises(Problem, match="outside of itself") as told:
        FRAMEWORK.load(tmp_path / "model")
    assert told.value.code == "model.invalid"


def test_splits_by_categories_are_read_too(tmp_path: Path) -> None:
    places = DRAW.integers(0, 6, size=(400, 1)).astype(np.float32)
    rows = np.concatenate([ROWS, places], axis=1)
    labels = np.isin(places[:, 0], (1, 4)).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(rows, labels, categorical_feature=[4])
    FRAMEWORK.save(model, tmp_path / "model")
    assert "cat_threshold" in (tmp_path / "model").read_text()
    found = FRAMEWORK.predict(FRAMEWORK.load(tmp_path / "model"), rows)
    assert np.array_equal(found, np.asarray(model.predict_proba(rows))[:, 1])


def test_an_unfitted_estimator_is_not_taken() -> None:
    assert not FRAMEWORK.owns(lightgbm.LGBMClassifier())


@pytest.mark.parametrize("content", [b"tree\n", b"tree\n\nend of trees\n", b"tree\nversion=v4\nnum_class=x\n\nend of trees\n"])
def test_a_text_that_is_no_model_is_refused(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(Problem) as told:
        FRAMEWORK.load(tmp_path / "model")
    assert told.value.code == "model.invalid"
    capfd.readouterr()
