"""What answers while the control plane still loads: health as soon as the database is open, everything else a moment later."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from modelyard.version import __version__

Application = Callable[[Any, Any, Any], Awaitable[None]]

HEALTH = "/v1/health"


class Front:
    """An ASGI application before another one. Nobody is refused meanwhile: requests wait for what answers them."""

    def __init__(self) -> None:
        self._application: Application | None = None
        self._opened = asyncio.Event()
        self._loaded = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if self._application is None and scope["type"] == "http" and (scope["method"], scope["path"]) == ("GET", HEALTH):
            await self._opened.wait()
            await _answer(send, {"status": "ok", "version": __version__})
            return
        await self._loaded.wait()
        if self._application is not None:
            await self._application(scope, receive, send)

    def open(self) -> None:
        """Say that the database answers."""
        self._opened.set()

    def load(self, application: Application) -> None:
        """Say what answers from now on."""
        self._application = application
        self._opened.set()
        self._loaded.set()


async def _answer(send: Any, body: dict[str, str]) -> None:
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
