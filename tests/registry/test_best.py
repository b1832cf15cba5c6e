"""An alias that moves by itself: by events, through its gate, never back to what was rolled back from."""

from dataclasses import replace
from typing import Any

import pytest

from modelyard.core import Problem
from modelyard.events import Event, Fact
from modelyard.registry import Alias, Best, Condition, ConditionKind, Evaluation, Form, Gate
from modelyard.registry.best import set_best
from modelyard.registry.service import add_evaluations, find_aliases, restore, set_gate
from modelyard.serving.service import deploy, latest_revision, roll_back_rollout, start_rollout
from modelyard.tenancy import Role
from modelyard.tenancy.service import create_member
from modelyard.training import Direction
from modelyard.wiring.follower import Follower
from tests.living import DIGEST, Living

LOSS = Best("log_loss", Direction.MINIMISE)


def rule(living: Living, best: Best | None = LOSS, name: str = "best") -> Alias:
    return set_best(living.platform, living.actor, living.project, "delay", name, best)


def alias(living: Living, name: str = "best") -> Alias:
    found = find_aliases(living.platform, living.actor, living.project, "delay")
    return next(one for one in found if one.name == name)


def registered(living: Living, skill: float, **changes: Any) -> int:
    """Register a version as the registry does, with its event, and let the follower turn."""
    number = living.version(skill, **changes)
    with living.platform.transaction() as tx:
        tx.events.add(living.project, [Fact("version.registered", f"delay@{number}")], actor="test", at=living.clock())
    turn(living)
    return number


def turn(living: Living) -> None:
    follower = Follower(living.platform)
    while follower.turn(living.project):
        pass


def moves(living: Living, name: str = "best") -> list[Event]:
    with living.platform.reading() as tx:
        return tx.events.read(living.project, kinds=["alias.moved"], subject=f"delay@{name}", limit=100)


def test_it_stands_at_the_best_at_once_and_moves_when_a_better_one_is_registered(living: Living) -> None:
    living.version(0.4)
    assert rule(living).version == 1
    assert registered(living, 0.7) == 3
    assert alias(living).version == 1, "worse"
    assert registered(living, 1.0) == 4
    assert alias(living).version == 1, "equal"
    better = registered(living, 1.0, metrics={"log_loss": 0.25})
    assert alias(living).version == better
    first, second = moves(living)
    assert first.actor == second.actor == "policy:delay@best"
    assert first.data["cause"].endswith(f"; member:{living.actor.member}")
    assert second.data["cause"].startswith("best by log_loss: 0.25 beside ")
    assert second.data["cause"].endswith(f" of v1; version.registered delay@{better}")


def test_an_evaluation_and_a_gate_move_it_too(living: Living) -> None:
    living.version(0.4)
    set_gate(living.platform, living.actor, living.project, "delay", "best", Gate((Condition(ConditionKind.CHECKS),)))
    rule(living)
    closed = living.version(0.4, checks_green=False)

    def kept(number: int, value: float) -> None:
        one = Evaluation(None, 1, 500, "labelled", "log_loss", value, 0.5, {}, {}, living.clock())
        add_evaluations(living.platform, living.actor, living.project, "delay", number, [one])
        turn(living)

    kept(closed, 0.1)
    assert alias(living).version == 1, "its gate is closed to that one"
    kept(2, 0.4)
    assert alias(living).version == 2
    assert moves(living)[-1].data["cause"] == (
        "best by log_loss: 0.4 beside 0.5 of v1 on the same rows; version.evaluated delay@2"
    )
    set_gate(living.platform, living.actor, living.project, "delay", "best", Gate())
    turn(living)
    assert alias(living).version == closed


def test_a_deployment_follows_it_and_what_was_rolled_back_from_is_not_chosen_again(living: Living) -> None:
    living.version(0.1)
    worse = rule(living, replace(LOSS, direction=Direction.MAXIMISE, metric="loss_of_mine"))
    assert worse.version is None, "nothing was measured by that"
    rule(living)
    place = (living.platform, living.actor, living.project)
    deploy(*place, "mine", model="delay", alias="best", canary=(50, 100))
    better = living.version(1.0, metrics={"log_loss": 0.01})
    rule(living, replace(LOSS))
    turn(living)
    assert latest_revision(*place, "mine").routes[0].version == better
    restore(*place, "delay", "best", 1, cause="undo")
    registered(living, 0.2)
    assert (alias(living).version, alias(living).best) == (1, replace(LOSS, barred=(better,)))
    hurt = living.version(1.0, metrics={"log_loss": 0.02})
    rollout = start_rollout(*place, "mine", version=hurt, cause="test")
    roll_back_rollout(*place, rollout.id)
    registered(living, 0.2)
    assert alias(living).version == 1
    assert rule(living).version == better, "a new rule bars nobody"


def test_without_a_rule_it_rests(living: Living) -> None:
    rule(living)
    assert rule(living, None).best is None
    registered(living, 1.5)
    assert alias(living).version == 1


def test_bounds_leave_out_what_stands_there(living: Living) -> None:
    rule(living)
    small = living.version(0.2, forms=(Form("native", DIGEST, 10, "sklearn", latency_us=20.0),))
    assert rule(living, replace(LOSS, latency_us=100.0)).version == small


@pytest.mark.parametrize(
    "best", [replace(LOSS, direction=Direction.MAXIMISE), replace(LOSS, latency_us=0.0), Best("", Direction.MINIMISE)]
)
def test_a_rule_that_cannot_hold_is_refused(living: Living, best: Best) -> None:
    with pytest.raises(Problem) as told:
        rule(living, best)
    assert told.value.code == "alias.invalid"


def test_only_who_may_move_an_alias_may_have_it_move(living: Living) -> None:
    trainer = living.member(create_member(living.platform, living.actor, name="tess", role=Role.TRAINER).id)
    with pytest.raises(Problem) as told:
        set_best(living.platform, trainer, living.project, "delay", "best", LOSS)
    assert told.value.code == "action.forbidden"
