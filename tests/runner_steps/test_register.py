"""The job `model.register`: forms within parity, latency, slices, card, checks; and the alias through its gate."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import PageRequest, Problem
from modelyard.data import Severity, quality
from modelyard.data.service import append, change_checks
from modelyard.registry import Condition, ConditionKind, Gate
from modelyard.registry.service import find_aliases, find_versions, get_version, request_registration, set_gate
from modelyard.training import Direction
from tests.runner_steps.place import ROWS, START, Place, trips

HELD_OUT = ROWS // 5


def a_tree(run: Any, fit: Any, test: Any) -> Any:
    """Return a tree, which goes another way than its ONNX form where a value is missing."""
    return DecisionTreeClassifier(max_depth=5, random_state=0).fit(fit.X, fit.y)


def linear(run: Any, fit: Any, test: Any) -> Any:
    """Return a model that takes no missing values."""
    return LogisticRegression().fit(fit.X, fit.y)


def regressing(run: Any, fit: Any, test: Any) -> Any:
    """Return a regression."""
    return HistGradientBoostingRegressor(max_iter=5).fit(fit.X, fit.y)


def with_classes(run: Any, fit: Any, test: Any) -> Any:
    """Return a model of three classes."""
    run.log(log_loss=0.5)
    return LogisticRegression().fit(fit.X, np.digitize(fit.X[:, 0], [-0.5, 0.5]))


def test_a_form_that_answers_alike_is_kept_and_everything_is_measured(place: Place) -> None:
    version = get_version(*place.who, "late@1")
    native, onnx = version.forms
    assert (native.name, native.framework, onnx.name, onnx.framework) == ("native", "sklearn", "onnx", "onnxruntime")
    assert onnx.rows_compared > HELD_OUT, "rows beside the splits are compared too"
    assert 0 <= onnx.max_abs_diff <= 1e-6
    for form in (native, onnx):
        assert form.latency_us is not None
        assert form.latency_us > 0
        [content] = place.platform.objects.get(place.project, [form.digest])
        assert len(content) == form.size_bytes
    assert (version.number, version.checks_green, version.refit_of) == (1, True, None)
    assert [(one.name, one.dtype) for one in version.signature.inputs] == [("wind", "Float64"), ("place", "String")]
    assert [(one.name, one.dtype) for one in version.signature.outputs] == [("probability", "Float64")]


def test_slices_are_the_values_of_texts_with_enough_held_out_rows_and_never_the_label(place: Place) -> None:
    version = get_version(*place.who, "late@1")
    assert {one.column for one in version.slices} == {"place"}
    assert all(one.rows >= 100 for one in version.slices)
    assert all({"log_loss", "brier"} <= set(one.metrics) for one in version.slices)


def test_the_card_tells_where_the_version_comes_from_and_how_good_it_is(place: Place) -> None:
    version = get_version(*place.who, "late@1")
    card = place.card(version)
    for words in (
        "Made by run 1 (train)",
        "from trips v1 (1,500 rows), seed 3",
        "## Metrics on held-out rows",
        f"| log_loss | {version.metrics['log_loss']:.4f} |",
        "| wind | Float64 |",
        "| onnx |",
        "| place = ",
        f"On {HELD_OUT} rows (held-out test split)",
    ):
        assert words in card


def test_the_registered_forms_answer_as_the_trainer_did(place: Place) -> None:
    version = get_version(*place.who, "late@1")
    rows = trips(50, START, seed=9)
    onnx = place.infer(version, rows)
    native = place.infer(replace(version, number=77, forms=version.forms[:1]), rows)
    assert np.abs(onnx - native).max() <= 1e-6


def test_a_form_that_differs_beside_the_splits_is_dropped_and_the_native_one_serves(place: Place) -> None:
    version = place.registered(place.trained(a_tree), "tree")
    assert [form.name for form in version.forms] == ["native"]
    assert version.forms[0].latency_us
    assert place.infer(version, trips(5, START)).shape == (5,)


def test_a_form_that_the_runtime_answers_differently_is_dropped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = place.trained()
    honest = OnnxFramework.predict

    def off(self: Any, model: object, features: Any) -> Any:
        found = honest(self, model, features)
        found[-1] += 2e-6
        return found

    monkeypatch.setattr(OnnxFramework, "predict", off)
    assert [form.name for form in place.registered(run, "off").forms] == ["native"]
    monkeypatch.setattr(OnnxFramework, "predict", lambda self, model, features: honest(self, model, features) * np.nan)
    assert [form.name for form in place.registered(run, "nan").forms] == ["native"]
    monkeypatch.undo()
    assert [form.name for form in place.registered(run, "same").forms] == ["native", "onnx"]


def test_a_model_that_takes_no_nulls_is_compared_without_them(place: Place) -> None:
    version = place.registered(place.trained(linear), "linear")
    assert [form.name for form in version.forms] == ["native", "onnx"]
    assert version.forms[1].rows_compared == HELD_OUT


def test_a_regression_and_a_model_of_many_classes_are_registered_and_served(place: Place) -> None:
    frame = trips(800, START).with_columns(late=pl.col("wind") * 2)
    place.data(frame, "delays")
    value = place.registered(place.trained(regressing, "delays", metric="rmse"), "delay")
    assert [one.name for one in value.signature.outputs] == ["value"]
    assert [form.name for form in value.forms] == ["native", "onnx"]
    assert "rmse" in value.metrics
    classes = place.registered(place.trained(with_classes), "classes")
    assert [one.name for one in classes.signature.outputs] == ["probability_0", "probability_1", "probability_2"]
    assert place.infer(value, frame.head(7)).shape == (7,)
    assert place.infer(classes, frame.head(7)).shape == (7, 3)


def test_rows_in_quarantine_do_not_speak_against_a_version_and_rows_that_it_was_trained_on_do(place: Place) -> None:
    frame = trips(800, START)
    dirty = frame.with_columns(wind=pl.when(pl.col("trip") == "t5").then(99.0).otherwise("wind"))
    sound = quality.between("wind", -9, 9)
    assert place.data(dirty, "dirty", checks=[sound]).rows == 799
    run = place.trained(data="dirty")
    assert place.registered(run, "dirty").checks_green
    for checks, green in (
        ([sound, replace(quality.between("wind", -1, 1), severity=Severity.WARNING)], True),
        ([quality.between("wind", -1, 1)], False),
        ([sound, quality.not_null("crew")], False),
    ):
        change_checks(*place.who, "dirty", checks=checks, stop_share=0.05)
        assert place.registered(run, "dirty").checks_green is green, checks
    change_checks(*place.who, "dirty", checks=[quality.between("wind", -2, 2)], stop_share=0.05)
    clean = append(*place.who, "dirty", trips(300, START, name="u").with_columns(wind=pl.lit(0.0))).version
    assert clean is not None
    assert all(not one.rows_failed for one in clean.outcomes)
    assert not place.registered(place.trained(data="dirty"), "dirty").checks_green, "the newest batch is not all of it"


def test_the_alias_moves_with_the_registration_or_its_gate_says_why_not(place: Place) -> None:
    set_gate(*place.who, "late", "champion", Gate((Condition(ConditionKind.BETTER, 0.0, "log_loss", Direction.MINIMISE),)))
    with pytest.raises(Problem) as told:
        place.registered(place.trained(), alias="champion")
    assert told.value.code == "gate.refused"
    assert find_aliases(*place.who, "late")[0].version == 1
    assert find_versions(*place.who, "late", PageRequest()).items[0].number == 2, "the version is there all the same"
    assert place.registered(place.trained(), alias="challenger").number == 3
    assert {alias.name: alias.version for alias in find_aliases(*place.who, "late")} == {"champion": 1, "challenger": 3}


def test_a_try_after_the_version_was_recorded_makes_no_second_one(place: Place) -> None:
    run = place.trained()
    request_registration(*place.who, "late", run.id)
    lease = place.take()
    first = place.step(lease.job)
    assert place.step(replace(lease.job, attempts=2)) == first
    assert [one.number for one in find_versions(*place.who, "late", PageRequest()).items] == [2, 1]
    request_registration(*place.who, "late", run.id)
    assert place.work()["version"] == 3, "asked for again, it is made again"


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95 a pickle", b"PK\x03\x04 an archive"])
def test_a_model_file_that_is_none_is_refused(place: Place, content: bytes) -> None:
    run = place.trained()
    [digest] = place.platform.objects.put(place.project, [content])
    with place.platform.transaction() as tx:
        tx.runs.save(place.project, [replace(run, artifacts={**run.artifacts, "model": digest})])
    with pytest.raises(Problem) as told:
        place.registered(run, "hostile")
    assert told.value.code == "model.invalid"
    assert find_versions(*place.who, "hostile", PageRequest()).items == ()
