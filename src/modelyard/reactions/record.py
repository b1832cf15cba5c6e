"""How a decision is kept, and what a policy keeps of itself beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelyard.core import ProjectId, missing
from modelyard.events import Fact
from modelyard.monitoring import Alert
from modelyard.reactions.ports import Ports
from modelyard.reactions.store import ReactionTransaction
from modelyard.reactions.types import ActionKind, Decision, DecisionId, Policy, Rule
from modelyard.serving import Deployment
from modelyard.tenancy import Actor
from modelyard.tenancy.service import platform_actor

WAITING = "waiting"  # in a policy's state: the decisions to retrain whose version has not come before the gate yet


@dataclass(frozen=True)
class Occasion:
    """What sets a rule of a policy off."""

    policy: Policy
    rule: Rule
    cause: str
    why: str  # for people
    alarm: Alert | None = None


@dataclass(frozen=True)
class Deed:
    """What is decided, and why."""

    action: ActionKind
    cause: str
    told: str
    evidence: Mapping[str, Any]
    by: str
    version: int | None = None
    id: DecisionId | None = None  # None: a new one


def record(ports: Ports, tx: ReactionTransaction, deployment: Deployment, deed: Deed, policy: str | None = None) -> Decision:
    """Keep a decision, and say so; `policy` is the name of the one that made it."""
    now = ports.clock()
    decision = Decision(
        id=deed.id or DecisionId(ports.ids("dec")),
        project=deployment.project,
        policy=policy,
        deployment=deployment.name,
        action=deed.action,
        cause=deed.cause,
        version=deed.version,
        told=deed.told,
        evidence=deed.evidence,
        by=deed.by,
        at=now,
    )
    tx.policies.add_decisions(deployment.project, [decision])
    fact = Fact("decision.made", decision.id, {"action": deed.action.value, "cause": deed.cause, "told": deed.told})
    tx.events.add(deployment.project, [fact], actor=deed.by, at=now)
    return decision


def policy_named(tx: ReactionTransaction, project: ProjectId, name: str) -> Policy:
    """Return a policy as it stands. Problem `policy.missing`."""
    known = {policy.name: policy for policy in tx.policies.find(project)}
    if name not in known:
        raise missing("policy", name, known, "yard policy list")
    return known[name]


def name_of(policy: Policy) -> str:
    """Return what a policy's deeds are signed by."""
    return f"policy:{policy.name}"


def acting(ports: Ports, policy: Policy) -> Actor:
    """Return the platform as the one who does what a policy says."""
    return platform_actor(ports, policy.project, name_of(policy))


def deployment_named(tx: ReactionTransaction, project: ProjectId, name: str) -> Deployment:
    """Return a deployment as it stands. Problem `deployment.missing`."""
    known = {deployment.name: deployment for deployment in tx.deployments.find(project)}
    if name not in known:
        raise missing("deployment", name, known, "yard deployment list")
    return known[name]


def waiting(policy: Policy) -> list[DecisionId]:
    """Return the decisions to retrain that have not come before the gate yet, oldest first."""
    return [DecisionId(str(one)) for one in policy.state.get(WAITING, ())]


def keep_waiting(tx: ReactionTransaction, policy: Policy, decisions: Sequence[DecisionId]) -> None:
    """Keep which decisions to retrain wait for the gate."""
    tx.policies.save(policy.project, [replace(policy, state={**policy.state, WAITING: list(decisions)})])
