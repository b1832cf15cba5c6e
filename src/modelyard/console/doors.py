"""The doors of the console: the choice of a project, signing in and out."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from modelyard.console.frame import base_of
from modelyard.console.rendering import PageRoute, bare, local_path
from modelyard.console.visits import Fields, SignedIn, refuse_other_sites
from modelyard.core import Problem
from modelyard.tenancy.service import find_projects, identify
from modelyard.wiring.cookie import COOKIE

router = APIRouter(route_class=PageRoute, include_in_schema=False)
COOKIE_AGE_S = 30 * 86_400


@router.get("/")
def choose_project(guest: SignedIn) -> Response:
    """Go to the only project, or let one be chosen."""
    projects = find_projects(guest.platform, guest.actor)
    if len(projects) == 1:
        return RedirectResponse(base_of(projects[0]), 303)
    return bare("projects.html", projects=projects)


@router.get("/projects")
def list_projects(guest: SignedIn) -> Response:
    """Let a project be chosen."""
    return bare("projects.html", projects=find_projects(guest.platform, guest.actor))


@router.get("/sign-in")
def show_sign_in(request: Request, next: str = "/") -> Response:
    """Ask for a token."""
    if request.app.state.owner is not None:
        return RedirectResponse(local_path(next), 303)
    return bare("sign_in.html", next=local_path(next), refused="")


@router.post("/sign-in")
def sign_in(
    request: Request,
    token: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Keep the token in a cookie that scripts cannot read, when it is accepted."""
    refuse_other_sites(request)
    secret = token.strip()
    try:
        identify(request.app.state.platform, secret)
    except Problem as problem:
        return bare("sign_in.html", 401, next=local_path(next), refused=str(problem))
    response = RedirectResponse(local_path(next), 303)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, secret, max_age=COOKIE_AGE_S, httponly=True, samesite="strict", secure=secure, path="/")
    return response


@router.post("/sign-out")
def sign_out(_fields: Fields) -> Response:
    """Forget the token."""
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE, path="/")
    return response
