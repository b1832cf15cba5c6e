"""Who may do what: one table from action to the least role, and one question."""

from modelyard.core import MemberId, Problem, ProjectId
from modelyard.tenancy.types import Actor, Role

RANK = {Role.VIEWER: 0, Role.TRAINER: 1, Role.APPROVER: 2, Role.ADMIN: 3}

LEAST_ROLE = {
    "project.read": Role.VIEWER,
    "project.create": Role.ADMIN,
    "member.read": Role.VIEWER,
    "member.write": Role.ADMIN,
    "token.write": Role.ADMIN,
    "event.read": Role.VIEWER,
    "object.read": Role.VIEWER,
    "object.write": Role.TRAINER,
    "job.read": Role.VIEWER,
    "job.write": Role.TRAINER,
    "schedule.write": Role.TRAINER,
    "dataset.read": Role.VIEWER,
    "dataset.write": Role.TRAINER,
    "run.read": Role.VIEWER,
    "run.write": Role.TRAINER,
    "model.read": Role.VIEWER,
    "model.write": Role.TRAINER,
    "alias.move": Role.APPROVER,
    "gate.write": Role.APPROVER,
    "gate.approve": Role.APPROVER,
    "gate.break_glass": Role.ADMIN,
    "deployment.read": Role.VIEWER,
    "deployment.write": Role.APPROVER,
    "prediction.make": Role.VIEWER,
    "label.write": Role.TRAINER,
    "monitor.read": Role.VIEWER,
    "monitor.write": Role.TRAINER,
    "policy.read": Role.VIEWER,
    "policy.write": Role.APPROVER,
    "decision.undo": Role.APPROVER,
}


PLATFORM = ("judge", "monitor", "policy")  # what the platform acts as: by itself, or followed by `:` and a name


def is_platform(member: MemberId) -> bool:
    """Return whether an id is the platform's own and no member's: `judge`, `policy:weekly`.

    >>> is_platform(MemberId("policy:weekly")), is_platform(MemberId("mem_01hkgkg7000000000000000000"))
    (True, False)
    """
    return member.partition(":")[0] in PLATFORM


def role_in(actor: Actor, project: ProjectId) -> Role | None:
    """Return the higher of the actor's role in the organisation and in `project`; None: neither."""
    roles = [role for role in (actor.role, actor.projects.get(project)) if role is not None]
    return max(roles, key=RANK.__getitem__) if roles else None


def authorise(actor: Actor, action: str, project: ProjectId) -> None:
    """Return when `actor` may do `action` in `project`; every use case calls this first.

    Raises
    ------
    Problem
        `action.forbidden` when the role is too low; `project.missing` when there is none at all, so that a stranger does
        not learn which projects exist.
    """
    role = role_in(actor, project)
    least = LEAST_ROLE[action]
    if role is None:
        raise Problem("project.missing", "There is no such project", "or you are not a member of it", "yard project list")
    if RANK[role] < RANK[least]:
        raise Problem(
            "action.forbidden",
            f"{actor.name} may not do {action}",
            f"it needs the role {least.value}, and {actor.name} is {role.value} here",
            "ask an admin: yard member add --role " + least.value,
        )


def authorise_organisation(actor: Actor, action: str) -> None:
    """Return when `actor` may do `action` in the whole organisation. Raises as `authorise` does."""
    least = LEAST_ROLE[action]
    if actor.role is None or RANK[actor.role] < RANK[least]:
        raise Problem(
            "action.forbidden",
            f"{actor.name} may not do {action}",
            f"it needs the role {least.value} in the organisation",
            "ask an admin of the organisation",
        )
