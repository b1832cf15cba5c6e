"""When a policy retrains, holds, and which way a canary goes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from modelyard.core import Problem, ProjectId, to_text
from modelyard.reactions import ActionKind, Decision, DecisionId, Policy, PolicyId, Retraining, Rule, TriggerKind
from modelyard.reactions.rules import Course, check_policy, due_times, may_retrain, next_move, schedule_cause
from modelyard.serving import Judgement, Verdict

NOW = datetime(2013, 7, 1, tzinfo=UTC)
DAY = 86_400
ALARM = Rule(TriggerKind.ALARM, ActionKind.RETRAIN, monitor="arrivals", cooldown_s=14 * DAY)
WEEKLY = Rule(TriggerKind.SCHEDULE, ActionKind.RETRAIN, cron="0 6 * * 1")


def a_policy(**changes: object) -> Policy:
    policy = Policy(
        id=PolicyId("pol"),
        project=ProjectId("p"),
        name="keep",
        deployment="delay",
        rules=(ALARM, WEEKLY),
        retraining=Retraining("departures"),
        budget=2,
        budget_s=30 * DAY,
        created_by="m",
        created_at=NOW - timedelta(days=90),
    )
    return replace(policy, **changes)  # type: ignore[arg-type]


def retrained(days_ago: float) -> Decision:
    return Decision(
        id=DecisionId(f"d{days_ago}"),
        project=ProjectId("p"),
        policy="keep",
        deployment="delay",
        action=ActionKind.RETRAIN,
        cause="c",
        version=None,
        told="",
        evidence={},
        by="m",
        at=NOW - timedelta(days=days_ago),
    )


def test_nothing_before_and_nothing_under_way_means_retrain() -> None:
    assert may_retrain(a_policy(), ALARM, NOW, [], None).action is ActionKind.RETRAIN


def test_something_under_way_holds_and_says_what() -> None:
    choice = may_retrain(a_policy(), ALARM, NOW, [], "the canary of v3 is under way")
    assert choice.action is ActionKind.HOLD
    assert "canary of v3" in choice.told


@pytest.mark.parametrize(("days_ago", "action"), [(13.9, ActionKind.HOLD), (14.0, ActionKind.RETRAIN)])
def test_the_cooldown_ends_on_time(days_ago: float, action: ActionKind) -> None:
    assert may_retrain(a_policy(), ALARM, NOW, [retrained(days_ago)], None).action is action


def test_the_budget_counts_only_its_own_span() -> None:
    spent = [retrained(15), retrained(29)]
    assert may_retrain(a_policy(), ALARM, NOW, spent, None).action is ActionKind.HOLD
    assert may_retrain(a_policy(), ALARM, NOW, [retrained(15), retrained(31)], None).action is ActionKind.RETRAIN


def test_a_schedule_is_due_once_for_each_of_its_times() -> None:
    policy = a_policy(created_at=datetime(2013, 6, 30, tzinfo=UTC))  # a Sunday
    monday = datetime(2013, 7, 1, 6, tzinfo=UTC)
    assert due_times(policy, monday - timedelta(seconds=1)) == []
    [(rule, at)] = due_times(policy, monday)
    assert (rule, at) == (WEEKLY, monday)
    looked = replace(policy, state={WEEKLY.cron or "": to_text(at)})
    assert due_times(looked, monday + timedelta(days=6)) == []
    [(_, later)] = due_times(looked, monday + timedelta(days=29))
    assert later == monday + timedelta(days=28), "missed times are one"
    assert schedule_cause(policy, at) == "schedule:keep@2013-07-01T06:00Z"


@pytest.mark.parametrize(
    "rule",
    [
        Rule(TriggerKind.ALARM, ActionKind.RETRAIN),
        Rule(TriggerKind.SCHEDULE, ActionKind.RETRAIN, cron="61 * * * *"),
        Rule(TriggerKind.SCHEDULE, ActionKind.PROMOTE, cron="0 6 * * 1"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(rule: Rule) -> None:
    with pytest.raises(Problem) as caught:
        check_policy(a_policy(rules=(rule,)))
    assert caught.value.code == "policy.invalid"
    with pytest.raises(Problem):
        check_policy(a_policy(retraining=None))


def judged(verdict: Verdict, difference: float = 0.0) -> Judgement:
    return Judgement(verdict, difference, 0.05, 500, 4000, 0.02)


@pytest.mark.parametrize("last_step", [False, True])
@pytest.mark.parametrize("verdict", [Verdict.ROLL_BACK, Verdict.HOLD, Verdict.PROMOTE])
def test_the_judges_word_is_final_at_every_step(verdict: Verdict, last_step: bool) -> None:
    assert next_move(judged(verdict), last_step=last_step, rows_at_step=10_000, course=Course()) is verdict


def test_an_early_step_is_left_after_its_rows_while_nothing_speaks_against_it() -> None:
    course = Course(step_rows=200)

    def move(rows: int, difference: float, *, last_step: bool) -> Verdict:
        return next_move(judged(Verdict.UNDECIDED, difference), last_step=last_step, rows_at_step=rows, course=course)

    assert move(199, 0.0, last_step=False) is Verdict.UNDECIDED
    assert move(200, 0.0, last_step=False) is Verdict.PROMOTE
    assert move(200, 0.02, last_step=False) is Verdict.UNDECIDED, "it looks worse by the tolerance"
    assert move(200, 0.0, last_step=True) is Verdict.UNDECIDED, "100 % needs the judge's word"
