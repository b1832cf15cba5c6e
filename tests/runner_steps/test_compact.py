"""Registration keeps a network in eight bits where that is nearly the native model, and nothing else in that form."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import Problem
from modelyard.registry import Condition, ConditionKind, Gate, ModelVersion
from modelyard.registry.rules import chosen_form
from modelyard.registry.service import evaluate_gate, get_version, set_gate
from modelyard.runner.steps import forms
from modelyard.serving.infer import load_version
from modelyard.serving.service import served_form
from modelyard.training import Run
from tests.runner_steps.place import START, Place, trips

INT8 = "onnx-int8"


def network(run: Any, fit: Any, test: Any) -> Any:
    """Return a network that says how likely it is."""
    return MLPClassifier((64, 64), tol=0.01, n_iter_no_change=3, random_state=0).fit(fit.X, fit.y)


def network_of_values(run: Any, fit: Any, test: Any) -> Any:
    """Return a network for a value."""
    return MLPRegressor(hidden_layer_sizes=(64, 64), tol=0.01, n_iter_no_change=3, random_state=0).fit(fit.X, fit.y)


@pytest.fixture
def run(place: Place) -> Run:
    return place.trained(network)


def answers(place: Place, version: ModelVersion, form: str, rows: pl.DataFrame) -> Any:
    """Return what a version answers by a form."""
    with place.platform.reading() as tx:
        served = served_form(tx, version, form)
    assert served.form == form
    return load_version(place.platform, place.project, served, place.scratch / form).infer(rows)["probability"]


def test_a_network_gets_it_and_it_answers_only_where_it_is_named(place: Place, run: Run) -> None:
    version = place.registered(run, "net")
    native, onnx, int8 = version.forms
    assert [native.name, onnx.name, int8.name] == ["native", "onnx", INT8]
    assert [one.approximate for one in version.forms] == [False, False, True]
    assert int8.size_bytes < onnx.size_bytes
    assert int8.framework == "onnxruntime"
    assert int8.rows_compared > 300, "rows at the ends of ranges are compared too"
    assert 1e-6 < int8.max_abs_diff <= int8.tolerance == 0.02
    assert onnx.max_abs_diff <= onnx.tolerance == 1e-6
    swift = replace(version, forms=(native, onnx, replace(int8, latency_us=0.1)))
    assert chosen_form(swift) != swift.forms[2]
    assert chosen_form(swift, INT8) == swift.forms[2]
    card = place.card(version)
    assert "| onnx-int8 |" in card
    assert "| 0.02 |" in card
    assert "--form onnx-int8" in card


def test_each_row_is_answered_alone_as_among_others_and_near_the_native_answer(place: Place, run: Run) -> None:
    version = place.registered(run, "net")
    rows = trips(200, START, seed=9)
    together, native = answers(place, version, INT8, rows), answers(place, version, "native", rows)
    alone = np.concatenate([answers(place, version, INT8, rows[row]) for row in range(40)])
    assert np.array_equal(alone, together[:40])
    assert 0 < np.abs(together - native).max() <= 0.02


def test_a_row_with_a_gap_is_refused_as_by_the_other_form(place: Place, run: Run) -> None:
    version = place.registered(run, "net")
    gap = trips(2, START).with_columns(wind=pl.lit(None, dtype=pl.Float64))
    for form in ("onnx", INT8):
        with pytest.raises(Problem) as told:
            answers(place, version, form, gap)
        assert told.value.code == "row.invalid"


def test_it_makes_no_gate_red_or_green(place: Place, run: Run) -> None:
    version = place.registered(run, "net")
    fastest = min(form.latency_us or 0 for form in version.forms if not form.approximate)
    with place.platform.transaction() as tx:
        swift = tuple(replace(form, latency_us=fastest / 2) if form.approximate else form for form in version.forms)
        tx.models.save_versions(place.project, [replace(version, forms=swift)])
    for latency, passes in ((fastest, True), (fastest * 0.75, False)):
        set_gate(
            *place.who,
            "net",
            "champion",
            Gate((Condition(ConditionKind.PARITY, 1e-6), Condition(ConditionKind.LATENCY, latency))),
        )
        parity, speed = evaluate_gate(*place.who, "net", version.number, "champion").results
        assert parity.passed
        assert speed.passed is passes


@pytest.mark.parametrize("spoilt", ["far", "together"])
def test_one_that_answers_otherwise_is_not_kept(place: Place, run: Run, monkeypatch: pytest.MonkeyPatch, spoilt: str) -> None:
    honest = OnnxFramework.predict

    def spoil(self: Any, model: Any, features: Any) -> Any:
        found = honest(self, model, features)
        if b"QuantizeLinear" in model.source:
            found[0] += 0.03 if spoilt == "far" else 1e-4 * len(found)
        return found

    monkeypatch.setattr(OnnxFramework, "predict", spoil)
    assert [form.name for form in place.registered(run, "off").forms] == ["native", "onnx"]
    monkeypatch.undo()
    assert len(place.registered(run, "same").forms) == 3


def test_trees_have_none(place: Place) -> None:
    assert [form.name for form in get_version(*place.who, "late@1").forms] == ["native", "onnx"]


def test_a_regression_is_held_to_its_spread(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.data(trips(800, START).with_columns(late=pl.col("wind") / 10), "delays")
    run = place.trained(network_of_values, "delays", metric="rmse")
    assert [form.name for form in place.registered(run, "delay").forms] == ["native", "onnx"]
    monkeypatch.setattr(forms, "NEARLY", 10.0)
    int8 = place.registered(run, "delay").forms[2]
    assert 0.02 < int8.max_abs_diff / (int8.tolerance / 10.0) < 10.0
