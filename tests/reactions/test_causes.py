"""Alarms and schedules: each cause met once, with a retraining or a reason to hold."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelyard.core import Problem
from modelyard.events import Fact
from modelyard.jobs import Job
from modelyard.monitoring import Alert, AlertId, AlertKind
from modelyard.reactions import ActionKind, Retraining, Rule, TriggerKind
from modelyard.reactions.service import find_policies, pending, undo
from modelyard.serving.service import deploy, move_alias
from modelyard.tenancy import Role
from modelyard.tenancy.service import create_member, set_role
from tests.living import ALL, DAY_S, ON_ALARM, START, WEEKLY, Living

HOOK = "https://hooks.example/T0"
ROLL_BACK = Rule(TriggerKind.ALARM, ActionKind.ROLL_BACK, monitor="watch")


def harm(living: Living, days: int = 6) -> None:
    """Let the world turn against the champion for some days, without a turn of the loop until their end."""
    living.skills[1] = -1.0
    for _ in range(days):
        happened = living.ask(150)
        living.clock.advance(days=1)
        living.label(happened)


def test_an_alarm_starts_one_retraining_and_is_never_met_again(living: Living) -> None:
    living.monitor()
    living.policy()
    harm(living)
    [decision] = living.turn()
    [alarm] = living.alerts()
    assert (decision.action, decision.cause, decision.policy, decision.by) == (
        ActionKind.RETRAIN,
        alarm.id,
        "keep",
        "policy:keep",
    )
    assert decision.at == living.clock()
    assert alarm.told in decision.told
    job = living.take().job
    assert (job.cause, job.payload["deployment"]) == (alarm.id, "delay")
    assert job.id == decision.evidence["job"]
    assert pending(living.platform, living.project) == [f"retraining for {alarm.id}"]
    for _ in range(3):
        assert living.turn() == []
    assert living.actions() == ["retrain"]


def test_a_notice_is_shown_and_never_acted_on(living: Living) -> None:
    living.monitor()
    living.policy()
    monitor = living.watch()
    notice = Alert(
        AlertId("alert_1"), living.project, monitor.id, "watch", "delay", AlertKind.NOTICE, "wind", 1, START, "moved", {}
    )
    with living.platform.transaction() as tx:
        tx.monitors.add_alerts(living.project, [notice])
        tx.events.add(living.project, [Fact("alert.raised", notice.id, {"kind": "notice"})], actor="watch", at=START)
    assert living.turn() == []


def test_what_is_under_way_holds_and_says_what(living: Living) -> None:
    living.monitor()
    living.policy(rules=(ON_ALARM, WEEKLY))
    harm(living)
    living.clock.set(START + timedelta(days=7, hours=6))  # a Monday
    alarm, schedule = living.turn()
    assert (alarm.action, schedule.action) == (ActionKind.RETRAIN, ActionKind.HOLD)
    assert schedule.told == "held: a retraining is under way (the schedule '0 6 * * 1')"
    assert (schedule.cause, schedule.version) == ("schedule:keep@2013-04-08T06:00Z", None)
    assert living.queued() == 1


def test_a_canary_under_way_holds(living: Living) -> None:
    living.policy(rules=(WEEKLY,))
    living.clock.set(START + timedelta(days=7, hours=6))
    living.turn()
    living.retrained(1.0)
    assert [one.action for one in living.turn()] == [ActionKind.CANARY]
    living.clock.advance(days=7)
    [held] = living.turn()
    assert held.told.startswith("held: the canary of v2 is under way")


def test_the_cool_down_holds_and_says_for_how_long(living: Living) -> None:
    living.policy(rules=(replace(WEEKLY, cooldown_s=10 * DAY_S),))
    living.clock.set(START + timedelta(days=7, hours=6))
    living.turn()
    living.failed()
    living.turn()
    living.clock.advance(days=7)
    [held] = living.turn()
    assert held.told.startswith("held: cool-down for another 3 days")
    living.clock.advance(days=7)
    assert [one.action for one in living.turn()] == [ActionKind.RETRAIN]


def test_a_spent_budget_holds_until_its_time_is_over(living: Living) -> None:
    living.policy(rules=(WEEKLY,), budget=2, budget_s=20 * DAY_S)
    actions = []
    living.clock.set(START + timedelta(days=7, hours=6))
    for _ in range(4):
        [decision] = living.turn()
        actions.append(decision.action.value)
        if decision.action is ActionKind.RETRAIN:
            living.failed()
            living.turn()
        living.clock.advance(days=7)
    assert actions == ["retrain", "retrain", "hold", "retrain"]
    assert "the budget of 2 retrains in 20 days is spent" in next(
        one.told for one in living.decisions() if one.action is ActionKind.HOLD
    )


def test_a_schedule_is_met_once_for_each_of_its_times_and_missed_ones_are_one(living: Living) -> None:
    living.policy(rules=(WEEKLY,))
    living.clock.set(START + timedelta(hours=5))  # a Monday
    assert living.turn() == []
    living.clock.advance(hours=1)
    assert [one.cause for one in living.turn()] == ["schedule:keep@2013-04-01T06:00Z"]
    assert living.turn() == []
    living.failed()
    living.clock.advance(days=25)
    assert [one.action.value for one in living.turn()] == ["refuse", "retrain"]
    assert living.decisions()[-1].cause == "schedule:keep@2013-04-22T06:00Z"


def test_a_rule_that_is_new_or_was_switched_off_looks_ahead_only(living: Living) -> None:
    living.policy(rules=())
    living.clock.advance(days=30)
    living.policy(rules=(WEEKLY,))
    assert living.turn() == [], "last Monday was before the rule"
    living.policy(rules=(WEEKLY,), enabled=False)
    living.clock.advance(days=30)
    assert living.turn() == []
    living.policy(rules=(WEEKLY,))
    assert living.turn() == [], "the Mondays passed while it slept"
    living.clock.advance(days=7)
    assert [one.action for one in living.turn()] == [ActionKind.RETRAIN]


def test_two_policies_with_one_schedule_do_not_stand_in_each_others_way(living: Living) -> None:
    place = (living.platform, living.actor, living.project)
    deploy(*place, "another", model="delay")
    living.policy("first", rules=(WEEKLY,))
    living.policy("second", rules=(WEEKLY,), deployment="another")
    living.clock.set(START + timedelta(days=7, hours=6))
    assert [(one.policy, one.action) for one in living.turn()] == [
        ("first", ActionKind.RETRAIN),
        ("second", ActionKind.RETRAIN),
    ]
    assert living.queued() == 2


def test_two_policies_that_meet_one_alarm_start_one_retraining(living: Living) -> None:
    living.monitor()
    living.policy("first")
    living.policy("second")
    harm(living)
    assert [(one.policy, one.action.value) for one in living.turn()] == [("first", "retrain"), ("second", "hold")]
    assert living.queued() == 1


def test_alarms_from_before_a_policy_are_not_its_business(living: Living) -> None:
    living.monitor()
    harm(living)
    living.turn()
    assert len(living.alerts()) == 1
    living.clock.advance(hours=1)
    living.policy()
    assert living.turn() == []


def test_alarms_while_a_policy_is_switched_off_are_not_met_later(living: Living) -> None:
    living.monitor()
    living.policy(enabled=False)
    harm(living)
    living.turn()
    living.policy()
    assert living.turn() == []


def test_what_was_declared_is_done_whatever_became_of_who_declared_it(living: Living) -> None:
    ann = create_member(living.platform, living.actor, name="ann")
    set_role(living.platform, living.actor, living.project, member="ann", role=Role.APPROVER)
    owner, living.actor = living.actor, living.member(ann.id)
    living.monitor()
    living.policy()
    living.actor = owner
    set_role(living.platform, owner, living.project, member="ann", role=Role.VIEWER)
    harm(living)
    assert [one.action for one in living.turn()] == [ActionKind.RETRAIN]
    job = living.take().job
    assert job.created_by == "policy:keep"
    with living.platform.reading() as tx:
        [event] = tx.events.read(living.project, kinds=["job.queued"])
    assert event.actor == "policy:keep"


def notices(living: Living) -> list[Job]:
    """Return the notices that are queued, oldest first."""
    with living.platform.reading() as tx:
        return list(tx.jobs.find(living.project, ALL, kinds=["decision.notify"]).items)[::-1]


def test_a_rule_tells_its_address_what_it_decided(living: Living) -> None:
    living.monitor()
    living.policy(rules=(replace(ON_ALARM, url=HOOK), replace(ROLL_BACK, url=HOOK), WEEKLY))
    harm(living)
    retrain, held, weekly = living.turn()
    assert [one.action for one in (retrain, held, weekly)] == [ActionKind.RETRAIN, ActionKind.HOLD, ActionKind.HOLD]
    assert [job.payload for job in notices(living)] == [{"decision": one.id, "url": HOOK} for one in (retrain, held)]
    assert [job.title for job in notices(living)] == [
        "tell hooks.example of retrain on delay",
        "tell hooks.example of hold on delay",
    ]
    assert {job.created_by for job in notices(living)} == {"policy:keep"}
    living.turn()
    assert len(notices(living)) == 2


def test_a_rule_may_only_tell_and_each_address_is_told_once_a_cool_down(living: Living) -> None:
    rule = Rule(TriggerKind.SCHEDULE, ActionKind.NOTIFY, cron="0 6 * * *", url=HOOK, cooldown_s=2 * DAY_S)
    alarm = Rule(TriggerKind.ALARM, ActionKind.NOTIFY, monitor="watch", url=HOOK)
    living.monitor()
    living.policy(rules=(rule, alarm, replace(alarm, url=f"{HOOK}/2"), replace(alarm, cooldown_s=1)), retraining=None)
    living.clock.set(START + timedelta(hours=6))
    [decision] = living.turn()
    assert (decision.action, decision.told) == (ActionKind.NOTIFY, "told hooks.example (the schedule '0 6 * * *')")
    living.clock.advance(days=1)
    assert [one.action for one in living.turn()] == [ActionKind.HOLD]
    assert [job.payload["decision"] for job in notices(living)] == [decision.id], "that it held is nobody's news"
    harm(living)
    told = [one for one in living.turn() if one.cause == living.alerts()[0].id]
    assert [(one.action, one.version) for one in told] == [(ActionKind.NOTIFY, 1)] * 2
    assert {job.payload["url"] for job in notices(living)} == {HOOK, f"{HOOK}/2"}
    with pytest.raises(Problem) as caught:
        undo(living.platform, living.actor, living.project, decision.id)
    assert caught.value.code == "decision.conflict"


def test_an_alarm_may_take_the_champion_back_to_the_version_before(living: Living) -> None:
    living.monitor()
    living.version(1.0)
    move_alias(living.platform, living.actor, living.project, "delay", 2, "champion")
    living.policy(rules=(ROLL_BACK, ON_ALARM))
    living.skills[2] = -1.0
    made = living.live(5)
    assert [one.action.value for one in made] == ["roll_back", "retrain"]
    assert (made[0].version, made[0].evidence["from"]) == (1, 2)
    assert living.champion() == 1
    assert [(one.version, one.weight) for one in living.routes()] == [(1, 100)]


def test_a_champion_without_a_version_before_it_stays_and_the_rule_says_so(living: Living) -> None:
    living.monitor()
    living.policy(rules=(ROLL_BACK,), retraining=None)
    living.skills[1] = -1.0
    [held] = living.live(5)
    assert held.action is ActionKind.HOLD
    assert "has named one version only" in held.told
    assert living.champion() == 1


def test_an_alarm_about_a_version_that_is_gone_takes_nothing_back(living: Living) -> None:
    living.monitor(label_delay_s=DAY_S)
    living.version(1.0)
    move_alias(living.platform, living.actor, living.project, "delay", 2, "champion")
    living.version(1.0)
    living.policy(rules=(ROLL_BACK,), retraining=None)
    living.skills[2] = -1.0
    for _ in range(5):
        happened = living.ask(150)
        living.clock.advance(days=1)
        living.label(happened)
    move_alias(living.platform, living.actor, living.project, "delay", 3, "champion")
    living.clock.advance(days=1)
    [held] = living.turn()
    assert "the alarm is about v2, and v3 answers now" in held.told
    assert living.champion() == 3


@pytest.mark.parametrize(
    ("rules", "rest", "code"),
    [
        ((replace(ON_ALARM, monitor="wach"),), {}, "monitor.missing"),
        ((replace(ON_ALARM, action=ActionKind.NOTIFY),), {}, "policy.invalid"),
        ((replace(ON_ALARM, cooldown_s=-1),), {}, "policy.invalid"),
        ((replace(ON_ALARM, url="file:///etc/passwd"),), {}, "policy.invalid"),
        ((replace(ON_ALARM, url="https://ann:secret@hooks.example/"),), {}, "policy.invalid"),
        ((ON_ALARM,), {"retraining": None}, "policy.invalid"),
        ((ON_ALARM,), {"retraining": Retraining("trips", held_back_s=0)}, "policy.invalid"),
        ((ON_ALARM,), {"deployment": "dealy"}, "deployment.missing"),
        ((ON_ALARM,), {"deployment": "another"}, "monitor.missing"),
        ((replace(WEEKLY, cron="61 * * * *"),), {}, "policy.invalid"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_and_leaves_nothing(
    living: Living, rules: tuple[Rule, ...], rest: dict[str, Any], code: str
) -> None:
    living.monitor()
    deploy(living.platform, living.actor, living.project, "another", model="delay")
    with pytest.raises(Problem) as told:
        living.policy(rules=rules, **rest)
    assert told.value.code == code
    assert find_policies(living.platform, living.actor, living.project) == []
