"""The control plane's process: API, console and follower over one platform, on a socket that is given.

`python -m modelyard.embedded.control --home DIR --socket FD --gateway URL [--grpc HOST:PORT]`. When its database is open it
prints a line of JSON for its parent alone: `{"token": the first token, once, else null, "service": the gateway's token}`; or
`{"problem": …}`, and ends.

Platform and application are imported while the socket is answered already: most of the start's time is theirs.
"""

import argparse
import asyncio
import gc
import json
import logging
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from modelyard.core import Problem
from modelyard.embedded.front import Front

if TYPE_CHECKING:
    from modelyard.core import Tracer
    from modelyard.wiring import Platform
    from modelyard.wiring.openlineage import LineageSender

GRACE_S = 2
LEFT_BEHIND = timedelta(days=1)
log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    parser = argparse.ArgumentParser(prog="python -m modelyard.embedded.control", description="Run the control plane.")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--socket", type=int, required=True, help="descriptor of the listening socket")
    parser.add_argument("--gateway", help="address that clients are told")
    parser.add_argument("--grpc", help="the same of the gRPC door")
    options = parser.parse_args(arguments)
    plane = ControlPlane(options.home, options.gateway, options.grpc)
    with socket.socket(fileno=options.socket) as listener:
        plane.serve(listener)
    sys.exit(1 if plane.failed else 0)


@dataclass
class ControlPlane:
    """One life of the process."""

    home: Path | None
    gateway: str | None
    grpc: str | None = None
    failed: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _tracer: "Tracer | None" = None
    _sender: "LineageSender | None" = None

    def serve(self, listener: socket.socket) -> None:
        """Answer on `listener` until a signal comes, or until it is clear that nothing can be loaded."""
        front = Front()
        config = uvicorn.Config(
            front, loop="uvloop", http="httptools", ws="none", lifespan="off", interface="asgi3", log_config=None,
            access_log=False, server_header=False, timeout_graceful_shutdown=GRACE_S,
        )  # fmt: skip

        def answering(loop: asyncio.AbstractEventLoop) -> None:
            self._begin(lambda: self._load(front, server, loop), "load")

        server = _Server(config, answering, front.close)
        server.run(sockets=[listener])
        self._stop.set()
        for thread in self._threads:
            thread.join(GRACE_S)
        if self._tracer is not None:
            self._tracer.close()

    def _load(self, front: Front, server: uvicorn.Server, loop: asyncio.AbstractEventLoop) -> None:
        gc.disable()  # see `embedded.child`
        try:
            platform, line = self._open()
            loop.call_soon_threadsafe(front.open)
            _print(line)
            self._start(platform, front, loop)
        except Exception as error:  # whatever it is, the parent is to hear of it
            problem = error if isinstance(error, Problem) else _broken(error)
            _print({"problem": _told(problem)})
            self.failed = True
            server.should_exit = True
        finally:
            gc.freeze()
            gc.enable()

    def _open(self) -> "tuple[Platform, dict[str, str | None]]":
        from modelyard.embedded.service_token import service_token  # noqa: PLC0415 - see the module's first words
        from modelyard.tenancy.service import bootstrap  # noqa: PLC0415
        from modelyard.wiring import open_platform, read_settings  # noqa: PLC0415
        from modelyard.wiring.openlineage import open_sender  # noqa: PLC0415

        platform = open_platform(read_settings(home=self.home))
        self._sender = open_sender(platform)
        owner, token = bootstrap(platform)
        return platform, {"token": token, "service": service_token(platform, owner)}

    def _start(self, platform: "Platform", front: Front, loop: asyncio.AbstractEventLoop) -> None:
        from modelyard.api.app import Doors  # noqa: PLC0415
        from modelyard.api.tracing import Traced  # noqa: PLC0415
        from modelyard.embedded.server import build  # noqa: PLC0415
        from modelyard.wiring import Follower  # noqa: PLC0415
        from modelyard.wiring.tracing import open_tracer  # noqa: PLC0415

        follower = Follower(platform)
        app = build(platform, follower=follower, doors=Doors(gateway=self.gateway, grpc=self.grpc))
        self._tracer = open_tracer("modelyard-control")
        loop.call_soon_threadsafe(front.load, app if self._tracer is None else Traced(app, self._tracer))
        self._begin(lambda: follower.run(self._stop), "follower")
        self._begin(lambda: _sweep(platform), "sweep")
        if self._sender is not None:
            self._begin(partial(self._sender.run, self._stop), "lineage")

    def _begin(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()


class _Server(uvicorn.Server):
    """uvicorn's server, which calls back when it answers and when it ends."""

    def __init__(
        self,
        config: uvicorn.Config,
        answering: Callable[[asyncio.AbstractEventLoop], None],
        ending: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._answering = answering
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._answering(asyncio.get_running_loop())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, without waiting for who waits for news."""
        await self._ending()
        await super().shutdown(sockets)


def _sweep(platform: "Platform") -> None:
    """Drop what killed writers left behind. A store that is away is swept at the next start."""
    with suppress(Problem):
        dropped = platform.objects.sweep(LEFT_BEHIND)
        if dropped:
            log.warning("dropped %d things that killed writers had left in the object store", dropped)


def _broken(error: Exception) -> Problem:
    traceback.print_exception(error)
    return Problem("server.failed", "The control plane does not start", f"{type(error).__name__}: {error}", "see its log")


def _told(problem: Problem) -> dict[str, Any]:
    return {part: getattr(problem, part) for part in ("code", "what", "why", "next_step", "detail")}


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
