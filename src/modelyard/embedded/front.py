"""What answers while the control plane still loads: health as soon as the database is open, everything else a moment later."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from modelyard.version import __version__

Application = Callable[[Any, Any, Any], Awaitable[None]]

HEALTH = "/v1/health"
LAST_WORD_S = 0.3


class Front:
    """An ASGI application before another one. Nobody is refused meanwhile: requests wait for what answers them."""

    def __init__(self) -> None:
        self._application: Application | None = None
        self._opened = asyncio.Event()
        self._loaded = asyncio.Event()
        self._closing = False
        self._requests: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an ASGI application is called from a task")
        self._requests.add(task)
        try:
            await self._answer(scope, receive, send)
        except asyncio.CancelledError:
            if not self._closing:
                raise
            with suppress(Exception):  # it has begun to answer, and is cut off
                await _answer(send, 503, {"status": "ending"})
        finally:
            self._requests.discard(task)

    async def close(self) -> None:
        """Give what is being answered a moment, then cut it off: some requests wait for news, and would wait on."""
        self._closing = True
        if self._requests:
            _, late = await asyncio.wait(set(self._requests), timeout=LAST_WORD_S)
            for task in late:
                task.cancel()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if self._application is None and scope["type"] == "http" and (scope["method"], scope["path"]) == ("GET", HEALTH):
            await self._opened.wait()
            await _answer(send, 200, {"status": "ok", "version": __version__})
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


async def _answer(send: Any, status: int, body: dict[str, str]) -> None:
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
