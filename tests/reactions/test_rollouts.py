"""What becomes of a retrained version: the gate, the canary's steps, the judge's word."""

from dataclasses import replace
from datetime import timedelta

import pytest

from modelyard.core import Problem
from modelyard.jobs.lease import finish
from modelyard.reactions import ActionKind, Decision, judging
from modelyard.reactions.retraining import gate_retrained
from modelyard.reactions.service import look, pending, push
from modelyard.registry import Condition, ConditionKind, Gate
from modelyard.registry.service import set_gate
from modelyard.serving import RolloutState, Verdict
from modelyard.serving.service import (
    advance_rollout,
    deploy,
    hold_rollout,
    roll_back_deployment,
    roll_back_rollout,
    start_rollout,
)
from modelyard.tenancy import Role, role_in
from modelyard.tenancy.service import actor_of, create_member
from tests.living import START, WEEKLY, Living

GATE = Gate((Condition(ConditionKind.BETTER, -0.005, "log_loss"), Condition(ConditionKind.CHECKS)))


def gated(living: Living, gate: Gate = GATE) -> None:
    set_gate(living.platform, living.actor, living.project, "delay", "champion", gate)


def due(living: Living) -> None:
    """Have the weekly retraining start."""
    living.policy(rules=(WEEKLY,))
    living.clock.set(START + timedelta(hours=6))
    assert [one.action for one in living.turn()] == [ActionKind.RETRAIN]


def until(living: Living, action: ActionKind) -> list[Decision]:
    """Let days pass until the loop does this, a fortnight at most; return the decisions made."""
    made: list[Decision] = []
    for _ in range(14):
        made += living.live(1, rows=600, turns=1 if made else 2)
        if made and made[-1].action is action:
            break
    return made


def test_a_better_version_goes_10_50_100_and_takes_the_alias_and_the_revision_with_it(living: Living) -> None:
    gated(living)
    due(living)
    living.skills[1] = 0.3
    living.retrained(1.0, against=(1, 0.3))
    made = until(living, ActionKind.PROMOTE)
    assert [one.action.value for one in made] == ["canary", "canary", "promote"]
    assert "canary v2 started at 10 %: gate green, log_loss" in made[0].told
    assert "canary v2 to 50 %" in made[1].told
    assert {one.cause for one in made} == {"schedule:keep@2013-04-01T06:00Z"}
    assert {one.policy for one in made} == {"keep"}
    assert [one.by for one in made] == ["policy:keep", "judge", "judge"]
    assert living.champion() == 2
    assert [(one.version, one.weight) for one in living.routes()] == [(2, 100)]
    assert living.rollout().state is RolloutState.PROMOTED
    judgement = made[2].evidence["judgement"]
    assert judgement["verdict"] == Verdict.PROMOTE.value
    assert judgement["difference"] + judgement["half_width"] < judgement["tolerance"]
    assert made[2].evidence["base"] == 1


def test_a_version_that_the_gate_refuses_is_not_rolled_out_and_each_reason_is_told(living: Living) -> None:
    gated(living)
    due(living)
    living.retrained(0.0, against=(1, 1.0), checks_green=False)
    [refused] = living.turn()
    assert (refused.action, refused.version) == (ActionKind.REFUSE, 2)
    assert "better: log_loss 0.6931 against 0.4" in refused.told
    assert "checks: rows that it was trained on fail a check" in refused.told
    assert [one["passed"] for one in refused.evidence["gate"]["results"]] == [False, False]
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]
    assert living.turn() == []
    assert pending(living.platform, living.project) == []


def test_a_refusal_is_decided_once_also_by_two_who_saw_the_same(living: Living) -> None:
    gated(living)
    due(living)
    living.retrained(0.0, checks_green=False)
    [(policy, waits)] = look(living.platform, living.project).waiting
    who = (living.platform, living.project, policy.name, waits)
    assert [one.action for one in gate_retrained(*who)] == [ActionKind.REFUSE]
    assert gate_retrained(*who) == []


def test_a_retraining_that_failed_is_answered_once_with_its_problem(living: Living) -> None:
    due(living)
    living.failed()
    [refused] = living.turn()
    assert (refused.action, refused.version) == (ActionKind.REFUSE, None)
    assert refused.told == "retraining ended badly: The trainer failed"
    assert refused.evidence["problem"]["code"] == "code.failed"
    assert living.turn() == []


