"""Decisions as pages list them: in words, with where they lead and whether they can still be taken back."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.console.frame import base_of
from modelyard.console.marks import KIND_OF_ACTION
from modelyard.console.telling import words
from modelyard.console.visits import Visit
from modelyard.core import PageRequest
from modelyard.jobs import JobId, JobState
from modelyard.reactions import ActionKind, Decision
from modelyard.registry.service import find_aliases
from modelyard.serving import RolloutState
from modelyard.serving.service import find_deployments, find_rollouts
from modelyard.tenancy import LEAST_ROLE, RANK, role_in

UNDO = "decision.undo"


@dataclass(frozen=True)
class Deed:
    """A decision in a list."""

    decision: Decision
    title: str
    kind: str  # as a mark's
    href: str
    undoable: bool


def deeds_of(visit: Visit, decisions: Sequence[Decision]) -> tuple[Deed, ...]:
    """Return decisions as they are listed."""
    base = base_of(visit.project)
    role = role_in(visit.actor, visit.project.id)
    may = role is not None and RANK[role] >= RANK[LEAST_ROLE[UNDO]]
    held = _held(visit, decisions) if may else set[str]()
    return tuple(
        Deed(one, title_of(one), KIND_OF_ACTION[one.action], f"{base}/react/decisions/{one.id}", one.id in held)
        for one in decisions
    )


def title_of(decision: Decision) -> str:
    """Return what was done, in a few words."""
    version = f" v{decision.version}" if decision.version is not None else ""
    action = words(decision.action.value)
    return f"{action[0].upper()}{action[1:]} {decision.deployment}{version}"


def _held(visit: Visit, decisions: Sequence[Decision]) -> set[str]:
    """Return the ids of the decisions of which something still stands, so that it can be taken back."""
    standing = [one for one in decisions if one.undone_at is None]
    if not standing:
        return set()
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    states = [RolloutState.RUNNING, RolloutState.HELD]
    rollouts = {one.id for one in find_rollouts(platform, actor, project, PageRequest(limit=100), states=states).items}
    current = {(one.model, one.name): one.version for one in find_aliases(platform, actor, project)}
    follows = {one.name: (one.model, one.alias) for one in find_deployments(platform, actor, project)}
    jobs = [JobId(str(one.evidence["job"])) for one in standing if one.action is ActionKind.RETRAIN and "job" in one.evidence]
    with platform.transaction() as tx:
        open_jobs = {job.id for job in tx.jobs.get(project, jobs) if job.state in (JobState.QUEUED, JobState.RUNNING)}

    def stands(one: Decision) -> bool:
        if one.action in (ActionKind.CANARY, ActionKind.BREAK_GLASS):
            return one.evidence.get("rollout") in rollouts
        if one.action is ActionKind.PROMOTE:
            followed = follows.get(one.deployment)
            return followed is not None and current.get(followed) == one.version and one.evidence.get("base") is not None
        return one.action is ActionKind.RETRAIN and one.evidence.get("job") in open_jobs

    return {one.id for one in standing if stands(one)}
