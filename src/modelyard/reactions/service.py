"""Use cases of reactions. `turn` is the loop: judge canaries, act on finished retrainings, answer alarms and schedules."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from modelyard.core import (
    Clock,
    IdMaker,
    MemberId,
    ObjectStore,
    Page,
    PageRequest,
    Problem,
    ProjectId,
    check_name,
    to_text,
)
from modelyard.data import TableStore
from modelyard.events import Fact
from modelyard.jobs import Job, JobState
from modelyard.jobs.service import cancel, submit
from modelyard.monitoring import AlertKind, Looks
from modelyard.monitoring.canary import losses_of
from modelyard.monitoring.sequential import judge
from modelyard.monitoring.service import evaluate
from modelyard.reactions.rules import Course, check_policy, due_times, is_look_due, may_retrain, next_move, schedule_cause
from modelyard.reactions.store import ReactionTransaction
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
from modelyard.registry.service import approve, evaluate_gate, restore
from modelyard.serving import Deployment, Rollout, RolloutId, RolloutState, Verdict
from modelyard.serving.service import (
    advance_rollout,
    get_deployment,
    get_rollout,
    hold_rollout,
    roll_back_deployment,
    roll_back_rollout,
    start_rollout,
)
from modelyard.tenancy import Actor, authorise

if TYPE_CHECKING:
    from datetime import datetime

RETRAIN_JOB = "deployment.retrain"
PAGE = PageRequest(limit=1000)
# Narrowest where a canary stands after its first week; undecided after some 8,000 rows it waits for a person.
JUDGING = Looks(tolerance=0.0, narrowest_rows=1_000, cap_rows=8_000)


class Ports(Protocol):
    """What reactions need of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...

    @property
    def ids(self) -> IdMaker:
        """The maker of ids."""
        ...

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        ...

    @property
    def lake(self) -> TableStore:
        """The lake."""
        ...

    def transaction(self) -> AbstractContextManager[ReactionTransaction]:
        """Open or join a transaction."""
        ...


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
            state=known.state if known else {},
        )
        check_policy(policy)
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


def turn(ports: Ports, actor_of: Callable[[MemberId], Actor], project: ProjectId) -> list[Decision]:
    """Do all that is due in a project by the platform's clock, and return the decisions made. Safe to repeat.

    Canaries first, then finished retrainings, then alarms and schedules: each decision sees what the one before it changed.
    """
    with ports.transaction() as tx:
        policies = [policy for policy in tx.policies.find(project) if policy.enabled]
    made: list[Decision] = []
    with ports.transaction() as tx:
        monitors = tx.monitors.find(project)
    for monitor in monitors:
        evaluate(ports, actor_of(MemberId(monitor.created_by)), project, monitor.name)
    with ports.transaction() as tx:
        running = tx.deployments.rollouts(project, PAGE, states=[RolloutState.RUNNING]).items
        deployments = {deployment.name: deployment for deployment in tx.deployments.find(project)}
    for rollout in running:
        if not is_look_due(rollout, ports.clock()):
            continue
        deployment = deployments[rollout.name]
        made += _judge_rollout(ports, actor_of(MemberId(deployment.created_by)), project, deployment, rollout)
    for policy in policies:
        actor = actor_of(MemberId(policy.created_by))
        deployment = deployments[policy.deployment]
        made += _act_on_retrainings(ports, actor, policy, deployment)
        made += _act_on_alarms(ports, actor, policy, deployment)
        made += _act_on_schedules(ports, actor, policy, deployment)
    return made


def push(
    ports: Ports, actor: Actor, project: ProjectId, deployment_name: str, version: int, *, reason: str
) -> tuple[Rollout, Decision]:
    """Break the glass: start a canary of a version past its gate, by an admin, with a reason, on record.

    What the gate does not say the judge still will: a canary that hurts is rolled back as any other.
    """
    deployment = get_deployment(ports, actor, project, deployment_name)
    with ports.transaction() as tx:
        approve(ports, actor, project, deployment.model, version, deployment.alias, reason=reason, break_glass=True)
        gate = evaluate_gate(ports, actor, project, deployment.model, version, deployment.alias)
        rollout = start_rollout(ports, actor, project, deployment.name, version=version, cause=f"break_glass:{actor.member}")
        decision = _record(
            ports,
            tx,
            None,
            deployment,
            ActionKind.BREAK_GLASS,
            cause=rollout.id,
            version=version,
            told=f"{actor.name} pushed {deployment.model} v{version} past its gate: {reason}",
            evidence={"gate": msgspec.to_builtins(gate), "rollout": rollout.id, "reason": reason},
            by=actor.member,
        )
    return rollout, decision


