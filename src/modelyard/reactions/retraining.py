"""A policy's retrainings: whether one starts, and what becomes of the version that it brings."""

from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.core import PageRequest, Problem, ProblemKind, ProjectId, to_text
from modelyard.jobs import Job, JobState
from modelyard.jobs.rules import ENDED
from modelyard.jobs.service import submit
from modelyard.reactions.ports import Ports
from modelyard.reactions.record import (
    Deed,
    Occasion,
    acting,
    deployment_named,
    keep_waiting,
    name_of,
    policy_named,
    record,
    waiting,
)
from modelyard.reactions.rules import may_retrain
from modelyard.reactions.store import ReactionTransaction
from modelyard.reactions.types import ActionKind, Decision, DecisionId, Policy
from modelyard.registry import GateResult
from modelyard.registry.rules import told_failures
from modelyard.registry.service import evaluate_gate
from modelyard.serving import Deployment, Rollout, RolloutState
from modelyard.serving.service import start_rollout
from modelyard.tenancy import Actor

RETRAIN_JOB = "deployment.retrain"
PAGE = PageRequest(limit=1000)
PASSING = (ProblemKind.UNAVAILABLE, ProblemKind.TIMEOUT, ProblemKind.LIMITED)  # the next turn may fare better


def retrain_or_hold(ports: Ports, tx: ReactionTransaction, actor: Actor, occasion: Occasion) -> Decision:
    """Queue a retraining for a cause, or hold with the reason; the decision that this was."""
    policy, rule, cause, now = occasion.policy, occasion.rule, occasion.cause, ports.clock()
    project = policy.project
    deployment = deployment_named(tx, project, policy.deployment)
    made = tx.policies.decisions(project, PAGE, deployment=deployment.name, actions=[ActionKind.RETRAIN]).items
    choice = may_retrain(policy, rule, now, [one for one in made if one.policy == policy.name], busy(tx, deployment))
    evidence: dict[str, Any] = {"trigger": occasion.why}
    if choice.action is ActionKind.RETRAIN and policy.retraining is not None:
        payload = {
            "deployment": deployment.name,
            "retraining": msgspec.to_builtins(policy.retraining),
            "cause": cause,
            "until": to_text(now),
        }
        job = submit(
            ports,
            actor,
            project,
            kind=RETRAIN_JOB,
            title=f"retrain {deployment.model}",
            payload=payload,
            cause=cause,
            priority=10,
        )
        evidence["job"] = job.id
    by = name_of(policy)
    deed = Deed(choice.action, cause, f"{choice.told} ({occasion.why})", evidence, by)
    decision = record(ports, tx, deployment, deed, policy.name)
    if choice.action is ActionKind.RETRAIN:
        keep_waiting(tx, policy, [*waiting(policy), decision.id])
    return decision


def busy(tx: ReactionTransaction, deployment: Deployment) -> str | None:
    """Return what is under way for a deployment; None: nothing. A canary that is held is not: it makes way for a better one."""
    project = deployment.project
    jobs = tx.jobs.find(project, PAGE, states=[JobState.QUEUED, JobState.RUNNING], kinds=[RETRAIN_JOB]).items
    if any(job.payload.get("deployment") == deployment.name for job in jobs):
        return "a retraining is under way"
    rollouts = running_rollouts(tx, deployment)
    if rollouts:
        return f"the canary of v{rollouts[0].candidate} is under way"
    if any(waiting(policy) for policy in tx.policies.find(project) if policy.enabled and policy.deployment == deployment.name):
        return "a retrained version waits for its gate"
    return None


def running_rollouts(tx: ReactionTransaction, deployment: Deployment) -> list[Rollout]:
    """Return the rollouts of a deployment that are being judged: one at most."""
    states = [RolloutState.RUNNING]
    return list(tx.deployments.rollouts(deployment.project, PAGE, deployment=deployment.id, states=states).items)