def test_a_version_that_is_live_already_is_refused_and_stops_nothing(living: Living) -> None:
    due(living)
    finish(living.platform, living.take(), {"version": 1, "run": "run_1"})
    [refused] = living.turn()
    assert (refused.action, refused.told) == (ActionKind.REFUSE, "v1 cannot be rolled out: it is what delay answers with")
    assert living.turn() == []


def test_without_canary_steps_a_version_is_promoted_at_once_and_answered_once(living: Living) -> None:
    deploy(living.platform, living.actor, living.project, "delay", model="delay", canary=[100], tolerance=0.05, loss="brier")
    due(living)
    living.retrained(1.0)
    [promoted] = living.turn()
    assert (promoted.action, promoted.version, promoted.evidence["base"]) == (ActionKind.PROMOTE, 2, 1)
    assert living.champion() == 2
    assert living.turn() == []


def test_a_harmful_canary_is_rolled_back_by_itself_and_the_champion_never_left(living: Living) -> None:
    due(living)
    living.retrained(-1.0)
    living.turn()
    assert [one.action for one in until(living, ActionKind.ROLL_BACK)] == [ActionKind.ROLL_BACK]
    with living.platform.transaction() as tx:
        moves = tx.events.read(living.project, kinds=["alias.moved"])
    assert [event.data["version"] for event in moves] == [1]
    decision = living.decisions()[-1]
    assert (decision.by, decision.version, decision.cause) == ("judge", 2, "schedule:keep@2013-04-01T06:00Z")
    assert decision.evidence["judgement"]["verdict"] == "roll_back"
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]
    assert living.rollout().state is RolloutState.ROLLED_BACK


def test_a_harmful_canary_is_rolled_back_although_who_made_the_deployment_may_do_nothing_any_more(living: Living) -> None:
    ann = create_member(living.platform, living.actor, name="ann")
    with living.platform.transaction() as tx:
        tx.deployments.save(living.project, [replace(living.deployment(), created_by=ann.id)])
    assert role_in(living.member(ann.id), living.project) is None
    due(living)
    living.retrained(-1.0)
    living.turn()
    assert until(living, ActionKind.ROLL_BACK)[-1].by == "judge"
    assert living.rollout().state is RolloutState.ROLLED_BACK
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]
    with living.platform.reading() as tx:
        told = tx.events.read(living.project, kinds=["rollout.started", "rollout.rolled_back"])
    assert [event.actor for event in told] == ["policy:keep", "judge"]


def test_the_judge_looks_once_in_a_quarter_of_an_hour_of_the_platforms_clock(living: Living) -> None:
    due(living)
    living.retrained(1.0)
    living.turn()
    assert living.rollout().looked_at is None
    living.clock.advance(minutes=14)
    living.turn()
    assert living.rollout().looked_at is None
    living.clock.advance(minutes=1)
    living.turn()
    assert living.rollout().looked_at == living.clock()
    looked = living.clock()
    living.clock.advance(minutes=14)
    living.turn()
    assert living.rollout().looked_at == looked


def test_what_the_judge_saw_last_stands_with_the_rollout(living: Living) -> None:
    due(living)
    living.retrained(1.0)
    living.turn()
    living.live(1, rows=300)
    seen = living.rollout().judgement
    assert seen is not None
    assert seen.verdict is Verdict.UNDECIDED
    assert 0 < seen.canary_rows < seen.live_rows < 300


def test_an_undecided_canary_is_held_at_the_cap_and_makes_way_for_a_better_one(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "JUDGING", replace(judging.JUDGING, cap_rows=200))
    deploy(living.platform, living.actor, living.project, "delay", model="delay", tolerance=0.001, loss="brier")
    due(living)
    living.retrained(1.0)
    living.turn()
    held = living.live(1, rows=3000)
    assert [one.action for one in held] == [ActionKind.HOLD]
    assert held[0].told.startswith("v2 waits for a person")
    assert living.rollout().state is RolloutState.HELD
    assert living.champion() == 1
    assert living.live(1) == []
    living.clock.set(START + timedelta(days=7, hours=6))
    assert [one.action for one in living.turn()] == [ActionKind.RETRAIN], "a held canary does not stop the loop"
    living.retrained(1.0)
    [canary] = living.turn()
    assert "v2, which waited for a person, made way" in canary.told
    assert [one.version for one in living.routes()] == [1, 3]


def test_a_retrained_version_waits_while_another_canary_is_judged(living: Living) -> None:
    due(living)
    other = living.version(1.0, number=7)
    rollout, _ = push(living.platform, living.actor, living.project, "delay", other, reason="we need it")
    living.retrained(1.0, number=8)
    assert living.turn() == []
    assert pending(living.platform, living.project) == ["retraining for schedule:keep@2013-04-01T06:00Z"]
    roll_back_rollout(living.platform, living.actor, living.project, rollout.id)
    assert [(one.action, one.version) for one in living.turn()] == [(ActionKind.CANARY, 8)]


