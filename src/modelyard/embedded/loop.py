"""ASGI applications called from threads, without a socket."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import CancelledError
from typing import Any

import httpx

Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class LoopThread:
    """An event loop in a background thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="modelyard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; what runs is cancelled."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class ApplicationTransport(httpx.BaseTransport):
    """Sends the requests of a synchronous HTTP client straight to an ASGI application."""

    def __init__(self, application: Application, thread: LoopThread) -> None:
        self._application = application
        self._thread = thread

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        body = request.read()
        call = _Call(body)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (request.url.host, request.url.port or 80),
            "client": ("127.0.0.1", 0),
        }
        running = call.run(self._application, scope)
        try:
            asyncio.run_coroutine_threadsafe(running, self._thread.loop).result()
        except (CancelledError, RuntimeError) as error:
            running.close()
            if isinstance(error, RuntimeError) and not self._thread.loop.is_closed():
                raise
            raise httpx.ConnectError("the platform in this process has ended", request=request) from error
        return httpx.Response(call.status, headers=call.headers, content=bytes(call.content), request=request)


class _Call:
    """One request under way."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._done = asyncio.Event()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.content = bytearray()

    async def run(self, application: Application, scope: Message) -> None:
        """Run the application. What it raises after it has begun to answer is told by the answer already."""
        try:
            await application(scope, self._receive, self._send)
        except Exception:
            if not self.status:
                raise

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._done.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.content += message.get("body", b"")
            if not message.get("more_body", False):
                self._done.set()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
