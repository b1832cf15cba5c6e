"""Routes of tenancy: who am I, projects, members, tokens, the audit."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from modelyard.api.callers import Call, InProject
from modelyard.api.reading import SnapshotRoute
from modelyard.events import Event
from modelyard.tenancy import Actor, Limit, Member, Membership, Project, Role, Token, authorise
from modelyard.tenancy.service import (
    create_member,
    create_project,
    create_token,
    ensure_project,
    find_members,
    find_projects,
    find_tokens,
    limit_token,
    revoke_token,
    set_role,
)

router = APIRouter(prefix="/v1", tags=["tenancy"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class NewProject:
    """A project to make; `ensure` takes the one that is there."""

    name: str
    ensure: bool = False


@dataclass(frozen=True)
class NewMember:
    """A member to make."""

    name: str
    role: Role | None = None


@dataclass(frozen=True)
class NewToken:
    """A token to make."""

    member: str
    name: str
    role: Role | None = None
    days: float | None = None
    limit: Limit | None = None


@dataclass(frozen=True)
class MadeToken:
    """A token and its secret, which is told this once."""

    token: Token
    secret: str


@router.get("/me")
def me(call: Call) -> Actor:
    """Return who the token acts for."""
    return call.actor


@router.get("/projects")
def projects(call: Call) -> list[Project]:
    """Return the projects in which the caller has a role."""
    return find_projects(call.platform, call.actor)


@router.post("/projects", status_code=201)
def make_project(call: Call, new: NewProject) -> Project:
    """Make a project."""
    made = ensure_project if new.ensure else create_project
    return made(call.platform, call.actor, new.name)


@router.get("/members")
def members(call: Call) -> list[Member]:
    """Return the members of the organisation."""
    return find_members(call.platform, call.actor)


@router.post("/members", status_code=201)
def make_member(call: Call, new: NewMember) -> Member:
    """Make a member."""
    return create_member(call.platform, call.actor, name=new.name, role=new.role)


@router.put("/projects/{project}/members/{member}")
def give_role(call: InProject, member: str, role: Role) -> Membership:
    """Give a member a role in the project."""
    return set_role(call.platform, call.actor, call.project, member=member, role=role)


@router.get("/tokens")
def tokens(call: Call) -> list[Token]:
    """Return the tokens of the organisation, without their secrets."""
    return find_tokens(call.platform, call.actor)


@router.post("/tokens", status_code=201)
def make_token(call: Call, new: NewToken) -> MadeToken:
    """Make a token."""
    made, secret = create_token(
        call.platform, call.actor, member=new.member, name=new.name, role=new.role, days=new.days, limit=new.limit
    )
    return MadeToken(made, secret)


@router.put("/tokens/{token}/limit")
def give_limit(call: Call, token: str, limit: Limit | None = None) -> Token:
    """Limit what a token may ask of gateways; without a body it may ask as much as it likes."""
    return limit_token(call.platform, call.actor, token, limit)


@router.delete("/tokens/{token}")
def drop_token(call: Call, token: str) -> Token:
    """Revoke a token."""
    return revoke_token(call.platform, call.actor, token)


@router.get("/projects/{project}/events")
def events(
    call: InProject,
    after: int = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    subject: str | None = None,
    newest_first: bool = False,
) -> list[Event]:
    """Return what happened in the project: its audit."""
    authorise(call.actor, "event.read", call.project)
    with call.platform.transaction() as tx:
        return tx.events.read(call.project, after=after, limit=limit, subject=subject, newest_first=newest_first)
