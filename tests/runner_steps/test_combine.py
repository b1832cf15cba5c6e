"""The job `model.combine`: versions become one, which answers what they answer, brought together by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from onnx import TensorProto, helper

from modelyard.core import PageRequest, Problem
from modelyard.prepare import Pipeline, prep
from modelyard.registry import Combining, Condition, ConditionKind, Gate, ModelVersion
from modelyard.registry.combining import Combination, request_combination
from modelyard.registry.imports import Wish, request_import
from modelyard.registry.rules import chosen_form
from modelyard.registry.service import evaluate_gate, find_aliases, find_versions, get_version, request_evaluation, set_gate
from modelyard.serving.score import open_scorer
from modelyard.serving.service import catalogue, deploy
from tests.runner_steps.place import START, Place, boosting, trips

LATER = trips(300, START, seed=11, name="n")


def combined(place: Place, by: str, *members: str, model: str = "both", **rest: Any) -> ModelVersion:
    """Combine versions."""
    request_combination(*place.who, model, Combination(by, members, **rest))
    result = place.work()
    return get_version(*place.who, f"{model}@{result['version']}")


def refusal(place: Place, by: str, *members: str, **rest: Any) -> Problem:
    """Return the problem with which a combination is refused before anything is queued."""
    with pytest.raises(Problem) as told:
        request_combination(*place.who, "both", Combination(by, members, **rest))
    return told.value


def second(place: Place) -> ModelVersion:
    """Register another model, of another depth."""
    run = place.run(place.trainer(boosting), depth=6, seed=9)
    place.work()
    return place.registered(run, model="deep")


def graph(place: Place, shape: list[int | str], op: str = "Sigmoid", inputs: str = "x") -> ModelVersion:
    """Import a small ONNX model."""
    made = helper.make_graph(
        [helper.make_node(op, [inputs], ["y"])],
        "g",
        [helper.make_tensor_value_info(inputs, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    content = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    [digest] = place.platform.objects.put(place.project, [content])
    request_import(*place.who, op.lower(), Wish("g.onnx", {"g.onnx": digest}))
    return get_version(*place.who, f"{op.lower()}@{place.work()['version']}")


def test_every_rule_answers_as_its_members_brought_together_by_hand(place: Place) -> None:
    other = second(place)
    one = place.infer(get_version(*place.who, "late@1"), LATER)
    two = place.infer(other, LATER)
    assert not np.allclose(one, two)
    members = ("late@champion", "deep@latest")
    by_hand: dict[str, Any] = {
        "mean": (one + two) / 2,
        "weighted": 0.3 * one + 0.7 * two,
        "vote": ((one >= 0.4).astype(float) + (two >= 0.4)) / 2,
        "route": np.where(one < 0.5, one, two),
    }
    rests: dict[str, Any] = {
        "weighted": {"weights": (0.3, 0.7)},
        "vote": {"threshold": 0.4},
        "route": {"limits": (0.5,), "last": "late@1"},
    }
    for rule, expected in by_hand.items():
        version = combined(place, rule, *members, **rests.get(rule, {}))
        np.testing.assert_allclose(place.infer(version, LATER), expected, rtol=0, atol=1e-12, err_msg=rule)
        scored = open_scorer(*place.who, f"both@{version.number}", place.scratch / "scored").answered(LATER)
        np.testing.assert_array_equal(scored["probability"].to_numpy(), place.infer(version, LATER))


def test_a_combined_version_says_what_it_is_made_of_and_was_measured(place: Place) -> None:
    second(place)
    version = combined(place, "weighted", "late@champion", "deep@1", weights=(1, 3), note="both", alias="champion")
    assert version.composition is not None
    assert [one.ref for one in version.composition.members] == ["late@1", "deep@1"]
    assert version.composition.rule is Combining.WEIGHTED
    assert (version.run, version.recipe, version.pipeline, version.note) == (None, None, None, "both")
    first = get_version(*place.who, "late@1")
    assert version.signature == first.signature
    assert version.data == first.data
    [form] = version.forms
    assert form.latency_us
    served = [chosen_form(get_version(*place.who, ref)) for ref in ("late@1", "deep@1")]
    assert form.size_bytes == sum(one.size_bytes for one in served)
    assert 0 < version.metrics["log_loss"] < 1
    assert version.evaluations[0].window.endswith("that no member was fitted on")
    assert "| deep@1 | deep | weighs 3 |" in place.card(version)
    [alias] = find_aliases(*place.who, "both")
    assert alias.version == version.number


def test_it_is_evaluated_and_gated_like_any_other(place: Place) -> None:
    second(place)
    combined(place, "mean", "late@1", "deep@1", alias="champion")
    version = combined(place, "weighted", "late@1", "deep@1", weights=(1, 2))
    set_gate(
        *place.who,
        "both",
        "champion",
        Gate((Condition(ConditionKind.BETTER, -1.0, "log_loss"), Condition(ConditionKind.LATENCY, 1e6))),
    )
    assert not evaluate_gate(*place.who, "both", version.number, "champion").passed
    request_evaluation(*place.who, "both", version.number)
    place.work()
    result = evaluate_gate(*place.who, "both", version.number, "champion")
    assert result.passed, result
    found = get_version(*place.who, f"both@{version.number}").evaluations[-1]
    assert found.window.startswith("held-out rows of trips v1")
    assert found.rows < 1500


def test_a_chain_hands_the_first_one_s_answer_to_the_next(place: Place) -> None:
    first = get_version(*place.who, "late@1")
    rows = trips(1500, START, seed=4, name="m").with_columns(late_before=pl.lit(0.0))
    with_answer = rows.with_columns(late_before=pl.Series(place.infer(first, rows)))
    place.data(with_answer, name="stacked")
    pipeline = Pipeline((prep.one_hot("place"), prep.drop("trip", "at")))
    run = place.trained(data="stacked", pipeline=pipeline)
    head = place.registered(run, model="judge")
    chain = combined(place, "stack", "late_before=late@1", last="judge@1")
    assert {one.name for one in chain.signature.inputs} == {"wind", "place"}
    later = LATER.with_columns(late_before=pl.Series(place.infer(first, LATER)))
    np.testing.assert_array_equal(place.infer(chain, LATER), place.infer(head, later))
    assert chain.data == head.data, "the last one's rows speak for the whole"
    of_chains = combined(place, "mean", f"both@{chain.number}", "late@1")
    expected = (place.infer(head, later) + place.infer(first, LATER)) / 2
    np.testing.assert_allclose(place.infer(of_chains, LATER), expected, atol=1e-12)


def test_models_that_take_tensors_combine_too(place: Place) -> None:
    graph(place, ["n", 2]), graph(place, ["n", 2], "Tanh")
    version = combined(place, "mean", "sigmoid@1", "tanh@1")
    assert [one.dtype for one in version.signature.inputs] == ["Array[Float32, 2]"]
    assert [(one.name, one.dtype) for one in version.signature.outputs] == [("y", "Array[Float64, 2]")]
    values = np.array([[0.5, -1.0], [2.0, 0.0]], dtype=np.float32)
    found = place.infer(version, pl.DataFrame({"x": values.tolist()}))
    sigmoid = 1 / (1 + np.exp(-values.astype(np.float64)))
    np.testing.assert_allclose(found, (sigmoid + np.tanh(values)) / 2, atol=1e-6)
    assert version.metrics == {}


def test_a_tensor_of_plain_numbers_stands_beside_raw_columns(place: Place) -> None:
    graph(place, ["n"], inputs="wind")
    version = combined(place, "mean", "late@1", "sigmoid@1")
    assert version.signature.outputs[0].name == "probability"
    sigmoid = 1 / (1 + np.exp(-LATER["wind"].to_numpy()))
    expected = (place.infer(get_version(*place.who, "late@1"), LATER) + sigmoid) / 2
    np.testing.assert_allclose(place.infer(version, LATER), expected, atol=1e-6)


def test_what_does_not_fit_together_is_refused_at_once(place: Place) -> None:
    graph(place, ["n", 2])
    graph(place, ["n"], "Tanh", inputs="place")
    told = {
        "late@1 cannot": refusal(place, "mean", "sigmoid@1", "late@1"),
        "It has 1 member": refusal(place, "mean", "late@1"),
        "Two members are called 'late@1'": refusal(place, "mean", "late@1", "late@1"),
        "disagree about the input 'place'": refusal(place, "mean", "late@1", "tanh@1"),
        "It has 1 weight": refusal(place, "weighted", "late@1", "tanh@1", weights=(1.0,)),
        "The weights 0, 0 are": refusal(place, "weighted", "late@1", "tanh@1", weights=(0, 0)),
        "It has no last one": refusal(place, "stack", "late@1"),
        "does nothing with late@1": refusal(place, "stack", "late@1", last="tanh@1"),
        "The limits 1, 1 are not usable": refusal(place, "route", "late@1", "tanh@1", "a=late@1", last="late@1", limits=(1, 1)),
        "sigmoid@1 cannot be a router": refusal(place, "route", "late@1", "a=late@1", last="sigmoid@1", limits=(1,)),
        "'median' is no rule": refusal(place, "median", "late@1", "tanh@1"),
        "'a b' is no name": refusal(place, "mean", "a b=late@1", "tanh@1"),
        "The threshold 0 is": refusal(place, "vote", "late@1", "tanh@1", threshold=0),
    }
    for words, problem in told.items():
        assert problem.code == "composition.invalid", problem
        assert words in str(problem), (words, str(problem))
    assert refusal(place, "mean", "late@1", "late@9").code == "version.missing"
    assert find_versions(*place.who, "late", PageRequest()).items[0].number == 1
    with pytest.raises(Problem) as lost:
        get_version(*place.who, "both@latest")
    assert lost.value.code == "model.missing", "nothing is left of what was refused"


def test_a_deployment_s_form_is_that_of_the_members(place: Place) -> None:
    second(place)
    combined(place, "mean", "late@1", "deep@1", alias="champion")
    deploy(*place.who, "both", model="both", form="native")
    platform, actor, _ = place.who
    [served] = [one for one in catalogue(platform, actor).deployments if one.name == "both"]
    [version] = served.versions
    assert [one.form for one in version.members] == ["native", "native"]
    assert (version.form, len(version.contents)) == ("combined", 4)
    with pytest.raises(Problem) as told:
        deploy(*place.who, "both", model="both", form="onnx-int8")
    assert told.value.code == "form.missing"


def test_a_second_try_makes_no_second_version(place: Place) -> None:
    second(place)
    request_combination(*place.who, "both", Combination("mean", ("late@1", "deep@1")))
    lease = place.take()
    place.step(lease.job)
    assert place.step(replace(lease.job, attempts=2))["version"] == 1