def test_a_gate_that_closes_during_the_canary_holds_it(living: Living) -> None:
    due(living)
    living.skills[1] = 0.3
    living.retrained(1.0, against=(1, 0.3), checks_green=False)
    living.turn()
    gated(living)
    held = until(living, ActionKind.HOLD)[-1]
    assert held.action is ActionKind.HOLD
    assert "its gate has closed (checks: rows that it was trained on fail a check)" in held.told
    assert living.rollout().state is RolloutState.HELD
    assert living.champion() == 1


# Breaking the glass


def test_only_an_admin_breaks_the_glass_and_only_with_a_reason(living: Living) -> None:
    gated(living)
    living.version(1.0, checks_green=False)
    bob = actor_of(living.platform, create_member(living.platform, living.actor, name="bob", role=Role.APPROVER).id)
    with pytest.raises(Problem) as told:
        push(living.platform, bob, living.project, "delay", 2, reason="please")
    assert told.value.code == "action.forbidden"
    with pytest.raises(Problem) as told:
        push(living.platform, living.actor, living.project, "delay", 2, reason="  ")
    assert told.value.code == "approval.invalid"
    assert living.decisions() == []
    with living.platform.transaction() as tx:
        assert tx.models.approvals(living.project, "delay", 2) == []
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]


def test_a_version_that_is_pushed_past_its_gate_is_on_record_and_judged_as_any_other(living: Living) -> None:
    gated(living)
    living.version(-1.0, checks_green=False)
    rollout, decision = push(living.platform, living.actor, living.project, "delay", 2, reason="due today")
    assert (decision.action, decision.version, decision.by, decision.policy) == (
        ActionKind.BREAK_GLASS,
        2,
        living.actor.member,
        None,
    )
    assert decision.cause == rollout.id
    assert decision.evidence["reason"] == "due today"
    assert decision.evidence["gate"]["passed"] is False
    assert rollout.broken_glass
    with living.platform.transaction() as tx:
        [approval] = tx.models.approvals(living.project, "delay", 2)
        kinds = [event.kind for event in tx.events.read(living.project, limit=1000)]
    assert (approval.break_glass, approval.reason, approval.by) == (True, "due today", living.actor.member)
    assert {"gate.broken", "rollout.started", "decision.made"} <= set(kinds)
    made = until(living, ActionKind.ROLL_BACK)
    assert [(one.action, one.cause, one.policy) for one in made] == [(ActionKind.ROLL_BACK, decision.id, None)]
    assert living.champion() == 1


def test_broken_glass_ends_with_the_rollout_that_it_was_broken_for(living: Living) -> None:
    gated(living)
    living.version(1.0, checks_green=False)
    place = (living.platform, living.actor, living.project)
    rollout, _ = push(*place, "delay", 2, reason="first")
    hold_rollout(*place, rollout.id)
    advance_rollout(*place, rollout.id)
    roll_back_rollout(*place, rollout.id)
    with pytest.raises(Problem) as told:
        start_rollout(*place, "delay", version=2, cause="again")
    assert told.value.code == "gate.refused"
    with living.platform.reading() as tx:
        [event] = tx.events.read(living.project, kinds=["gate.mended"])
    assert (event.subject, event.data) == ("delay@2", {"alias": "champion", "rollout": rollout.id})
    again, _ = push(*place, "delay", 2, reason="second")
    while living.rollout().state is RolloutState.RUNNING:
        advance_rollout(*place, again.id)
    assert living.champion() == 2
    roll_back_deployment(*place, "delay", cause="test")
    with pytest.raises(Problem) as told:
        start_rollout(*place, "delay", version=2, cause="again")
    assert told.value.code == "gate.refused"


def test_a_push_that_cannot_start_leaves_no_broken_glass_behind(living: Living) -> None:
    gated(living)
    living.version(1.0)
    push(living.platform, living.actor, living.project, "delay", 2, reason="first")
    living.version(1.0, checks_green=False)
    with pytest.raises(Problem) as told:
        push(living.platform, living.actor, living.project, "delay", 3, reason="second")
    assert told.value.code == "rollout.conflict"
    with living.platform.transaction() as tx:
        assert tx.models.approvals(living.project, "delay", 3) == []
    assert living.actions() == ["break_glass"]
