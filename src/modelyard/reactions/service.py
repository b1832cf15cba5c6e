"""Use cases of reactions. `turn` is the loop: judge canaries, act on finished retrainings, answer alarms and schedules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from modelyard.core import Effort, Page, PageRequest, Problem, ProjectId, check_name, missing, to_text
from modelyard.events import Fact
from modelyard.monitoring import Monitor
from modelyard.monitoring.rules import due_windows
from modelyard.monitoring.service import evaluate
from modelyard.reactions.causes import answer_alarms, keep_schedule, news
from modelyard.reactions.judging import judge_rollout
from modelyard.reactions.ports import Ports
from modelyard.reactions.record import Deed, deployment_named, record, waiting
from modelyard.reactions.retraining import PAGE, gate_retrained, ready
from modelyard.reactions.rules import check_policy, due_times, is_look_due
from modelyard.reactions.types import (
    ActionKind,
    Decision,
    DecisionId,
    Policy,
    PolicyId,
    Retraining,
    Rule,
    TriggerKind,
)
from modelyard.reactions.undoing import take_back
from modelyard.registry.service import approve, evaluate_gate
from modelyard.serving import Rollout, RolloutState
from modelyard.serving.service import get_deployment, start_rollout
from modelyard.tenancy import Actor, authorise
from modelyard.tenancy.service import platform_actor


@dataclass(frozen=True)
class Agenda:
    """What is due in a project."""

    monitors: tuple[Monitor, ...]
    rollouts: tuple[Rollout, ...]
    waiting: tuple[tuple[Policy, DecisionId], ...]  # retrainings that have ended, for the gate
    scheduled: tuple[Policy, ...]
    news: bool  # events that no policy has seen

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return bool(self.monitors or self.rollouts or self.waiting or self.scheduled or self.news)


def apply_policy(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    *,
    deployment: str,
    rules: Sequence[Rule],
    retraining: Retraining | None = None,
    budget: int = 4,
    budget_s: int = 30 * 86_400,
    enabled: bool = True,
) -> Policy:
    """Declare the loop of a deployment; one that is there under this name takes the new form and keeps its history."""
    authorise(actor, "policy.write", project)
    check_name("policy", name)
    get_deployment(ports, actor, project, deployment)
    with ports.transaction() as tx:
        known = next((policy for policy in tx.policies.find(project) if policy.name == name), None)
        policy = Policy(
            id=known.id if known else PolicyId(ports.ids("pol")),
            project=project,
            name=name,
            deployment=deployment,
            rules=tuple(rules),
            retraining=retraining,
            budget=budget,
            budget_s=budget_s,
            created_by=actor.member,
            created_at=known.created_at if known else ports.clock(),
            enabled=enabled,
        )
        policy = replace(policy, state=_state_of(policy, known, ports.clock()))
        check_policy(policy)
        _check_monitors(tx.monitors.find(project), policy)
        tx.policies.save(project, [policy])
        tx.events.add(project, [Fact("policy.applied", name)], actor=actor.member, at=ports.clock())
    return policy


def find_policies(ports: Ports, actor: Actor, project: ProjectId) -> list[Policy]:
    """Return the project's policies, by name."""
    authorise(actor, "policy.read", project)
    with ports.transaction() as tx:
        return tx.policies.find(project)


def find_decisions(
    ports: Ports,
    actor: Actor,
    project: ProjectId,
    page: PageRequest,
    *,
    deployment: str | None = None,
    actions: Sequence[ActionKind] = (),
) -> Page[Decision]:
    """Return decisions, newest first."""
    authorise(actor, "policy.read", project)
    with ports.transaction() as tx:
        return tx.policies.decisions(project, page, deployment=deployment, actions=actions)


def get_decision(ports: Ports, actor: Actor, project: ProjectId, decision: DecisionId) -> Decision:
    """Return one decision."""
    authorise(actor, "policy.read", project)
    with ports.transaction() as tx:
        return tx.policies.get_decisions(project, [decision])[0]


def turn(ports: Ports, project: ProjectId) -> list[Decision]:
    """Do all that is due in a project by the platform's clock, and return the decisions made. Safe to repeat, and to race.

    Canaries first, then finished retrainings, then alarms and schedules: each decision sees what the one before it changed.
    What breaks off stops nothing else; it is raised at the end. It is the platform that acts, as `judge` or `policy:NAME`: what
    was once declared, by somebody who might, does not hang on their role any more. Called by the follower alone.
    """
    agenda = look(ports, project)
    if not agenda:
        return []
    made: list[Decision] = []
    effort = Effort()
    for monitor in agenda.monitors:
        effort.make(partial(_watch, ports, monitor), None)
    for rollout in agenda.rollouts:
        made += effort.make(partial(_judge, ports, rollout), [])
    for policy, decision in agenda.waiting:
        made += effort.make(partial(gate_retrained, ports, project, policy.name, decision), [])
    made += effort.make(partial(answer_alarms, ports, project), [])
    for policy in agenda.scheduled:
        made += effort.make(partial(keep_schedule, ports, project, policy.name), [])
    effort.end()
    return made


