"""Policies as a user writes them: `on(watch.degraded).do(train.retrain(data="latest")).at_most("1/14d")`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelyard.client.connection import Connection
from modelyard.client.deployments import DeploymentClient
from modelyard.client.triggers import Trigger
from modelyard.core import Problem
from modelyard.core.spans import rate
from modelyard.reactions import ActionKind, Policy, Retraining, Rule


@dataclass(frozen=True)
class Retrain:
    """The action that trains the champion's recipe on fresh rows; made by a trainer's `retrain`."""

    retraining: Retraining


Action = Retrain | Callable[[], Any]


@dataclass(frozen=True)
class WrittenRule:
    """A rule as far as it is written."""

    trigger: Trigger
    action: ActionKind | None = None
    retraining: Retraining | None = None
    deployment: str | None = None
    cooldown_s: int = 0
    url: str | None = None

    def do(self, action: Action) -> "WrittenRule":
        """Say what to do: `train.retrain(…)`, or the roll-back of a deployment, `churn.roll_back` without a call.

        Raises
        ------
        Problem
            `policy.invalid` for anything else.
        """
        if isinstance(action, Retrain):
            return replace(self, action=ActionKind.RETRAIN, retraining=action.retraining)
        owner = getattr(action, "__self__", None)
        if isinstance(owner, DeploymentClient) and getattr(action, "__name__", "") == "roll_back":
            return replace(self, action=ActionKind.ROLL_BACK, deployment=owner.name)
        what = f"A rule cannot do {action!r:.80}"
        step = 'do(train.retrain(data="latest")) or do(churn.roll_back), the latter without calling it'
        raise Problem("policy.invalid", what, "it is neither a retraining nor a roll-back", step)

    def notify(self, url: str) -> "WrittenRule":
        """Say where what the rule decides is told: a POST of the decision as JSON, without its evidence, by a worker.

        A rule that does nothing else tells of its trigger. All who may read the policy see the address.
        """
        return replace(self, url=url)

    def at_most(self, often: str) -> "WrittenRule":
        """Say how often at most, such as `1/14d`: what it does is that span, divided by the count, apart."""
        count, seconds = rate(often)
        if count < 1:
            raise Problem("rate.invalid", f"'{often}' allows nothing", "the count is at least 1", 'at_most("1/14d")')
        return replace(self, cooldown_s=seconds // count)

    def rule(self) -> Rule:
        """Return the rule. Problem `policy.invalid` when it does not say what to do."""
        action = self.action or (ActionKind.NOTIFY if self.url is not None else None)
        if action is None:
            raise Problem("policy.invalid", "A rule does not say what to do", "it ends with its trigger", "on(…).do(…)")
        return Rule(
            trigger=self.trigger.kind,
            action=action,
            monitor=self.trigger.monitor,
            cron=self.trigger.cron,
            cooldown_s=self.cooldown_s,
            url=self.url,
        )


def on(trigger: Trigger) -> WrittenRule:
    """Begin a rule: when a monitor's `degraded` is raised, or on a `schedule(…)`."""
    if not isinstance(trigger, Trigger):
        raise Problem("policy.invalid", f"{trigger!r:.80} is no trigger", "", 'on(watch.degraded) or on(schedule("0 6 * * 1"))')
    return WrittenRule(trigger)


class PolicyClient:
    """A policy that is applied."""

    def __init__(self, record: Policy) -> None:
        self.record = record

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name


def apply(
    connection: Connection,
    project: str,
    rules: Sequence[WrittenRule],
    *,
    budget: str,
    deployment: str | DeploymentClient | None,
    name: str | None,
    enabled: bool,
) -> PolicyClient:
    """Apply a policy and return it. Raises as `on` and `do`, and `policy.invalid` when the deployment is not plain."""
    served = _deployment(rules, deployment)
    retrainings = {one.retraining for one in rules if one.retraining is not None}
    if len(retrainings) > 1:
        why = "its rules name several"
        raise Problem(
            "policy.invalid", "A policy retrains in one way", why, "write one policy for each, with a name of its own"
        )
    count, seconds = rate(budget)
    body = {
        "name": name or served,
        "deployment": served,
        "rules": [one.rule() for one in rules],
        "retraining": next(iter(retrainings), None),
        "budget": count,
        "budget_s": seconds,
        "enabled": enabled,
    }
    return PolicyClient(connection.post(f"{project}/policies", Policy, body))


def _deployment(rules: Sequence[WrittenRule], told: str | DeploymentClient | None) -> str:
    if told is not None:
        return told.name if isinstance(told, DeploymentClient) else told
    names = {name for one in rules for name in (one.trigger.deployment, one.deployment) if name is not None}
    if len(names) == 1:
        return names.pop()
    why = "its rules name several" if names else "its rules name none"
    raise Problem("policy.invalid", "For which deployment is the policy?", why, 'project.policy(…, deployment="churn")')
