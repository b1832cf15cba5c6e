"""Who calls, and in which project: what every route depends on."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Query, Request

from modelyard.core import PageRequest, Problem, ProjectId
from modelyard.core.pages import MAX_LIMIT
from modelyard.tenancy import Actor
from modelyard.tenancy.service import get_project, identify
from modelyard.wiring import Platform
from modelyard.wiring.cookie import COOKIE
from modelyard.wiring.tracing import trace_of


@dataclass(frozen=True)
class Caller:
    """The platform, and who asks it for something."""

    platform: Platform
    actor: Actor


@dataclass(frozen=True)
class ProjectCaller:
    """A caller in one project."""

    platform: Platform
    actor: Actor
    project: ProjectId


def caller_of(request: Request) -> Caller:
    """Return who calls: by bearer token, by the console's cookie, or the owner of an embedded server.

    Raises
    ------
    Problem
        `token.unauthenticated` without a token or with one that is not accepted.
    """
    platform: Platform = request.app.state.platform
    owner: Actor | None = request.app.state.owner
    trace = trace_of(request.scope, request.headers)
    if owner is not None:
        return Caller(platform, replace(owner, trace=trace))
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        secret = request.cookies.get(COOKIE, "") if request.method in ("GET", "HEAD") else ""
    if not secret:
        raise Problem(
            "token.unauthenticated",
            "The request carries no token",
            "every door but the health check asks for one",
            "send `Authorization: Bearer TOKEN`; `yard up` printed the first one",
        )
    with platform.reading():
        return Caller(platform, replace(identify(platform, secret.strip()), trace=trace))


def project_caller_of(project: str, caller: Annotated[Caller, Depends(caller_of)]) -> ProjectCaller:
    """Return the caller in the project that the path names. Problem `project.missing` also where they have no role."""
    with caller.platform.reading():
        found = get_project(caller.platform, caller.actor, project)
    return ProjectCaller(caller.platform, caller.actor, found.id)


def page_of(after: str | None = None, limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100) -> PageRequest:
    """Return which page is asked for."""
    return PageRequest(after, limit)


Call = Annotated[Caller, Depends(caller_of)]
InProject = Annotated[ProjectCaller, Depends(project_caller_of)]
PageQuery = Annotated[PageRequest, Depends(page_of)]
