"""scikit-learn's models under the contract, and archives that would run code."""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from modelyard.adapters.onnx import OnnxFramework
from modelyard.adapters.sklearn import SklearnFramework
from modelyard.core import Problem
from modelyard.runner.steps.forms import edge_rows
from modelyard.testing.framework import Example, FrameworkContract, rejected
from modelyard.training import Framework

FRAMEWORK = SklearnFramework()
DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(400, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] * ROWS[:, 1] > 0).astype(float)
LINEAR = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)


def boosted(rows: "np.ndarray[Any, Any]" = ROWS) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=8, random_state=0).fit(rows, LABELS)


class TestContract(FrameworkContract):
    @pytest.fixture
    def framework(self) -> Framework:
        return FRAMEWORK

    @pytest.fixture
    def runtime(self) -> Framework:
        return OnnxFramework()

    @pytest.fixture
    def examples(self, tmp_path: Path) -> Mapping[str, Example]:
        classes = LogisticRegression().fit(ROWS, np.digitize(ROWS[:, 0], [-0.5, 0.5]))
        value = HistGradientBoostingRegressor(max_iter=8).fit(ROWS, ROWS[:, 0])
        return {"binary": Example(boosted(), ROWS), "classes": Example(classes, ROWS), "value": Example(value, ROWS)}


class TestOnnxContract(FrameworkContract):
    """The same promises of ONNX Runtime, for the forms that scikit-learn's models have there."""

    @pytest.fixture
    def framework(self) -> Framework:
        return OnnxFramework()

    @pytest.fixture
    def runtime(self) -> Framework:
        return OnnxFramework()

    @pytest.fixture
    def examples(self, tmp_path: Path) -> Mapping[str, Example]:
        native = TestContract.examples.__wrapped__(self, tmp_path)  # type: ignore[attr-defined]
        found = {}
        for name, one in native.items():
            (tmp_path / f"{name}.onnx").write_bytes(FRAMEWORK.to_onnx(one.model, 4))
            found[name] = Example(OnnxFramework().load(tmp_path / f"{name}.onnx"), one.rows)
        return found


@pytest.mark.parametrize(
    "model",
    [boosted(), LINEAR, GradientBoostingClassifier(n_estimators=5).fit(ROWS, LABELS)],
    ids=lambda model: type(model).__name__,
)
def test_the_onnx_form_equals_the_native_one_on_rows_beside_every_split(model: Any, tmp_path: Path) -> None:
    thresholds = FRAMEWORK.thresholds(model, 4)
    rows = np.concatenate([ROWS, edge_rows(ROWS, thresholds)])
    if isinstance(model, GradientBoostingClassifier):  # it takes no nulls
        rows = rows[~np.isnan(rows).any(axis=1)]
    assert worst(model, rows, tmp_path) <= 1e-6


def worst(model: Any, rows: "np.ndarray[Any, Any]", folder: Path) -> float:
    """Return by how much the ONNX form differs from the native one at most."""
    (folder / "model").write_bytes(FRAMEWORK.to_onnx(model, 4))
    onnx = OnnxFramework()
    return float(np.abs(onnx.predict(onnx.load(folder / "model"), rows) - FRAMEWORK.predict(model, rows)).max())


def test_trees_fitted_on_float64_send_float32_rows_the_same_way_in_both_forms(tmp_path: Path) -> None:
    exact = DRAW.normal(size=(400, 4))  # its splits lie between two neighbouring float32
    model = boosted(exact)
    assert worst(model, edge_rows(ROWS, FRAMEWORK.thresholds(model, 4)), tmp_path) <= 1e-6
    assert np.array_equal(FRAMEWORK.predict(model, ROWS), model.predict_proba(ROWS)[:, 1]), "the model stays as it was"


def test_rows_beside_splits_show_what_held_out_rows_do_not(tmp_path: Path) -> None:
    tree = DecisionTreeClassifier(max_depth=6, random_state=0).fit(ROWS, LABELS)  # it and ONNX Runtime differ on nulls
    assert worst(tree, ROWS, tmp_path) <= 1e-6
    assert worst(tree, edge_rows(ROWS, FRAMEWORK.thresholds(tree, 4)), tmp_path) > 1e-3


