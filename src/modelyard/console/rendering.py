"""From contexts to HTML: one Jinja environment, the answers' security headers, and problems as pages."""

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.exceptions import HTTPException

from modelyard.console import telling
from modelyard.core import Problem, ProblemKind
from modelyard.wiring.statuses import status_of

logger = logging.getLogger(__name__)

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@cache
def templates() -> Environment:
    """Return the environment of all templates. What a template does not escape is an error of ours: nothing is marked safe."""
    made = Environment(
        loader=FileSystemLoader(str(files("modelyard.console") / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "count",
        "figure",
        "change",
        "share",
        "size",
        "latency",
        "span",
        "value",
        "words",
        "short_digest",
        "code",
        "dtype",
    ):
        made.filters[name] = getattr(telling, name)
    made.filters["at"] = _at
    made.filters["exact"] = telling.exact
    made.filters["segment"] = lambda text: quote(str(text), safe="")
    return made


@pass_context
def _at(context: Context, at: Any) -> Markup:
    return telling.time_tag(at, context["now"])


def page(template: str, context: Any) -> HTMLResponse:
    """Return a page: `context` is its frozen dataclass, and has the `frame` around it."""
    frame = context.frame
    text = templates().get_template(template).render(page=context, frame=frame, now=frame.now)
    return HTMLResponse(text)


def bare(template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a page without a project around it."""
    return HTMLResponse(templates().get_template(template).render(**context), status)


def see_other(path: str, done: str = "") -> Response:
    """Return where to look after a deed, and what is said there."""
    query = f"{'&' if '?' in path else '?'}done={quote(done)}" if done else ""
    return RedirectResponse(path + query, 303)


@dataclass(frozen=True)
class ProblemPage:
    """What went wrong, and what to do next."""

    problem: Problem
    status: int
    back: str
    nearest: tuple[str, ...] = field(default=())


class PageRoute(APIRoute):
    """A route whose problems are pages, and whose answers carry the security headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, wrapped."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handler(request)
            except Problem as problem:
                response = _tell(request, problem)
            except RequestValidationError as error:
                where = ".".join(str(part) for part in error.errors()[0]["loc"])
                response = _tell(request, Problem("request.invalid", f"The address cannot be read at {where}", "", "go back"))
            except HTTPException:
                raise
            except Exception as error:  # a page tells that it broke as a page; the log has the whole of it
                logger.exception("%s %s broke", request.method, request.url.path)
                why = type(error).__name__
                response = _tell(request, Problem("page.failed", "The page could not be made", why, "see the server's log"))
            for name, content in SECURITY.items():
                response.headers.setdefault(name, content)
            return response

        return answer


def _tell(request: Request, problem: Problem) -> Response:
    if problem.kind is ProblemKind.UNAUTHENTICATED and request.method == "GET":
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(path, safe='')}", 303)
    status = status_of(problem)
    told = ProblemPage(problem, status, back_of(request))
    return bare("problem.html", status, page=told)


def back_of(request: Request) -> str:
    """Return the page of this console that the visitor came from, or the first one."""
    return local_path(urlsplit(request.headers.get("referer", "")).path)


def local_path(path: str) -> str:
    """Return a path of this server, or `/` for anything that might lead elsewhere.

    >>> local_path("/projects/a?x=1"), local_path("//evil.example/"), local_path("https://evil.example")
    ('/projects/a?x=1', '/', '/')
    """
    unsafe = not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(letter) < 32 for letter in path)  # noqa: PLR2004
    return "/" if unsafe or "\\" in path else path
