"""The gateway's server: uvicorn's, with the gRPC door beside it, which says when it answers, spreads its callers, and leaves.

SIGTERM ends it: open requests are answered. Two more signals are for a gateway among several on one port:

- `SPREAD`, another one has come: each connection is closed with its next answer, so that callers come anew and are spread;
- `LEAVE`, it goes and the others stay: the same, and it ends when nobody is left, or after `LEAVE_S`; who asks less often than
  that finds the connection closed, as after `KEEP_ALIVE_S`. Meanwhile it answers whoever still comes: that new callers come to
  the others is for who sends the signal to see to.
"""

import asyncio
import gc
import json
import logging
import signal
import socket
import sys
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from modelyard.gateway.app import Gateway
from modelyard.gateway.connections import Connection, allow_connections
from modelyard.gateway.express import ExpressConnection
from modelyard.gateway.follow import Follower
from modelyard.wiring.signals import LEAVE, LEAVE_S, SPREAD

if TYPE_CHECKING:
    from modelyard.gateway.grpc_door import GrpcDoor

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 120
GRACE_S = 10
LATE_S = 3.0  # a connection that began before the others took over may need so long to be there
LOOK_S = 0.1
FIRST_CATALOGUE_S = 60.0


@dataclass(frozen=True)
class Rpc:
    """Where to listen for gRPC."""

    host: str
    port: int  # 0: a free one
    shared: bool  # the port, with other gateways
    body_limit: int  # bytes


def serve(gateway: Gateway, follower: Follower, listeners: list[socket.socket], rpc: Rpc | None) -> None:
    """Answer on the listeners until a signal ends it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal once more when it has ended

    async def look() -> None:
        gateway.look()

    config = uvicorn.Config(
        gateway, loop="uvloop", http=ExpressConnection, limit_concurrency=allow_connections(), ws="none", interface="asgi3",
        proxy_headers=False, lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=GRACE_S, callback_notify=look, timeout_notify=0,
    )  # fmt: skip
    _Server(config, gateway, follower, rpc).run(sockets=listeners)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, gateway: Gateway, follower: Follower, rpc: Rpc | None) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._follower = follower
        self._rpc = rpc
        self._grpc: GrpcDoor | None = None
        self._leaves = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, wait for the first word of the control plane, and print the addresses."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(LEAVE, self._leave)
        loop.add_signal_handler(SPREAD, self._spread)
        await super().startup(sockets)
        settled = asyncio.to_thread(self._follower.settled.wait, FIRST_CATALOGUE_S)
        grpc, _ = await asyncio.gather(self._listen_for_grpc(), settled)
        gc.collect()
        gc.freeze()  # what was loaded stays: a collection that walks through it all holds requests for a tenth of a second
        host, port = (sockets or [])[0].getsockname()[:2]
        line = {"gateway": f"http://{host}:{port}", "grpc": grpc, "ready": self._gateway.table.position >= 0}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End when what is open is answered; when it leaves, after everybody has heard of it."""
        if self._leaves:
            await asyncio.gather(self._drain(), self._stop_grpc())
        else:
            await self._stop_grpc()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End soon, also while it leaves."""
        self._leaves = False
        super().handle_exit(sig, frame)

    def _leave(self) -> None:
        self._leaves = self.should_exit = True

    def _spread(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.leave()

    async def _drain(self) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        while self._leaves and clock() - begun < (LEAVE_S if self.server_state.connections else LATE_S):
            self._spread()
            await asyncio.sleep(LOOK_S)

    async def _listen_for_grpc(self) -> str | None:
        if self._rpc is None:
            return None
        from modelyard.gateway.grpc_door import GrpcDoor  # noqa: PLC0415 - an optional package

        self._grpc = GrpcDoor(self._gateway, self._rpc.body_limit, shared=self._rpc.shared)
        return await self._grpc.start(self._rpc.host, self._rpc.port)

    async def _stop_grpc(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop(GRACE_S)