def test_every_tree_of_a_forest_tells_its_splits() -> None:
    forest = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0).fit(ROWS, LABELS)
    told = FRAMEWORK.thresholds(forest, 4)
    wanted = {
        (int(feature), np.float32(value))
        for one in forest.estimators_
        for feature, value in zip(one.tree_.feature, one.tree_.threshold, strict=True)
        if feature >= 0
    }
    assert {(feature, value) for feature, values in enumerate(told) for value in values} == wanted


def test_every_feature_has_its_share_of_the_rows_beside_splits() -> None:
    thresholds = [np.linspace(-3, 3, 900, dtype=np.float32) for _ in range(100)]
    rows = np.zeros((10, 100), dtype=np.float32)
    found = edge_rows(rows, thresholds)
    assert len(found) <= 20_000
    touched = (found != 0) | np.isnan(found)
    assert touched.any(axis=0).all()
    assert np.isnan(found).any(axis=0).all()
    assert np.array_equal(found, edge_rows(rows, thresholds), equal_nan=True)


def test_a_model_that_onnx_cannot_hold_is_told_so() -> None:
    model = make_pipeline(FunctionTransformer(np.cbrt), LogisticRegression()).fit(ROWS, LABELS)
    with pytest.raises(Problem) as told, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FRAMEWORK.to_onnx(model, 4)
    assert told.value.code == "model.invalid"
    assert told.value.next_step == "it is served in its native form"


class Own(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator that no server knows."""

    def fit(self, rows: Any, labels: Any) -> "Own":
        self.classes_ = np.unique(labels)
        return self

    def predict(self, rows: Any) -> Any:
        return np.zeros(len(rows))


def test_a_type_outside_the_trust_list_is_refused_by_name(tmp_path: Path) -> None:
    FRAMEWORK.save(Own().fit(ROWS, LABELS), tmp_path / "own")
    with pytest.raises(Problem, match=r"test_sklearn\.Own") as told:
        FRAMEWORK.load(tmp_path / "own")
    assert told.value.code == "model.refused"


def test_an_archive_that_carries_a_call_is_refused(tmp_path: Path) -> None:
    FRAMEWORK.save(FunctionTransformer(os.system), tmp_path / "call")
    with pytest.raises(Problem, match=r"posix\.system") as told:
        FRAMEWORK.load(tmp_path / "call")
    assert told.value.code == "model.refused"


HOSTILE = (
    {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "system"},
    {"__class__": "mkdir", "__module__": "os", "__loader__": "ObjectNode", "content": None},
    {"__class__": "mkdir", "__module__": "os", "__loader__": "TypeNode", "content": None},
    {"__class__": "Popen", "__module__": "subprocess", "__loader__": "ObjectNode", "content": None},
    {"__class__": "str", "__module__": "builtins", "__loader__": "NoSuchNode", "content": "x"},
    {"__class__": "loads", "__module__": "pickle", "__loader__": "FunctionNode", "content": "loads"},
)  # fmt: skip


@pytest.mark.parametrize("node", HOSTILE, ids=lambda node: f"{node['__loader__']}-{node['__class__']}")
def test_an_archive_rewritten_by_hand_runs_nothing(
    tmp_path: Path, node: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for module, name in (("os", "system"), ("os", "mkdir"), ("subprocess", "Popen"), ("pickle", "loads")):
        monkeypatch.setattr(f"{module}.{name}", lambda *a, called=called, name=name, **k: called.append(name))
    skops.io.dump(LogisticRegression(C=2.0), tmp_path / "plain")
    with ZipFile(tmp_path / "plain") as archive:
        schema = json.loads(archive.read("schema.json"))
    content = schema["content"]["content"]
    content["C"] = {"__id__": 1, **node}
    with ZipFile(tmp_path / "hostile", "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    assert rejected(FRAMEWORK, tmp_path / "hostile") in ("model.refused", "model.invalid")
    assert called == []
