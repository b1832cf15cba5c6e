"""What stands around every page of a project: navigation, what needs a person, and the state that live pages compare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from fastapi.responses import Response

from modelyard.console.rendering import page
from modelyard.console.visits import Visit
from modelyard.core import PageRequest, Problem, ProjectId
from modelyard.jobs import JobState
from modelyard.registry import ConditionKind
from modelyard.registry.service import evaluate_gate, find_aliases, find_versions
from modelyard.serving import RolloutState
from modelyard.serving.service import find_deployments, find_rollouts
from modelyard.tenancy import LEAST_ROLE, RANK, Actor, Project, role_in
from modelyard.wiring import Platform

ROOMS = ("Overview", "Data", "Prepare", "Train", "Models", "Serve", "Monitor", "React")
LOW_ROOMS = ("Jobs", "Members", "Settings")
SEEN = "x-seen"  # the header by which a live page says which state it shows


@dataclass(frozen=True)
class Need:
    """Something that waits for a person."""

    room: str
    title: str
    why: str
    href: str  # where the evidence is
    approve: str | None = None  # where the form of an approval goes


@dataclass(frozen=True)
class Frame:
    """What every page of a project shows around its content."""

    project: Project
    projects: tuple[Project, ...]
    base: str  # the project's address: /projects/NAME
    room: str
    title: str
    path: str
    query: Mapping[str, str]
    now: datetime
    member: str
    role: str
    may: frozenset[str]  # actions that the visitor may do here
    signed_in: bool
    form_token: str
    state: str  # of what the page shows; a live page asks whether it has changed
    needs: tuple[Need, ...]
    done: str

    @property
    def rooms(self) -> tuple[tuple[str, str, int], ...]:
        """The rooms of the life cycle: name, address, how much waits there."""
        return tuple((room, self.room_path(room), self.waiting(room)) for room in ROOMS)

    @property
    def low_rooms(self) -> tuple[tuple[str, str, int], ...]:
        """The rooms of the project itself."""
        return tuple((room, self.room_path(room), self.waiting(room)) for room in LOW_ROOMS)

    @property
    def url(self) -> str:
        """The page's own address, without what was said of a deed."""
        return self.with_query()

    def room_path(self, room: str) -> str:
        """Return the address of a room."""
        return self.base if room == "Overview" else f"{self.base}/{room.lower()}"

    def waiting(self, room: str) -> int:
        """Return how many things of a room wait for a person."""
        return sum(need.room == room for need in self.needs)

    def with_query(self, **changed: str | None) -> str:
        """Return the page's address with some of its query changed; None takes a name out."""
        query = {**self.query, **changed}
        told = urlencode({name: text for name, text in query.items() if text is not None and name != "done"}, safe=",:@")
        return f"{self.path}?{told}" if told else self.path


def frame_of(visit: Visit, room: str, title: str) -> Frame:
    """Return the frame of a page."""
    platform, project = visit.platform, visit.project
    role = role_in(visit.actor, project.id)
    return Frame(
        project=project,
        projects=visit.projects,
        base=base_of(project),
        room=room,
        title=title,
        path=visit.request.url.path,
        query=dict(visit.request.query_params),
        now=platform.clock(),
        member=visit.actor.name,
        role=role.value if role else "",
        may=frozenset(a for a, least in LEAST_ROLE.items() if role is not None and RANK[role] >= RANK[least]),
        signed_in=visit.signed_in,
        form_token=visit.form_token,
        state=state_of(visit),
        needs=needs_of(visit),
        done=visit.request.query_params.get("done", ""),
    )


def base_of(project: Project) -> str:
    """Return the address of a project."""
    return f"/projects/{quote(project.name, safe='')}"


def show(visit: Visit, template: str, build: Callable[[], Any]) -> Response:
    """Return the page whose context `build` makes, or 204 where a live page shows it already."""
    with visit.platform.reading():
        return Response(status_code=204) if unchanged(visit) else page(template, build())


def unchanged(visit: Visit) -> bool:
    """Return whether a live page asks for what it shows already."""
    seen = visit.request.headers.get(SEEN)
    return seen is not None and seen == state_of(visit)


def state_of(visit: Visit) -> str:
    """Return a text that changes whenever a page of the project may show something else: events, progress, traffic."""
    platform, project = visit.platform, visit.project.id
    with platform.transaction() as tx:
        newest = tx.events.read(project, limit=1, newest_first=True)
        running = tx.jobs.find(project, PageRequest(limit=50), states=[JobState.RUNNING]).items
    progress = sum(job.progress.fraction for job in running)
    deployments = find_deployments(platform, visit.actor, project)
    tables = (version for one in deployments for version in visit.console.traffic.shown(project, one))
    told = [newest[0].position if newest else 0, len(running), f"{progress:.3f}", *tables]
    return "-".join(str(part) for part in told)


def needs_of(visit: Visit) -> tuple[Need, ...]:
    """Return what waits for a person, most urgent first."""
    platform, actor, project = visit.platform, visit.actor, visit.project
    base = base_of(project)
    follower = visit.console.follower
    failing = follower.failing.get(project.id) if follower else None
    found = [Need("React", "The loop does not turn", failing, f"{base}/react")] if failing else []
    held = find_rollouts(platform, actor, project.id, PageRequest(limit=20), states=[RolloutState.HELD]).items
    for rollout in held:
        why = rollout.judgement.why if rollout.judgement else "its judge could not decide"
        title = f"{rollout.name} v{rollout.candidate} is held"
        found.append(Need("Serve", title, why, f"{base}/serve/{quote(rollout.name, safe='')}"))
    return (*found, *_approvals(platform, actor, project.id, base))


def _approvals(platform: Platform, actor: Actor, project: ProjectId, base: str) -> list[Need]:
    """Return the newest version of each model with a gate that only an approval is missing from."""
    found = []
    for alias in find_aliases(platform, actor, project):
        if all(condition.kind is not ConditionKind.APPROVALS for condition in alias.gate.conditions):
            continue
        newest = next(iter(find_versions(platform, actor, project, alias.model, PageRequest(limit=1)).items), None)
        if newest is None or newest.number == alias.version:
            continue
        try:
            result = evaluate_gate(platform, actor, project, alias.model, newest.number, alias.name)
        except Problem:
            continue  # a gate that cannot be judged is told on the model's own page
        missing = [one for one in result.results if not one.passed]
        if missing and all(one.condition.kind is ConditionKind.APPROVALS for one in missing):
            href = f"{base}/models/{quote(alias.model, safe='')}/{newest.number}"
            title = f"{alias.model} v{newest.number} → {alias.name}"
            found.append(
                Need(
                    "Models", title, f"All else is green. {missing[0].told}.", href, f"{href}/approve?alias={quote(alias.name)}"
                )
            )
    return found