def undo(ports: Ports, actor: Actor, project: ProjectId, decision_id: DecisionId) -> Decision:
    """Take a decision back, and return the decision that records it.

    A running canary is rolled back, a promotion or roll-back restores the version before, a retraining under way is cancelled.

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
        deployment = get_deployment(ports, actor, project, decision.deployment)
        told = _take_back(ports, actor, project, deployment, decision)
        now = ports.clock()
        tx.policies.save_decisions(project, [replace(decision, undone_at=now, undone_by=actor.member)])
        return _record(
            ports,
            tx,
            None,
            deployment,
            ActionKind.UNDO,
            cause=decision.id,
            version=decision.version,
            told=told,
            evidence={"undone": decision.id, "action": decision.action.value},
            by=actor.member,
        )


def _take_back(ports: Ports, actor: Actor, project: ProjectId, deployment: Deployment, decision: Decision) -> str:
    if decision.action in (ActionKind.CANARY, ActionKind.BREAK_GLASS):
        rollout = get_rollout(ports, actor, project, RolloutId(str(decision.evidence["rollout"])))
        if rollout.state in (RolloutState.RUNNING, RolloutState.HELD):
            roll_back_rollout(ports, actor, project, rollout.id, judgement=rollout.judgement)
            return f"canary of v{rollout.candidate} taken back"
    if decision.action is ActionKind.PROMOTE:
        before = decision.evidence.get("base")
        if before is not None:
            restore(ports, actor, project, deployment.model, deployment.alias, int(before), cause=decision.id)
            roll_back_deployment(ports, actor, project, deployment.name, cause=decision.id)
            return f"{deployment.alias} is v{before} again"
    if decision.action is ActionKind.RETRAIN:
        job = cancel(ports, actor, project, decision.evidence["job"])
        return f"retraining {job.state.value if job.state is JobState.CANCELLED else 'asked to stop'}"
    raise Problem(
        "decision.conflict",
        f"The decision to {decision.action.value} cannot be undone",
        "nothing of it is left to take back",
        "yard decision list",
    )


def _judge_rollout(ports: Ports, actor: Actor, project: ProjectId, deployment: Deployment, rollout: Rollout) -> list[Decision]:
    with ports.transaction() as tx:
        tx.deployments.save_rollouts(project, [replace(rollout, looked_at=ports.clock())])
    shown = losses_of(ports, project, deployment, rollout)
    judged = judge(shown.strata, replace(JUDGING, tolerance=deployment.tolerance))
    last_step = rollout.step >= len(deployment.canary) - 2
    way = next_move(judged, last_step=last_step, rows_at_step=shown.rows_at_step, course=Course())
    if way is Verdict.UNDECIDED:
        return []
    evidence = {"rollout": rollout.id, "base": rollout.base, "judgement": dict(judged.to_json())}
    with ports.transaction() as tx:
        if way is Verdict.ROLL_BACK:
            roll_back_rollout(ports, actor, project, rollout.id, judgement=judged)
            action, told = ActionKind.ROLL_BACK, f"rolled back v{rollout.candidate} by itself: {judged.why}"
        elif way is Verdict.HOLD:
            hold_rollout(ports, actor, project, rollout.id, judgement=judged)
            action, told = ActionKind.HOLD, f"v{rollout.candidate} waits for a person: {judged.why}"
        else:
            moved = advance_rollout(ports, actor, project, rollout.id, judgement=judged)
            if moved.state is RolloutState.PROMOTED:
                action, told = ActionKind.PROMOTE, f"promoted v{rollout.candidate} to {deployment.alias}: {judged.why}"
            else:
                share = deployment.canary[moved.step]
                action, told = ActionKind.CANARY, f"canary v{rollout.candidate} to {share} %: {judged.why}"
        policy = _policy_of(tx, project, rollout)
        return [
            _record(
                ports,
                tx,
                policy,
                deployment,
                action,
                cause=rollout.cause,
                version=rollout.candidate,
                told=told,
                evidence=evidence,
                by="judge",
            )
        ]


def _act_on_retrainings(ports: Ports, actor: Actor, policy: Policy, deployment: Deployment) -> list[Decision]:
    """Gate each finished retraining that nothing was decided on yet, and start its canary or refuse it."""
    project = policy.project
    with ports.transaction() as tx:
        retrains = tx.policies.decisions(project, PAGE, deployment=deployment.name, actions=[ActionKind.RETRAIN]).items
        answered = _causes_with(tx, policy, (ActionKind.CANARY, ActionKind.REFUSE))
        waiting = [d for d in retrains if d.policy == policy.name and d.cause not in answered and d.undone_at is None]
        jobs = {job.id: job for job in tx.jobs.get(project, [d.evidence["job"] for d in waiting])}
    made = []
    for decision in reversed(waiting):
        job = jobs[decision.evidence["job"]]
        if job.state in (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED):
            made.append(_gate_retraining(ports, actor, policy, deployment, decision, job))
    return made


def _gate_retraining(
    ports: Ports, actor: Actor, policy: Policy, deployment: Deployment, decision: Decision, job: Job
) -> Decision:
    project = policy.project

    def record(tx: ReactionTransaction, action: ActionKind, version: int | None, told: str, **evidence: Any) -> Decision:
        return _record(
            ports,
            tx,
            policy,
            deployment,
            action,
            cause=decision.cause,
            version=version,
            told=told,
            evidence={"job": job.id, **evidence},
            by=f"policy:{policy.name}",
        )

    with ports.transaction() as tx:
        if job.state is not JobState.FINISHED or job.result is None:
            why = (job.problem or {}).get("what", job.state.value)
            return record(tx, ActionKind.REFUSE, None, f"retraining ended badly: {why}", problem=dict(job.problem or {}))
        version = int(job.result["version"])
        gate = evaluate_gate(ports, actor, project, deployment.model, version, deployment.alias)
        evidence = {"gate": msgspec.to_builtins(gate), "run": job.result.get("run")}
        if not gate.passed:
            failed = "; ".join(one.told for one in gate.results if not one.passed)
            return record(tx, ActionKind.REFUSE, version, f"gate refused v{version}: {failed}", **evidence)
        rollout = start_rollout(ports, actor, project, deployment.name, version=version, cause=decision.cause)
        told = "; ".join(one.told for one in gate.results if one.measured is not None)
        share = deployment.canary[0] if deployment.canary else 100
        text = f"canary v{version} started at {share} %: gate green, {told}"
        return record(tx, ActionKind.CANARY, version, text, rollout=rollout.id, **evidence)


def _act_on_alarms(ports: Ports, actor: Actor, policy: Policy, deployment: Deployment) -> list[Decision]:
    project = policy.project
    made: list[Decision] = []
    for rule in policy.rules:
        if rule.trigger is not TriggerKind.ALARM:
            continue
        with ports.transaction() as tx:
            answered = _causes_with(tx, policy, tuple(ActionKind))
            alarms = tx.monitors.alerts(project, PAGE, kinds=[AlertKind.ALARM]).items
        for alarm in reversed(alarms):
            fresh = alarm.at >= policy.created_at and alarm.id not in answered and alarm.id not in _causes(made)
            if fresh and alarm.monitor_name == rule.monitor:
                made.append(_act(ports, actor, policy, deployment, rule, alarm.id, alarm.told))
    return made


def _act_on_schedules(ports: Ports, actor: Actor, policy: Policy, deployment: Deployment) -> list[Decision]:
    made = []
    state = dict(policy.state)
    for rule, at in due_times(policy, ports.clock()):
        made.append(_act(ports, actor, policy, deployment, rule, schedule_cause(rule, at), f"the schedule '{rule.cron}'"))
        state[rule.cron or ""] = to_text(at)
    if made:
        with ports.transaction() as tx:
            tx.policies.save(policy.project, [replace(policy, state=state)])
    return made


def _act(ports: Ports, actor: Actor, policy: Policy, deployment: Deployment, rule: Rule, cause: str, why: str) -> Decision:
    if rule.action is ActionKind.ROLL_BACK:
        return _roll_back_champion(ports, actor, policy, deployment, cause, why)
    return _retrain_or_hold(ports, actor, policy, deployment, rule, cause, why)


def _retrain_or_hold(
    ports: Ports, actor: Actor, policy: Policy, deployment: Deployment, rule: Rule, cause: str, why: str
) -> Decision:
    project = policy.project
    now = ports.clock()
    with ports.transaction() as tx:
        made = tx.policies.decisions(project, PAGE, deployment=deployment.name, actions=[ActionKind.RETRAIN]).items
        choice = may_retrain(policy, rule, now, [d for d in made if d.policy == policy.name], _busy(tx, policy, deployment))
        evidence: dict[str, Any] = {"trigger": why}
        if choice.action is ActionKind.RETRAIN and policy.retraining is not None:
            job = submit(
                ports,
                actor,
                project,
                kind=RETRAIN_JOB,
                title=f"retrain {deployment.model}",
                payload={
                    "deployment": deployment.name,
                    "retraining": msgspec.to_builtins(policy.retraining),
                    "cause": cause,
                    "until": to_text(now),
                },
                cause=cause,
                priority=10,
            )
            evidence["job"] = job.id
        return _record(
            ports,
            tx,
            policy,
            deployment,
            choice.action,
            cause=cause,
            version=None,
            told=f"{choice.told} ({why})",
            evidence=evidence,
            by=f"policy:{policy.name}",
        )


def _roll_back_champion(ports: Ports, actor: Actor, policy: Policy, deployment: Deployment, cause: str, why: str) -> Decision:
    with ports.transaction() as tx:
        revision = roll_back_deployment(ports, actor, policy.project, deployment.name, cause=cause)
        version = revision.routes[0].version
        return _record(
            ports,
            tx,
            policy,
            deployment,
            ActionKind.ROLL_BACK,
            cause=cause,
            version=version,
            told=f"rolled back to v{version} ({why})",
            evidence={"trigger": why},
            by=f"policy:{policy.name}",
        )


def _busy(tx: ReactionTransaction, policy: Policy, deployment: Deployment) -> str | None:
    jobs = tx.jobs.find(policy.project, PAGE, states=[JobState.QUEUED, JobState.RUNNING], kinds=[RETRAIN_JOB]).items
    if any(job.payload.get("deployment") == deployment.name for job in jobs):
        return "a retraining is under way"
    states = [RolloutState.RUNNING]  # one that waits for a person makes way for a newer candidate
    rollouts = tx.deployments.rollouts(policy.project, PAGE, deployment=deployment.id, states=states).items
    if rollouts:
        return f"the canary of v{rollouts[0].candidate} is under way"
    return None


def _causes_with(tx: ReactionTransaction, policy: Policy, actions: Sequence[ActionKind]) -> set[str]:
    """Return the causes that this policy has met with one of these actions."""
    made = tx.policies.decisions(policy.project, PAGE, deployment=policy.deployment, actions=actions).items
    return {decision.cause for decision in made if decision.policy == policy.name}


def _causes(decisions: Sequence[Decision]) -> set[str]:
    return {decision.cause for decision in decisions}


def _policy_of(tx: ReactionTransaction, project: ProjectId, rollout: Rollout) -> Policy | None:
    found = tx.policies.decisions(project, PAGE, deployment=rollout.name, actions=[ActionKind.CANARY]).items
    names = {d.policy for d in found if d.cause == rollout.cause}
    return next((policy for policy in tx.policies.find(project) if policy.name in names), None)


def _record(
    ports: Ports,
    tx: ReactionTransaction,
    policy: Policy | None,
    deployment: Deployment,
    action: ActionKind,
    *,
    cause: str,
    version: int | None,
    told: str,
    evidence: Mapping[str, Any],
    by: str,
) -> Decision:
    now: datetime = ports.clock()
    decision = Decision(
        id=DecisionId(ports.ids("dec")),
        project=deployment.project,
        policy=policy.name if policy else None,
        deployment=deployment.name,
        action=action,
        cause=cause,
        version=version,
        told=told,
        evidence=evidence,
        by=by,
        at=now,
    )
    tx.policies.add_decisions(deployment.project, [decision])
    fact = Fact("decision.made", decision.id, {"action": action.value, "cause": cause, "told": told})
    tx.events.add(deployment.project, [fact], actor=by, at=now)
    return decision


def pending(ports: Ports, project: ProjectId) -> list[str]:
    """Return what the loop is in the midst of: retrainings without their gate decision yet."""
    found: list[str] = []
    with ports.transaction() as tx:
        for policy in tx.policies.find(project):
            actions = [ActionKind.RETRAIN, ActionKind.CANARY, ActionKind.REFUSE]
            made = tx.policies.decisions(project, PAGE, deployment=policy.deployment, actions=actions).items
            answered = {d.cause for d in made if d.policy == policy.name and d.action is not ActionKind.RETRAIN}
            retrains = [d for d in made if d.action is ActionKind.RETRAIN and d.policy == policy.name]
            open_ones = [d for d in retrains if d.cause not in answered and d.undone_at is None]
            found += [f"retraining for {d.cause}" for d in open_ones]
    return found
