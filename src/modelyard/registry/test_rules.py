"""What a gate comes to, demand by demand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from modelyard.core import Digest, Problem, ProjectId
from modelyard.data import DatasetVersionId
from modelyard.registry import (
    Alias,
    Allowance,
    Approval,
    Condition,
    ConditionKind,
    Evaluation,
    Form,
    Gate,
    ModelVersion,
    Origin,
    Signature,
)
from modelyard.registry.rules import check_code, chosen_form, judge_gate, parse_reference, told_failures
from modelyard.training import Direction, Recipe, RunId

NOW = datetime(2024, 5, 1, tzinfo=UTC)
PROJECT = ProjectId("p")


def a_version(number: int = 2, *, latency: float | None = 100.0, diff: float = 1e-7, green: bool = True) -> ModelVersion:
    return ModelVersion(
        project=PROJECT,
        model="delay",
        number=number,
        run=RunId("run_2"),
        recipe=Recipe(Digest("sha256:0"), {}),
        data=DatasetVersionId("v"),
        pipeline=Digest("sha256:1"),
        signature=Signature((), ()),
        forms=(Form("onnx", Digest("sha256:2"), 10, "onnxruntime", 100, diff, latency),),
        metrics={},
        slices=(),
        evaluations=(),
        checks_green=green,
        card=Digest("sha256:3"),
        created_by="m",
        created_at=NOW,
    )


def measured(
    value: float, against_value: float, *, against: int = 1, metric: str = "log_loss", at: datetime = NOW
) -> Evaluation:
    return Evaluation(RunId("run_2"), against, 500, "last week", metric, value, against_value, {}, {}, at)


CHAMPION = Alias(PROJECT, "delay", "champion", 1, Gate(), NOW, "m")


def verdict(condition: Condition, version: ModelVersion, alias: Alias | None = CHAMPION, *given: Approval) -> bool:
    return judge_gate(Gate((condition,)), version, alias, "champion", given, NOW).passed


@pytest.mark.parametrize(
    ("limit", "value", "against", "direction", "passes"),
    [
        (0.01, 0.480, 0.500, Direction.MINIMISE, True),
        (0.01, 0.495, 0.500, Direction.MINIMISE, False),
        (-0.005, 0.504, 0.500, Direction.MINIMISE, True),
        (-0.005, 0.506, 0.500, Direction.MINIMISE, False),
        (0.01, 0.82, 0.80, Direction.MAXIMISE, True),
        (0.01, 0.78, 0.80, Direction.MAXIMISE, False),
    ],
)
def test_better_demands_a_gain_or_a_loss_that_is_small_enough(
    limit: float, value: float, against: float, direction: Direction, passes: bool
) -> None:
    condition = Condition(ConditionKind.BETTER, limit, "log_loss", direction)
    version = replace(a_version(), evaluations=(measured(value, against),))
    assert verdict(condition, version) is passes


def test_a_version_that_was_not_measured_beside_the_champion_does_not_pass() -> None:
    condition = Condition(ConditionKind.BETTER, 0.0, "log_loss")
    assert not verdict(condition, a_version())
    beside_another = replace(a_version(), evaluations=(measured(0.1, 0.5, against=7),))
    assert not verdict(condition, beside_another)
    by_another_metric = replace(a_version(), evaluations=(measured(0.1, 0.5, metric="brier"),))
    assert not verdict(condition, by_another_metric)


def test_the_newest_measurement_counts() -> None:
    condition = Condition(ConditionKind.BETTER, 0.0, "log_loss")
    newer = measured(0.6, 0.5, at=NOW + timedelta(hours=1))
    assert not verdict(condition, replace(a_version(), evaluations=(newer, measured(0.4, 0.5))))


def test_the_first_version_has_nothing_to_be_better_than() -> None:
    assert verdict(Condition(ConditionKind.BETTER, 0.01, "log_loss"), a_version(1), None)


def test_latency_parity_and_checks_hold_at_their_limits_and_fail_past_them() -> None:
    assert verdict(Condition(ConditionKind.LATENCY, 100.0), a_version())
    assert not verdict(Condition(ConditionKind.LATENCY, 99.9), a_version())
    assert not verdict(Condition(ConditionKind.LATENCY, 1e9), a_version(latency=None))
    assert verdict(Condition(ConditionKind.PARITY, 1e-6), a_version())
    assert not verdict(Condition(ConditionKind.PARITY, 1e-6), a_version(diff=2e-6))
    assert verdict(Condition(ConditionKind.CHECKS), a_version())
    assert not verdict(Condition(ConditionKind.CHECKS), a_version(green=False))


def test_a_form_that_is_only_nearly_the_native_one_says_nothing_for_or_against_a_version() -> None:
    exact = a_version()
    nearly = replace(
        exact, forms=(*exact.forms, Form("onnx-int8", Digest("sha256:9"), 5, "onnxruntime", 100, 0.01, 1.0, 0.02, True))
    )
    assert verdict(Condition(ConditionKind.PARITY, 1e-6), nearly)
    assert not verdict(Condition(ConditionKind.LATENCY, 50.0), nearly)
    assert chosen_form(nearly).name == "onnx"
    assert chosen_form(nearly, "onnx-int8").name == "onnx-int8"


def test_code_is_registered_only_where_it_was_allowed() -> None:
    code = replace(a_version(), forms=(Form("native", Digest("sha256:2"), 10, "python"),))
    for origin in (None, Origin("faces", {})):
        with pytest.raises(Problem) as told:
            check_code(replace(code, origin=origin))
        assert told.value.code == "version.forbidden"
    check_code(replace(code, origin=Origin("faces", {}, Allowance("mem_ann", NOW))))
    check_code(a_version())


def test_approvals_count_people_not_clicks() -> None:
    def yes(by: str, *, glass: bool = False) -> Approval:
        return Approval(PROJECT, "delay", 2, "champion", by, NOW, "fine", glass)

    two = Condition(ConditionKind.APPROVALS, 2)
    assert not verdict(two, a_version(), CHAMPION, yes("ann"), yes("ann"))
    assert verdict(two, a_version(), CHAMPION, yes("ann"), yes("ben"))
    assert not verdict(two, a_version(), CHAMPION, yes("ann"), yes("ben", glass=True))


def test_broken_glass_is_said_and_never_counts_as_passed() -> None:
    glass = Approval(PROJECT, "delay", 2, "champion", "ann", NOW, "fire", break_glass=True)
    demand = Gate((Condition(ConditionKind.CHECKS),))
    opened = replace(CHAMPION, broken_for=(2,))
    result = judge_gate(demand, a_version(green=False), opened, "champion", [glass], NOW)
    assert result.broken_glass
    assert not result.passed
    assert told_failures(result) == "checks: rows that it was trained on fail a check"
    for alias in (CHAMPION, replace(CHAMPION, broken_for=(3,)), None):
        assert not judge_gate(demand, a_version(green=False), alias, "champion", [glass], NOW).broken_glass


def test_references_name_a_number_an_alias_or_the_latest() -> None:
    assert parse_reference("delay@7") == ("delay", "7")
    assert parse_reference("delay") == ("delay", "latest")
    for wrong in ("", "@1", "delay@", "De lay@1", "../x@1", "delay@champion@2"):
        with pytest.raises(Problem) as caught:
            parse_reference(wrong)
        assert caught.value.code == "reference.invalid"
