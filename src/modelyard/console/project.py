"""The project itself: who may do what, where everything is, and the search over all of it."""

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response

from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.rendering import PageRoute
from modelyard.console.telling import words
from modelyard.console.visits import InProject, Visit
from modelyard.core import PageRequest
from modelyard.data.service import find_datasets
from modelyard.jobs.service import find as find_jobs
from modelyard.monitoring.service import find_monitors
from modelyard.prepare.service import find_pipelines
from modelyard.reactions.service import find_decisions
from modelyard.registry.service import find_models
from modelyard.serving.service import find_deployments
from modelyard.tenancy import LEAST_ROLE, Actor, Member, Role, Token
from modelyard.tenancy.rules import RANK, role_in
from modelyard.tenancy.service import actor_of, find_members, find_tokens
from modelyard.training.service import find_runs
from modelyard.version import __version__
from modelyard.wiring.settings import Setting

router = APIRouter(prefix="/projects/{project}", route_class=PageRoute, include_in_schema=False)
MANY = PageRequest(limit=1000)
SHOWN = 50


@dataclass(frozen=True)
class MemberRow:
    """A member, with the role they have in this project."""

    member: Member
    role: Role | None
    tokens: int


@dataclass(frozen=True)
class MembersPage:
    """The context of the members."""

    frame: Frame
    rows: tuple[MemberRow, ...]
    roles: tuple[tuple[str, tuple[str, ...]], ...]  # role, and what it may do that the ones before may not


@dataclass(frozen=True)
class SettingsPage:
    """The context of the settings."""

    frame: Frame
    settings: tuple[Setting, ...]
    version: str


@dataclass(frozen=True)
class Hit:
    """Something that was found."""

    kind: str
    name: str
    detail: str
    href: str


@dataclass(frozen=True)
class SearchPage:
    """The context of a search."""

    frame: Frame
    asked: str
    hits: tuple[Hit, ...]
    more: int


def build_members(visit: Visit) -> MembersPage:
    """Return the context of the members."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    frame = frame_of(visit, "Members", "Members")
    tokens: list[Token] = find_tokens(platform, actor) if "token.write" in frame.may else []
    rows = []
    for member in find_members(platform, actor):
        acts: Actor = actor_of(platform, member.id, project=project)
        held = sum(one.member == member.id and one.revoked_at is None for one in tokens)
        rows.append(MemberRow(member, role_in(acts, project), held))
    roles = tuple(
        (role.value, tuple(words(action) for action, least in LEAST_ROLE.items() if least is role))
        for role in sorted(Role, key=RANK.__getitem__)
    )
    return MembersPage(frame, tuple(rows), roles)


def build_settings(visit: Visit) -> SettingsPage:
    """Return the context of the settings."""
    return SettingsPage(frame_of(visit, "Settings", "Settings"), visit.platform.settings.origins, __version__)


def build_search(visit: Visit) -> SearchPage:
    """Return what the query of the address finds, by name, number or id."""
    frame = frame_of(visit, "Search", "Search")
    asked = frame.query.get("q", "").strip()
    found = [hit for hit in _everything(visit) if _meets(hit, asked)] if asked else []
    found.sort(key=lambda hit: not hit.name.lower().startswith(asked.lower()))
    return SearchPage(frame, asked, tuple(found[:SHOWN]), max(0, len(found) - SHOWN))


def _meets(hit: Hit, asked: str) -> bool:
    text = f"{hit.kind} {hit.name} {hit.detail} {hit.href.rpartition('/')[2]}".lower()
    return all(word in text for word in asked.lower().split())


def _everything(visit: Visit) -> list[Hit]:
    """Return all that has a name, and the newest thousand of each thing that has a number."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    base = base_of(visit.project)

    def at(*parts: str) -> str:
        return "/".join([base, *(quote(part, safe="") for part in parts)])

    hits = [Hit("dataset", one.name, one.source or "", at("data", one.name)) for one in find_datasets(platform, actor, project)]
    hits += [
        Hit("pipeline", one.name, ", ".join(one.kinds), at("prepare", "pipelines", one.name, str(one.number)))
        for one in find_pipelines(platform, actor, project)
    ]
    hits += [Hit("model", one.name, one.description, at("models", one.name)) for one in find_models(platform, actor, project)]
    hits += [
        Hit("deployment", one.name, f"{one.model}@{one.alias}", at("serve", one.name))
        for one in find_deployments(platform, actor, project)
    ]
    hits += [
        Hit("monitor", one.name, one.deployment, at("monitor", one.name)) for one in find_monitors(platform, actor, project)
    ]
    hits += [
        Hit(
            "run",
            f"run {one.number}",
            f"{one.experiment} {one.kind.value} {one.state.value} {one.id}",
            at("train", "runs", str(one.number)),
        )
        for one in find_runs(platform, actor, project, MANY).items
    ]
    hits += [
        Hit("decision", words(one.action.value), f"{one.deployment} {one.told}", at("react", "decisions", one.id))
        for one in find_decisions(platform, actor, project, MANY).items
    ]
    hits += [
        Hit("job", one.title, f"{one.kind} {one.state.value}", at("jobs", one.id))
        for one in find_jobs(platform, actor, project, MANY).items
    ]
    return hits


@router.get("/members")
def members(visit: InProject) -> Response:
    """Show who may do what."""
    return show(visit, "members.html", lambda: build_members(visit))


@router.get("/settings")
def settings(visit: InProject) -> Response:
    """Show where everything is."""
    return show(visit, "settings.html", lambda: build_settings(visit))


@router.get("/search")
def search(visit: InProject) -> Response:
    """Show what a query finds."""
    return show(visit, "search.html", lambda: build_search(visit))
