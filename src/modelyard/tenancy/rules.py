"""Who may do what: one table from action to the least role, and one question."""

from modelyard.core import MemberId, Problem, ProjectId
from modelyard.tenancy.types import Actor, Limit, Role

MOST_A_SECOND = 10_000_000  # requests or rows that a limit may name

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
    "pipeline.read": Role.VIEWER,
    "pipeline.write": Role.TRAINER,
    "dataset.vacuum": Role.APPROVER,
    "run.read": Role.VIEWER,
    "run.write": Role.TRAINER,
    "model.read": Role.VIEWER,
    "model.write": Role.TRAINER,
    "model.allow_code": Role.ADMIN,
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


def check_limit(limit: Limit | None) -> None:
    """Return when a limit says what can be kept. Problem `limit.invalid`."""
    if limit is None:
        return
    for name, value in (("requests", limit.requests), ("rows", limit.rows)):
        if value is not None and not 0 < value <= MOST_A_SECOND:
            raise _unusable(f"{value:g} {name} a second", f"it is above 0 and at most {MOST_A_SECOND:,}")
    if limit.burst is not None and (limit.requests is None or not 1 <= limit.burst <= MOST_A_SECOND):
        raise _unusable(f"a burst of {limit.burst}", f"it is at least 1, at most {MOST_A_SECOND:,}, and goes with a rate")
    if limit.requests is None and limit.rows is None:
        raise _unusable("nothing at all", "it names requests or rows a second")


def _unusable(told: str, why: str) -> Problem:
    return Problem("limit.invalid", f"A token cannot be limited to {told}", why, "--rate 100 --burst 200 --rows 5000")
