"""Policies, what sets them off, what they do, and the record of each deed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NewType

from modelyard.core import ProjectId

PolicyId = NewType("PolicyId", str)
DecisionId = NewType("DecisionId", str)


class TriggerKind(Enum):
    """What sets a rule off."""

    ALARM = "alarm"  # a monitor's alarm on harm
    SCHEDULE = "schedule"  # a cron time of the platform's clock


class ActionKind(Enum):
    """What was, or is to be, done. Every decision is one of these."""

    RETRAIN = "retrain"  # start a retraining job
    HOLD = "hold"  # do nothing, and say why: cool-down, budget, a job or canary under way
    REFUSE = "refuse"  # the gate said no
    CANARY = "canary"  # start a canary, or move it to its next step
    PROMOTE = "promote"  # the canary passed: the alias moves
    ROLL_BACK = "roll_back"  # the canary, or the champion, was worse
    BREAK_GLASS = "break_glass"  # a person pushed a version past its gate
    UNDO = "undo"  # a person took a decision back
    NOTIFY = "notify"  # tell an address, and do nothing else


@dataclass(frozen=True)
class Rule:
    """On this trigger, do this, at most so often."""

    trigger: TriggerKind
    action: ActionKind
    monitor: str | None = None  # ALARM: its name
    cron: str | None = None  # SCHEDULE
    cooldown_s: int = 0  # since the policy last did the same, by the platform's clock
    url: str | None = None  # where what the rule decides is told, by an HTTP POST; NOTIFY needs one


@dataclass(frozen=True)
class Retraining:
    """How a policy retrains: the recipe of the champion on fresh rows, judged on the newest ones held back, then refitted."""

    dataset: str  # grows by the deployment's labelled predictions
    held_back_s: int = 7 * 86_400  # the newest labelled stretch that the recipe is judged on
    history_s: int | None = None  # fit on this much before it; None: on all


@dataclass(frozen=True)
class Policy:
    """The declared loop of one deployment."""

    id: PolicyId
    project: ProjectId
    name: str
    deployment: str
    rules: tuple[Rule, ...]
    retraining: Retraining | None
    budget: int  # retrains in each `budget_s`
    budget_s: int
    created_by: str
    created_at: datetime
    enabled: bool = True
    state: Mapping[str, Any] = field(default_factory=dict)  # schedule → the last time it was looked at


@dataclass(frozen=True)
class Decision:
    """One deed, with its cause and evidence."""

    id: DecisionId
    project: ProjectId
    policy: str | None  # None: a person's
    deployment: str
    action: ActionKind
    cause: str  # id of the alert, `schedule:NAME@TIME`, id of the rollout or decision
    version: int | None
    told: str  # one sentence for people
    evidence: Mapping[str, Any]
    by: str
    at: datetime
    undone_at: datetime | None = None
    undone_by: str | None = None
