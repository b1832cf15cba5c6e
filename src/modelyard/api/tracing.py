"""Requests of the control plane as spans of a trace: what they make knows to which one it belongs."""

from time import perf_counter
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard.core import Tracer
from modelyard.wiring.tracing import TRACE, trace_of

_BROKEN: Final = 500


class Traced:
    """An application each of whose requests is a span, named by method and route."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        span = self._tracer.begin(scope["method"], trace_of(scope, Headers(scope=scope)), perf_counter())
        scope[TRACE] = span.context
        status = _BROKEN

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route: Any = getattr(scope.get("route"), "path", None)
            told = {"http.request.method": scope["method"], "http.response.status_code": status, "url.path": scope["path"]}
            named = {} if route is None else {"http.route": route}
            span.end({**told, **named}, name=None if route is None else f"{scope['method']} {route}", failed=status >= _BROKEN)
