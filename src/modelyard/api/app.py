"""The control plane's HTTP door: one thin route a use case, OpenAPI derived from the slices' own types."""

import logging
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard.api import data, features, jobs, lineage, loop, models, objects, pipelines, runs, serving, tenants, watching
from modelyard.api.callers import Call
from modelyard.core import Problem, ProblemKind
from modelyard.tenancy import Actor
from modelyard.version import __version__
from modelyard.wiring import Follower, Platform
from modelyard.wiring.statuses import MEDIA_TYPE, STATUSES, problem_document, status_of

MAX_BODY_BYTES = 64 << 20
_DIGITS = 12
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Doors:
    """Where predictions are answered; None: there is no such door."""

    gateway: str | None = None
    grpc: str | None = None


NO_DOORS = Doors()


def create_app(
    platform: Platform, *, follower: Follower | None = None, owner: Actor | None = None, doors: Doors = NO_DOORS
) -> FastAPI:
    """Return the control plane over a platform.

    `owner` is set in embedded mode alone: every call is then the owner's. A server that listens asks for a token.
    """
    app = FastAPI(
        title="Modelyard",
        version=__version__,
        description="Data → prepare → train → register → serve → monitor → react.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.platform = platform
    app.state.follower = follower
    app.state.owner = owner
    app.state.doors = doors
    app.add_middleware(_LimitedBodies)
    app.exception_handler(Problem)(_tell_problem)
    app.exception_handler(RequestValidationError)(_tell_invalid)
    app.exception_handler(HTTPException)(_tell_http)
    app.exception_handler(Exception)(_tell_failure)
    for part in (tenants, objects, data, features, pipelines, runs, models, serving, lineage, watching, jobs, loop):
        app.include_router(part.router)

    @app.get("/v1/health", tags=["health"])
    def health() -> dict[str, str]:
        """Answer that the control plane is up."""
        return {"status": "ok", "version": __version__}

    @app.get("/v1/doors", tags=["health"])
    def told_doors(call: Call) -> Doors:
        """Tell where predictions are answered."""
        return doors

    return app


class _LimitedBodies:
    """The application, whose requests have bodies of so many bytes at most: as they say, and as they come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer that it is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isascii() and length.isdecimal() and (len(length) > _DIGITS or int(length) > MAX_BODY_BYTES):
            await _answer(_too_large())(scope, receive, send)
            return
        come, is_told = 0, False

        async def counted() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > MAX_BODY_BYTES:
                raise _too_large()
            return message

        async def answered(message: Message) -> None:
            nonlocal is_told
            if come <= MAX_BODY_BYTES:
                await send(message)
            elif not is_told:  # FastAPI takes what is raised while it reads a body for a body that does not read
                is_told = True
                await _answer(_too_large())(scope, receive, send)

        await self._app(scope, counted, answered)


def _too_large() -> Problem:
    step = "send it in parts, or put large content into the object store"
    return Problem("body.too_large", "The body is too large", f"the most is {MAX_BODY_BYTES:,} bytes", step)


def _answer(problem: Problem) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if problem.kind is ProblemKind.UNAUTHENTICATED else None
    return JSONResponse(problem_document(problem), status_of(problem), media_type=MEDIA_TYPE, headers=headers)


async def _tell_problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 - registered for this class
    return _answer(problem)


async def _tell_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    found = [{"where": ".".join(str(part) for part in one["loc"]), "why": one["msg"]} for one in error.errors()]
    first = found[0] if found else {"where": "body", "why": "it is not valid"}
    problem = Problem(
        "request.invalid",
        f"The request cannot be read at {first['where']}",
        str(first["why"]),
        "see /v1/openapi.json for the form",
        {"errors": found},
    )
    return _answer(problem)


async def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    kinds = {status: kind for kind, status in reversed(list(STATUSES.items()))}
    kind = kinds.get(error.status_code, ProblemKind.INVALID)
    problem = Problem(f"route.{kind.value}", f"{request.method} {request.url.path} is not answered", str(error.detail))
    return JSONResponse(problem_document(problem) | {"status": error.status_code}, error.status_code, media_type=MEDIA_TYPE)


async def _tell_failure(request: Request, error: Exception) -> Response:
    logger.error("%s %s broke", request.method, request.url.path, exc_info=error)
    return _answer(Problem("server.failed", "The server made a mistake", type(error).__name__, "see the server's log"))
