"""Decisions taken back."""

from datetime import timedelta

import pytest

from modelyard.core import Problem
from modelyard.jobs import JobState
from modelyard.jobs.lease import finish, take
from modelyard.reactions import ActionKind, Decision
from modelyard.reactions.service import pending, push, undo
from modelyard.serving import RolloutState
from modelyard.serving.service import advance_rollout, deploy, move_alias, start_rollout
from modelyard.tenancy import Role
from modelyard.tenancy.service import actor_of, create_member
from tests.living import START, WEEKLY, Living
from tests.reactions.test_causes import ROLL_BACK


def take_back(living: Living, decision: Decision) -> Decision:
    return undo(living.platform, living.actor, living.project, decision.id)


def conflict(living: Living, decision: Decision) -> None:
    with pytest.raises(Problem) as told:
        take_back(living, decision)
    assert told.value.code == "decision.conflict"


def retrain(living: Living) -> Decision:
    living.policy(rules=(WEEKLY,))
    living.clock.set(START + timedelta(hours=6))
    [decision] = living.turn()
    return decision


def promoted(living: Living) -> Decision:
    """Return the decision that promoted version 2."""
    deploy(living.platform, living.actor, living.project, "delay", model="delay", canary=[100], tolerance=0.05, loss="brier")
    retrain(living)
    living.retrained(1.0)
    [decision] = living.turn()
    assert decision.action is ActionKind.PROMOTE
    return decision


def test_a_canary_that_is_taken_back_ends_and_its_decision_says_by_whom(living: Living) -> None:
    retrain(living)
    living.retrained(1.0)
    [canary] = living.turn()
    living.clock.advance(hours=1)
    record = take_back(living, canary)
    assert (record.action, record.cause, record.by, record.version) == (ActionKind.UNDO, canary.id, living.actor.member, 2)
    assert record.told == "canary of v2 taken back"
    assert (living.rollout().state, living.champion()) == (RolloutState.ROLLED_BACK, 1)
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]
    undone = next(one for one in living.decisions() if one.id == canary.id)
    assert (undone.undone_at, undone.undone_by) == (living.clock(), living.actor.member)
    conflict(living, canary)
    assert living.turn() == [], "it is not rolled out again"


def test_a_pushed_canary_can_be_taken_back(living: Living) -> None:
    living.version(1.0)
    _, pushed = push(living.platform, living.actor, living.project, "delay", 2, reason="today")
    assert take_back(living, pushed).told == "canary of v2 taken back"


def test_a_promotion_that_is_taken_back_moves_alias_and_deployment_together(living: Living) -> None:
    decision = promoted(living)
    assert take_back(living, decision).told == "champion is v1 again"
    assert living.champion() == 1
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]


def test_a_promotion_taken_back_ends_the_canary_that_began_after_it(living: Living) -> None:
    decision = promoted(living)
    deploy(
        living.platform, living.actor, living.project, "delay", model="delay", canary=[10, 100], tolerance=0.05, loss="brier"
    )
    living.version(1.0)
    start_rollout(living.platform, living.actor, living.project, "delay", version=3, cause="test")
    take_back(living, decision)
    assert (living.champion(), living.rollout().state) == (1, RolloutState.ROLLED_BACK)
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]


def test_a_promotion_that_another_followed_is_not_taken_back(living: Living) -> None:
    decision = promoted(living)
    living.version(1.0)
    move_alias(living.platform, living.actor, living.project, "delay", 3, "champion")
    conflict(living, decision)
    assert living.champion() == 3


def test_a_champions_roll_back_that_is_taken_back_returns_to_it(living: Living) -> None:
    living.monitor()
    living.version(1.0)
    move_alias(living.platform, living.actor, living.project, "delay", 2, "champion")
    living.policy(rules=(ROLL_BACK,), retraining=None)
    living.skills[2] = -1.0
    [decision] = living.live(5)
    assert living.champion() == 1
    assert take_back(living, decision).told == "champion is v2 again"
    assert [(one.version, one.weight) for one in living.routes()] == [(2, 100)]


def test_a_retraining_that_waits_is_cancelled(living: Living) -> None:
    decision = retrain(living)
    assert take_back(living, decision).told == "retraining cancelled"
    assert take(living.platform, "worker", lease_s=60) is None
    assert pending(living.platform, living.project) == []
    assert living.turn() == []


def test_a_retraining_that_runs_is_asked_to_stop_and_what_it_brings_is_not_rolled_out(living: Living) -> None:
    decision = retrain(living)
    lease = living.take()
    assert take_back(living, decision).told == "retraining asked to stop"
    with living.platform.transaction() as tx:
        assert tx.jobs.get(living.project, [lease.job.id])[0].cancel_requested
    number = living.version(1.0)
    finish(living.platform, lease, {"version": number, "run": "run"})
    assert living.turn() == []
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]


def test_a_retraining_that_is_done_can_still_be_kept_from_the_gate(living: Living) -> None:
    decision = retrain(living)
    living.retrained(1.0)
    assert take_back(living, decision).told == "the retrained version will not come before the gate"
    assert living.turn() == []
    with living.platform.transaction() as tx:
        assert tx.jobs.get(living.project, [decision.evidence["job"]])[0].state is JobState.FINISHED


def test_what_is_over_cannot_be_taken_back(living: Living) -> None:
    retraining = retrain(living)
    living.retrained(1.0)
    [canary] = living.turn()
    conflict(living, retraining)
    rollout = living.rollout()
    for _ in range(2):
        advance_rollout(living.platform, living.actor, living.project, rollout.id)
    conflict(living, canary)
    living.clock.advance(days=7)
    [again] = living.turn()
    record = take_back(living, again)
    conflict(living, record)


def test_a_hold_cannot_be_taken_back(living: Living) -> None:
    retrain(living)
    living.clock.advance(days=7)
    [held] = living.turn()
    assert held.action is ActionKind.HOLD
    conflict(living, held)


def test_only_approvers_take_decisions_back(living: Living) -> None:
    decision = retrain(living)
    ann = actor_of(living.platform, create_member(living.platform, living.actor, name="ann", role=Role.TRAINER).id)
    with pytest.raises(Problem) as told:
        undo(living.platform, ann, living.project, decision.id)
    assert told.value.code == "action.forbidden"
    assert living.actions() == ["retrain"]
