"""Aliases and their gates: no path goes round them, and going back needs none."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import nan
from threading import Barrier

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.data import Column
from modelyard.events import Event
from modelyard.registry import Alias, Condition, ConditionKind, Evaluation, Form, Gate, GateResult, ModelVersion, Signature
from modelyard.registry.service import (
    Package,
    add_evaluations,
    approve,
    ensure_model,
    evaluate_gate,
    find_aliases,
    find_models,
    find_versions,
    get_version,
    promote,
    register,
    request_registration,
    restore,
    set_gate,
    versions_of_runs,
)
from modelyard.tenancy import Actor, Role
from modelyard.tenancy.service import create_member
from modelyard.testing import examples
from modelyard.training import Direction, RunId, RunState
from tests.living import DIGEST, Living

ALL_DEMANDS = Gate(
    (
        Condition(ConditionKind.BETTER, 0.001, "log_loss"),
        Condition(ConditionKind.CHECKS),
        Condition(ConditionKind.LATENCY, 200.0),
        Condition(ConditionKind.PARITY, 1e-6),
        Condition(ConditionKind.APPROVALS, 2),
    )
)
BAD_FORMS = (Form("native", DIGEST, 10, "sklearn", 0, 0.0, 300.0), Form("onnx", DIGEST, 9, "onnxruntime", 50, 1e-3, 250.0))


def gate(living: Living, demands: Gate = ALL_DEMANDS, alias: str = "champion") -> Alias:
    return set_gate(living.platform, living.actor, living.project, "delay", alias, demands)


def move(living: Living, version: int, alias: str = "champion") -> Alias:
    return promote(living.platform, living.actor, living.project, "delay", version, alias, cause="test")


def back(living: Living, version: int) -> Alias:
    return restore(living.platform, living.actor, living.project, "delay", "champion", version, cause="undo")


def judged(living: Living, version: int) -> GateResult:
    return evaluate_gate(living.platform, living.actor, living.project, "delay", version, "champion")


def moves(living: Living) -> list[Event]:
    with living.platform.reading() as tx:
        return tx.events.read(living.project, kinds=["alias.moved"], limit=1000)


def somebody(living: Living, name: str, role: Role) -> Actor:
    return living.member(create_member(living.platform, living.actor, name=name, role=role).id)


def test_a_promotion_is_refused_naming_each_demand_that_failed(living: Living) -> None:
    gate(living)
    living.version(0.5, against=(1, 1.0), checks_green=False, forms=BAD_FORMS)
    before = moves(living)
    with pytest.raises(Problem) as told:
        move(living, 2)
    assert told.value.code == "gate.refused"
    assert told.value.detail == {"failed": ["better", "checks", "latency", "parity", "approvals"]}
    told_why = ("better by at least 0.001", "rows that it was trained on fail a check", "250 µs", "1.0e-03", "0 of 2 people")
    for words in told_why:
        assert words in told.value.why
    assert living.champion() == 1
    assert moves(living) == before


def test_a_promotion_that_passes_moves_the_alias_with_its_event_in_one(living: Living) -> None:
    gate(living)
    number = living.version(1.0, against=(1, 0.5), forms=(replace(BAD_FORMS[0], latency_us=90.0),))
    for name in ("ann", "bob"):
        living_actor = somebody(living, name, Role.APPROVER)
        approve(living.platform, living_actor, living.project, "delay", number, "champion", reason="looks right")
    assert judged(living, number).passed
    moved = move(living, number)
    assert (moved.version, moved.previous, moved.moved_by, moved.gate) == (2, 1, living.actor.member, ALL_DEMANDS)
    event = moves(living)[-1]
    assert event.subject == "delay@champion"
    assert event.data == {"version": 2, "from": 1, "cause": "test", "broken_glass": False}
    assert move(living, number) == moved
    assert len(moves(living)) == 2, "moving it to where it stands is no move"


def test_one_person_who_approves_twice_is_one_person(living: Living) -> None:
    gate(living, Gate((Condition(ConditionKind.APPROVALS, 2),)))
    living.version(1.0)
    for _ in range(2):
        approve(living.platform, living.actor, living.project, "delay", 2, "champion", reason="yes")
    assert not judged(living, 2).passed
    approve(living.platform, somebody(living, "ann", Role.APPROVER), living.project, "delay", 2, "champion", reason="yes")
    assert judged(living, 2).passed


def test_an_approval_for_one_alias_or_version_opens_no_other(living: Living) -> None:
    gate(living, Gate((Condition(ConditionKind.APPROVALS, 1),)))
    gate(living, Gate((Condition(ConditionKind.APPROVALS, 1),)), "challenger")
    living.version(1.0)
    living.version(1.0)
    approve(living.platform, living.actor, living.project, "delay", 2, "challenger", reason="yes")
    assert move(living, 2, "challenger").version == 2
    for version, alias in ((2, "champion"), (3, "challenger")):
        with pytest.raises(Problem, match="0 of 1 people"):
            move(living, version, alias)


def test_any_metric_that_was_measured_on_both_sides_may_be_demanded(living: Living) -> None:
    living.version(1.2, against=(1, 1.0))
    for metric, direction in (("brier", Direction.MINIMISE), ("roc_auc", Direction.MAXIMISE)):
        gate(living, Gate((Condition(ConditionKind.BETTER, -0.05, metric, direction),)))
        assert judged(living, 2).passed, metric
    gate(living, Gate((Condition(ConditionKind.BETTER, 0.0, "cost"),)))
    assert "it was not measured by cost beside version 1" in judged(living, 2).results[0].told


def test_a_comparison_with_a_champion_that_is_gone_does_not_count(living: Living) -> None:
    gate(living, Gate((Condition(ConditionKind.BETTER, -1.0, "log_loss"),)))
    living.version(1.0, against=(1, 1.0))
    living.version(1.0, against=(1, 1.0))
    move(living, 2)
    with pytest.raises(Problem, match="beside version 2"):
        move(living, 3)


def test_an_evaluation_that_comes_later_counts_and_the_newest_wins(living: Living) -> None:
    gate(living, Gate((Condition(ConditionKind.BETTER, 0.0, "log_loss"),)))
    living.version(1.0)
    for value in (0.6, 0.4):
        living.clock.advance(hours=1)
        one = Evaluation(RunId("run_2"), 1, 500, "labelled", "log_loss", value, 0.5, {}, {}, living.clock())
        add_evaluations(living.platform, living.actor, living.project, "delay", 2, [one])
        assert judged(living, 2).passed is (value < 0.5)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(ConditionKind.BETTER, 0.01, "roc_auc"),
        Condition(ConditionKind.BETTER, 0.01, "log_loss", Direction.MAXIMISE),
        Condition(ConditionKind.BETTER, nan, "log_loss"),
        Condition(ConditionKind.LATENCY, -1.0),
        Condition(ConditionKind.APPROVALS, -1),
    ],
)
def test_a_gate_that_does_not_mean_what_it_says_is_refused(living: Living, condition: Condition) -> None:
    with pytest.raises(Problem) as told:
        gate(living, Gate((condition,)))
    assert told.value.code == "gate.invalid"
    assert find_aliases(living.platform, living.actor, living.project, "delay")[0].gate == Gate()


def test_a_gate_may_stand_before_the_first_version_and_lets_the_first_one_be_the_best(living: Living) -> None:
    stands = gate(living, Gate((Condition(ConditionKind.BETTER, 0.1, "log_loss"),)), "challenger")
    assert stands.version is None
    with pytest.raises(Problem) as told:
        get_version(living.platform, living.actor, living.project, "delay@challenger")
    assert told.value.code == "alias.missing"
    assert move(living, 1, "challenger").gate == stands.gate


# Breaking the glass


def test_the_glass_is_broken_by_an_admin_with_a_reason_and_that_stands_on_record(living: Living) -> None:
    gate(living)
    living.version(0.1, checks_green=False)

    def break_it(actor: Actor, reason: str) -> None:
        approve(living.platform, actor, living.project, "delay", 2, "champion", reason=reason, break_glass=True)

    with pytest.raises(Problem) as told:
        break_it(somebody(living, "bob", Role.APPROVER), "x")
    assert told.value.code == "action.forbidden"
    for reason in ("", "  \n"):
        with pytest.raises(Problem) as told:
            break_it(living.actor, reason)
        assert told.value.code == "approval.invalid"
    with pytest.raises(Problem) as told:
        move(living, 2)
    assert told.value.code == "gate.refused"
    break_it(living.actor, "the old one lies")
    move(living, 2)
    assert moves(living)[-1].data["broken_glass"] is True
    with living.platform.reading() as tx:
        [event] = tx.events.read(living.project, kinds=["gate.broken"])
    assert (event.subject, event.actor, event.data["reason"]) == ("delay@2", living.actor.member, "the old one lies")


def test_breaking_the_glass_is_no_approval(living: Living) -> None:
    gate(living, Gate((Condition(ConditionKind.APPROVALS, 1),)))
    living.version(1.0)
    approve(living.platform, living.actor, living.project, "delay", 2, "champion", reason="now", break_glass=True)
    result = judged(living, 2)
    assert (result.passed, result.broken_glass) == (False, True)


def test_broken_glass_lets_a_version_through_once(living: Living) -> None:
    gate(living, Gate((Condition(ConditionKind.CHECKS),)))
    living.version(1.0, checks_green=False)
    living.version(1.0, checks_green=False)

    def break_it(version: int) -> None:
        place = (living.platform, living.actor, living.project)
        approve(*place, "delay", version, "champion", reason="now", break_glass=True)

    break_it(2)
    break_it(2)
    break_it(3)
    stands = move(living, 2)
    assert (stands.version, stands.previous, stands.broken_for) == (2, 1, (3,))
    assert move(living, 2) == stands, "it stands there already: nothing is asked of the gate"
    back(living, 1)
    with pytest.raises(Problem) as told:
        move(living, 2)
    assert told.value.code == "gate.refused"
    assert move(living, 3).broken_for == ()
    break_it(2)
    assert move(living, 2).version == 2


def test_glass_may_be_broken_before_an_alias_stands(living: Living) -> None:
    approve(living.platform, living.actor, living.project, "delay", 1, "challenger", reason="now", break_glass=True)
    gate(living, Gate((Condition(ConditionKind.APPROVALS, 1),)), "challenger")
    assert move(living, 1, "challenger").broken_for == ()


# Going back


def test_an_alias_goes_back_only_to_where_it_stood_and_no_gate_stops_it(living: Living) -> None:
    living.version(1.0, checks_green=False)
    living.version(1.0)
    move(living, 2)
    move(living, 3)
    gate(living)
    assert back(living, 2).version == 2
    assert moves(living)[-1].data == {"version": 2, "from": 3, "cause": "undo", "restored": True}
    living.version(1.0)
    with pytest.raises(Problem, match="it never stood there"):
        back(living, 4)
    assert living.champion() == 2
    assert back(living, 2).version == 2
    assert len(moves(living)) == 4, "going back to where it stands is no move"


def test_going_back_again_and_again_never_goes_forward(living: Living) -> None:
    for number in (2, 3):
        living.version(1.0)
        move(living, number)
    assert back(living, 2).previous == 1
    assert back(living, 1).previous is None


@pytest.mark.parametrize("role", [Role.VIEWER, Role.TRAINER])
def test_only_approvers_move_aliases_and_set_gates(living: Living, role: Role) -> None:
    living.version(1.0)
    someone = somebody(living, "ann", role)
    place = (living.platform, someone, living.project)
    for attempt in (
        lambda: promote(*place, "delay", 2, "champion"),
        lambda: restore(*place, "delay", "champion", 1, cause="x"),
        lambda: set_gate(*place, "delay", "champion", Gate()),
        lambda: approve(*place, "delay", 2, "champion", reason="yes"),
        lambda: request_registration(*place, "delay", "run_1", alias="champion"),
    ):
        with pytest.raises(Problem) as told:
            attempt()
        assert told.value.code == "action.forbidden"
    assert living.champion() == 1


# Versions


def package(living: Living, number: int) -> Package:
    run = replace(examples.run(number, living.project), refit_of=None)
    return Package(
        run=run,
        pipeline=DIGEST,
        signature=Signature((Column("wind", "Float64"),), (Column("probability", "Float64"),)),
        forms=BAD_FORMS[:1],
        slices=(),
        evaluations=(),
        checks_green=True,
        card=f"# Version of run {number}",
    )


def test_versions_registered_at_once_get_numbers_of_their_own(living: Living) -> None:
    together = Barrier(4)

    def make(number: int) -> ModelVersion:
        together.wait(30)
        return register(living.platform, living.actor, living.project, "delay", package(living, number))

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(make, range(1, 5)))
    assert sorted(one.number for one in made) == [2, 3, 4, 5]
    place = (living.platform, living.actor, living.project)
    assert [one.number for one in find_versions(*place, "delay", PageRequest(limit=2)).items] == [5, 4]
    [third] = versions_of_runs(*place, "delay", [RunId("run_0003")])
    assert living.platform.objects.get(living.project, [third.card]) == [b"# Version of run 3"]
    assert get_version(*place, "delay@latest").number == 5
    assert get_version(*place, "delay").number == 5
    assert get_version(*place, "delay@champion").number == 1


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("dealy@1", "model.missing"),
        ("delay@9", "version.missing"),
        ("delay@champoin", "alias.missing"),
        ("delay@", "reference.invalid"),
        ("empty@latest", "version.missing"),
    ],
)
def test_a_version_that_is_not_there_is_told_with_the_nearest(living: Living, reference: str, code: str) -> None:
    place = (living.platform, living.actor, living.project)
    ensure_model(*place, "empty")
    with pytest.raises(Problem) as told:
        get_version(*place, reference)
    assert told.value.code == code
    if code in ("model.missing", "alias.missing"):
        assert "did you mean" in told.value.why


def test_only_a_finished_run_is_registered(living: Living) -> None:
    place = (living.platform, living.actor, living.project)
    run = replace(examples.run(1, living.project), state=RunState.FAILED)
    with living.platform.transaction() as tx:
        tx.runs.add(living.project, [run])
    with pytest.raises(Problem) as told:
        request_registration(*place, "fresh", run.id)
    assert told.value.code == "run.conflict"
    assert [one.name for one in find_models(*place)] == ["delay"]