def look(ports: Ports, project: ProjectId) -> Agenda:
    """Return what is due now, at the cost of five short queries that wait for nobody; seven while something is retrained."""
    with ports.reading() as tx:
        now = ports.clock()
        policies = [policy for policy in tx.policies.find(project) if policy.enabled]
        rollouts = tx.deployments.rollouts(project, PAGE, states=[RolloutState.RUNNING]).items
        return Agenda(
            monitors=tuple(monitor for monitor in tx.monitors.find(project) if due_windows(monitor, now)),
            rollouts=tuple(rollout for rollout in rollouts if is_look_due(rollout, now)),
            waiting=tuple((policy, one) for policy in policies for one in ready(tx, policy, rollouts)),
            scheduled=tuple(policy for policy in policies if due_times(policy, now)),
            news=bool(news(tx, project)),
        )


def push(
    ports: Ports, actor: Actor, project: ProjectId, deployment_name: str, version: int, *, reason: str
) -> tuple[Rollout, Decision]:
    """Break the glass: start a canary of a version past its gate, by an admin, with a reason, on record.

    What the gate does not say the judge still will: a canary that hurts is rolled back as any other. Its rollout has the
    decision as its cause.
    """
    deployment = get_deployment(ports, actor, project, deployment_name)
    with ports.transaction() as tx:
        approve(ports, actor, project, deployment.model, version, deployment.alias, reason=reason, break_glass=True)
        gate = evaluate_gate(ports, actor, project, deployment.model, version, deployment.alias)
        own = DecisionId(ports.ids("dec"))
        rollout = start_rollout(ports, actor, project, deployment.name, version=version, cause=own)
        deed = Deed(
            action=ActionKind.BREAK_GLASS,
            cause=rollout.id,
            told=f"{actor.name} pushed {deployment.model} v{version} past its gate: {reason}",
            evidence={"gate": msgspec.to_builtins(gate), "rollout": rollout.id, "base": rollout.base, "reason": reason},
            by=actor.member,
            version=version,
            id=own,
        )
        decision = record(ports, tx, deployment, deed)
    return rollout, decision


def undo(ports: Ports, actor: Actor, project: ProjectId, decision_id: DecisionId) -> Decision:
    """Take a decision back, and return the decision that records it.

    A canary under way is rolled back; a promotion or a champion's roll-back restores the version before; a retraining is
    stopped, or its version kept from the gate.

    Raises
    ------
    Problem
        `decision.conflict` when it was undone already, or there is nothing left to take back.
    """
    authorise(actor, "decision.undo", project)
    with ports.transaction() as tx:
        [decision] = tx.policies.get_decisions(project, [decision_id])
        if decision.undone_at is not None:
            raise Problem("decision.conflict", "The decision was undone already", f"at {to_text(decision.undone_at)}")
        deployment = deployment_named(tx, project, decision.deployment)
        told = take_back(ports, tx, actor, deployment, decision)
        tx.policies.save_decisions(project, [replace(decision, undone_at=ports.clock(), undone_by=actor.member)])
        evidence = {"undone": decision.id, "action": decision.action.value}
        deed = Deed(ActionKind.UNDO, decision.id, told, evidence, actor.member, decision.version)
        return record(ports, tx, deployment, deed)


def pending(ports: Ports, project: ProjectId) -> list[str]:
    """Return what the loop is in the midst of: retrainings without their gate decision yet."""
    with ports.reading() as tx:
        open_ones = [one for policy in tx.policies.find(project) if policy.enabled for one in waiting(policy)]
        return [f"retraining for {decision.cause}" for decision in tx.policies.get_decisions(project, open_ones)]


def _watch(ports: Ports, monitor: Monitor) -> None:
    evaluate(ports, platform_actor(ports, monitor.project, f"monitor:{monitor.name}"), monitor.project, monitor.name)


def _judge(ports: Ports, rollout: Rollout) -> list[Decision]:
    with ports.reading() as tx:
        deployment = deployment_named(tx, rollout.project, rollout.name)
    return judge_rollout(ports, deployment, rollout)


def _check_monitors(known: Sequence[Monitor], policy: Policy) -> None:
    """Return when each rule's monitor is there and watches the policy's deployment."""
    watching = {monitor.name for monitor in known if monitor.deployment == policy.deployment}
    for rule in policy.rules:
        if rule.monitor is not None and rule.monitor not in watching:
            raise missing("monitor", rule.monitor, watching, f"declare one of {policy.deployment} first")


def _state_of(policy: Policy, known: Policy | None, now: datetime) -> dict[str, Any]:
    """Return the state that a policy goes on with: a schedule that is new, or was switched off, looks ahead only."""
    state = dict(known.state) if known else {}
    slept = known is not None and policy.enabled and not known.enabled
    for rule in policy.rules:
        if rule.trigger is TriggerKind.SCHEDULE and rule.cron is not None and (slept or rule.cron not in state):
            state[rule.cron] = to_text(now)
    return state