def ready(tx: ReactionTransaction, policy: Policy, running: Sequence[Rollout]) -> list[DecisionId]:
    """Return the decisions to retrain of which something can be made now: the job has ended, and no canary is in the way."""
    decisions = tx.policies.get_decisions(policy.project, waiting(policy))
    jobs = tx.jobs.get(policy.project, [decision.evidence["job"] for decision in decisions])
    in_the_way = any(rollout.name == policy.deployment for rollout in running)
    return [
        decision.id
        for decision, job in zip(decisions, jobs, strict=True)
        if decision.undone_at is not None or (job.state in ENDED and not in_the_way)
    ]


def gate_retrained(ports: Ports, project: ProjectId, name: str, waiting_one: DecisionId) -> list[Decision]:
    """Bring the version of a retraining that has ended before the gate: its canary starts, or it is refused.

    Nothing is decided while the job goes on, or while another canary is judged. A retraining that somebody took back is
    forgotten.
    """
    with ports.transaction() as tx:
        policy = policy_named(tx, project, name)
        if waiting_one not in waiting(policy):
            return []
        [decision] = tx.policies.get_decisions(project, [waiting_one])
        deployment = deployment_named(tx, project, policy.deployment)
        left = [one for one in waiting(policy) if one != waiting_one]
        if decision.undone_at is not None:
            keep_waiting(tx, policy, left)
            return []
        [job] = tx.jobs.get(project, [decision.evidence["job"]])
        if job.state not in ENDED or running_rollouts(tx, deployment):
            return []
        keep_waiting(tx, policy, left)
        deed = _answer(ports, acting(ports, policy), policy, deployment, decision, job)
        return [record(ports, tx, deployment, deed, policy.name)]


def _answer(ports: Ports, actor: Actor, policy: Policy, deployment: Deployment, decision: Decision, job: Job) -> Deed:
    by, cause = name_of(policy), decision.cause
    if job.state is not JobState.FINISHED or job.result is None:
        problem = dict(job.problem or {})
        told = f"retraining ended badly: {problem.get('what', job.state.value)}"
        return Deed(ActionKind.REFUSE, cause, told, {"job": job.id, "problem": problem}, by)
    version = int(job.result["version"])
    gate = evaluate_gate(ports, actor, policy.project, deployment.model, version, deployment.alias)
    evidence = {"job": job.id, "gate": msgspec.to_builtins(gate), "run": job.result.get("run")}
    if not gate.passed:
        told = f"gate refused v{version}: {told_failures(gate)}"
        return Deed(ActionKind.REFUSE, cause, told, evidence, by, version)
    try:
        return _rolled_out(ports, actor, deployment, gate, Deed(ActionKind.CANARY, cause, "", evidence, by, version))
    except Problem as problem:
        if problem.kind in PASSING:
            raise
        told = f"v{version} cannot be rolled out: {problem.why or problem.what}"
        return Deed(ActionKind.REFUSE, cause, told, {**evidence, "problem": problem.code}, by, version)


def _rolled_out(ports: Ports, actor: Actor, deployment: Deployment, gate: GateResult, deed: Deed) -> Deed:
    """Start the canary and return the deed with its words; without canary steps the version is promoted at once."""
    with ports.transaction() as tx:
        states = [RolloutState.HELD]
        held = tx.deployments.rollouts(deployment.project, PAGE, deployment=deployment.id, states=states).items
        rollout = start_rollout(ports, actor, deployment.project, deployment.name, version=gate.version, cause=deed.cause)
    measured = "; ".join(one.told for one in gate.results if one.measured is not None)
    green = f"gate green, {measured}" if measured else "gate green"
    aside = "".join(f"; v{one.candidate}, which waited for a person, made way" for one in held)
    promoted = rollout.state is RolloutState.PROMOTED
    what = f"promoted v{gate.version} at once" if promoted else f"canary v{gate.version} started at {deployment.canary[0]} %"
    evidence = {**deed.evidence, "rollout": rollout.id, "base": rollout.base}
    action = ActionKind.PROMOTE if promoted else ActionKind.CANARY
    return Deed(action, deed.cause, f"{what}: {green}{aside}", evidence, deed.by, deed.version)
