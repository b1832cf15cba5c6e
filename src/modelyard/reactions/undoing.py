"""How each kind of decision is taken back."""

from modelyard.core import Problem
from modelyard.jobs import JobState
from modelyard.jobs.rules import ENDED
from modelyard.jobs.service import cancel
from modelyard.reactions.ports import Ports
from modelyard.reactions.record import keep_waiting, waiting
from modelyard.reactions.store import ReactionTransaction
from modelyard.reactions.types import ActionKind, Decision
from modelyard.serving import Deployment, RolloutId, RolloutState
from modelyard.serving.service import get_rollout, move_alias_back, roll_back_rollout
from modelyard.tenancy import Actor


def take_back(ports: Ports, tx: ReactionTransaction, actor: Actor, deployment: Deployment, decision: Decision) -> str:
    """Take a decision back, and return in one sentence what was done.

    Raises
    ------
    Problem
        `decision.conflict` when nothing is left of it to take back.
    """
    told: str | None = None
    if decision.action in (ActionKind.CANARY, ActionKind.BREAK_GLASS):
        told = _end_canary(ports, actor, deployment, decision)
    elif decision.action is ActionKind.PROMOTE:
        told = _return_alias(ports, tx, actor, deployment, decision, decision.evidence.get("base"))
    elif decision.action is ActionKind.ROLL_BACK:
        told = _return_alias(ports, tx, actor, deployment, decision, decision.evidence.get("from"))
    elif decision.action is ActionKind.RETRAIN:
        told = _stop_retraining(ports, tx, actor, decision)
    if told is None:
        raise Problem(
            "decision.conflict",
            f"The decision to {decision.action.value} cannot be undone",
            "nothing of it is left to take back",
            "yard decision list",
        )
    return told


def _end_canary(ports: Ports, actor: Actor, deployment: Deployment, decision: Decision) -> str | None:
    rollout = get_rollout(ports, actor, deployment.project, RolloutId(str(decision.evidence["rollout"])))
    if rollout.state not in (RolloutState.RUNNING, RolloutState.HELD):
        return None
    roll_back_rollout(ports, actor, deployment.project, rollout.id, judgement=rollout.judgement)
    return f"canary of v{rollout.candidate} taken back"


def _return_alias(
    ports: Ports, tx: ReactionTransaction, actor: Actor, deployment: Deployment, decision: Decision, to: int | None
) -> str | None:
    """Move the alias to where it stood before the decision, unless it was moved on since; deployments follow at once."""
    aliases = tx.models.aliases(deployment.project, deployment.model)
    standing = next((alias.version for alias in aliases if alias.name == deployment.alias), None)
    if to is None or standing != decision.version or standing == to:
        return None
    move_alias_back(ports, actor, deployment.project, deployment.model, to, deployment.alias, cause=decision.id)
    return f"{deployment.alias} is v{to} again"


def _stop_retraining(ports: Ports, tx: ReactionTransaction, actor: Actor, decision: Decision) -> str | None:
    for policy in tx.policies.find(decision.project):
        left = waiting(policy)
        if decision.id not in left:
            continue
        keep_waiting(tx, policy, [one for one in left if one != decision.id])
        [job] = tx.jobs.get(decision.project, [decision.evidence["job"]])
        if job.state in ENDED:
            return "the retrained version will not come before the gate"
        stopped = cancel(ports, actor, decision.project, job.id)
        return f"retraining {stopped.state.value if stopped.state is JobState.CANCELLED else 'asked to stop'}"
    return None
