"""Who visits a page: signed in by a cookie, or the owner of an embedded server; and what their forms must prove."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from modelyard.console.traffic import TrafficBook
from modelyard.core import Problem
from modelyard.tenancy import Actor, Project
from modelyard.tenancy.service import find_projects, get_project, identify
from modelyard.wiring import Follower, Platform
from modelyard.wiring.cookie import COOKIE
from modelyard.wiring.tracing import trace_of

FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field


@dataclass(frozen=True)
class Console:
    """What the console of one process holds."""

    platform: Platform
    follower: Follower | None
    traffic: TrafficBook
    key: bytes  # signs the forms of an embedded server, which has no cookies


@dataclass(frozen=True)
class Guest:
    """Somebody who is signed in."""

    console: Console
    request: Request
    actor: Actor
    form_token: str
    signed_in: bool  # by a cookie; False: the owner of an embedded server

    @property
    def platform(self) -> Platform:
        """The platform that the pages show."""
        return self.console.platform


@dataclass(frozen=True)
class Visit(Guest):
    """Somebody in a project."""

    project: Project
    projects: tuple[Project, ...]


def guest_of(request: Request) -> Guest:
    """Return who visits.

    Raises
    ------
    Problem
        `token.unauthenticated` without a cookie, or with one whose token is not accepted any more.
    """
    console: Console = request.app.state.console
    owner: Actor | None = request.app.state.owner
    secret = request.cookies.get(COOKIE, "")
    if owner is not None:
        return Guest(console, request, owner, form_token_of(console.key, ""), signed_in=False)
    if not secret:
        raise Problem("token.unauthenticated", "Nobody is signed in", "the browser showed no token", "sign in with a token")
    actor = replace(identify(console.platform, secret), trace=trace_of(request.scope, request.headers))
    return Guest(console, request, actor, form_token_of(b"", secret), signed_in=True)


def visit_of(project: str, guest: Annotated[Guest, Depends(guest_of)]) -> Visit:
    """Return the visit to the project that the path names. Problem `project.missing` also where they have no role."""
    found = get_project(guest.platform, guest.actor, project)
    projects = tuple(find_projects(guest.platform, guest.actor))
    return Visit(guest.console, guest.request, guest.actor, guest.form_token, guest.signed_in, found, projects)


def form_token_of(key: bytes, secret: str) -> str:
    """Return what a form must carry: only who holds the cookie, or read the page, knows it."""
    return hmac.new(key + secret.encode(), b"modelyard console form", hashlib.sha256).hexdigest()


async def fields_of(request: Request) -> Mapping[str, str]:
    """Return the fields of a form that came from one of this console's own pages.

    Raises
    ------
    Problem
        `form.forbidden` where another site, or nobody, made the form.
    """
    refuse_other_sites(request)
    guest = guest_of(request)
    form = await request.form()
    fields = {name: given for name, given in form.items() if isinstance(given, str)}
    if not hmac.compare_digest(fields.get(FORM_TOKEN, "").encode(), guest.form_token.encode()):
        raise Problem("form.forbidden", "The form is not one of this page's", "its token does not match", "reload the page")
    return fields


def refuse_other_sites(request: Request) -> None:
    """Return when the request comes from this console's own pages, as far as the browser tells. Problem `form.forbidden`."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if foreign or site not in ("same-origin", "none"):
        raise Problem("form.forbidden", "The form came from another site", f"its origin is {origin or site}", "reload the page")


InProject = Annotated[Visit, Depends(visit_of)]
SignedIn = Annotated[Guest, Depends(guest_of)]
Fields = Annotated[Mapping[str, str], Depends(fields_of)]
