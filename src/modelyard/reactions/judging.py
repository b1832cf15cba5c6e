"""The judge's look at a rollout, and the step that follows from it."""

import math
from dataclasses import replace

from modelyard.core import PageRequest, Problem
from modelyard.monitoring import Looks
from modelyard.monitoring.canary import losses_of
from modelyard.monitoring.sequential import judge
from modelyard.reactions.ports import Ports
from modelyard.reactions.record import Deed, record
from modelyard.reactions.rules import Course, next_move
from modelyard.reactions.store import ReactionTransaction
from modelyard.reactions.types import ActionKind, Decision
from modelyard.serving import Deployment, Judgement, Rollout, RolloutState, Verdict
from modelyard.serving.service import advance_rollout, hold_rollout, roll_back_rollout
from modelyard.tenancy import Actor
from modelyard.tenancy.service import platform_actor

JUDGE = "judge"
# Narrowest where a canary stands after its first week; undecided after some 8,000 rows it waits for a person.
JUDGING = Looks(tolerance=0.0, narrowest_rows=1_000, cap_rows=8_000)


def judge_rollout(ports: Ports, deployment: Deployment, rollout: Rollout) -> list[Decision]:
    """Look at a running rollout, move it where the labels say so, and return the decision that this was, if any.

    Look, move and record are one transaction. When the rollout is no longer as it was read (another follower looked, or a
    person moved it), nothing is done: whoever was first decides.
    """
    shown = losses_of(ports, deployment.project, deployment, rollout)
    judged = judge(shown.strata, replace(JUDGING, tolerance=deployment.tolerance))
    last_step = rollout.step >= len(deployment.canary) - 2
    way = next_move(judged, last_step=last_step, rows_at_step=shown.rows_at_step, course=Course())
    with ports.transaction() as tx:
        [current] = tx.deployments.get_rollouts(deployment.project, [rollout.id])
        if current != rollout:
            return []
        latest = judged if math.isfinite(judged.half_width) else rollout.judgement
        tx.deployments.save_rollouts(deployment.project, [replace(rollout, looked_at=ports.clock(), judgement=latest)])
        if way is Verdict.UNDECIDED:
            return []
        actor = platform_actor(ports, deployment.project, JUDGE)
        action, told = _move(ports, actor, deployment, rollout, judged, way)
        deed = Deed(
            action=action,
            cause=rollout.cause,
            told=f"{told}: {judged.why}",
            evidence={"rollout": rollout.id, "base": rollout.base, "judgement": dict(judged.to_json())},
            by=JUDGE,
            version=rollout.candidate,
        )
        return [record(ports, tx, deployment, deed, policy_of(tx, rollout))]


def policy_of(tx: ReactionTransaction, rollout: Rollout) -> str | None:
    """Return the name of the policy that started a rollout; None: a person did."""
    found = tx.policies.decisions(
        rollout.project, PageRequest(limit=1000), deployment=rollout.name, actions=[ActionKind.CANARY, ActionKind.PROMOTE]
    ).items
    return next((one.policy for one in found if one.policy and one.evidence.get("rollout") == rollout.id), None)


def _move(
    ports: Ports, actor: Actor, deployment: Deployment, rollout: Rollout, judged: Judgement, way: Verdict
) -> tuple[ActionKind, str]:
    project = deployment.project
    if way is Verdict.ROLL_BACK:
        roll_back_rollout(ports, actor, project, rollout.id, judgement=judged)
        return ActionKind.ROLL_BACK, f"rolled back v{rollout.candidate} by itself"
    if way is Verdict.HOLD:
        hold_rollout(ports, actor, project, rollout.id, judgement=judged)
        return ActionKind.HOLD, f"v{rollout.candidate} waits for a person"
    try:
        moved = advance_rollout(ports, actor, project, rollout.id, judgement=judged)
    except Problem as problem:
        if problem.code != "gate.refused":
            raise
        hold_rollout(ports, actor, project, rollout.id, judgement=judged)
        return ActionKind.HOLD, f"v{rollout.candidate} waits for a person, its gate has closed ({problem.why})"
    if moved.state is RolloutState.PROMOTED:
        return ActionKind.PROMOTE, f"promoted v{rollout.candidate} to {deployment.alias}"
    return ActionKind.CANARY, f"canary v{rollout.candidate} to {deployment.canary[moved.step]} %"
