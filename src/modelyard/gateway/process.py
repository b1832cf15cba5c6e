"""The gateway's process: settings to a listening server, and its end.

`python -m modelyard.gateway --home DIR --port N --control URL`, the token of a member who sees the projects in
`MODELYARD_TOKEN`. When it answers it prints one JSON line: `{"gateway": URL, "grpc": HOST:PORT or null, "ready": whether it has
a catalogue}`. SIGTERM ends it: open requests are answered, the ledger is shipped.

With `--grpc-port` it listens for gRPC, too, where `modelyard[grpc]` is installed; where it is not, it says so and goes on.

Everything of its own lies in `HOME/gateway`: `catalogue.json`, `packages/`, `ledger/`; of further replicas see `replicas`.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import uvicorn

from modelyard.adapters import FRAMEWORK, OBJECTS, connect, resolve
from modelyard.core import IdMaker, ObjectStore, Problem, system_clock
from modelyard.gateway.app import Gateway
from modelyard.gateway.carrying import ProcessCarrier
from modelyard.gateway.connections import allow_connections
from modelyard.gateway.express import ExpressConnection
from modelyard.gateway.follow import Follower
from modelyard.gateway.isolation import Isolation
from modelyard.gateway.keeper import Bounds
from modelyard.gateway.limits import Allowances, counted_together
from modelyard.gateway.metrics import Metrics
from modelyard.gateway.plane import LONGEST_S
from modelyard.gateway.replicas import Siblings, adopt, alone_in, replica_folder
from modelyard.gateway.residents import Residents, memory_budget_mb
from modelyard.gateway.routes import RouteTable
from modelyard.gateway.segments import SegmentWriter
from modelyard.gateway.shipping import Shipper
from modelyard.training import Framework
from modelyard.wiring.extras import NO_GRPC, has_grpc
from modelyard.wiring.platform import open_clock
from modelyard.wiring.settings import Settings, read_settings
from modelyard.wiring.tracing import open_tracer

if TYPE_CHECKING:
    from modelyard.gateway.grpc_door import GrpcDoor

log = logging.getLogger(__name__)

BODY_LIMIT = 16 << 20
SHIP_EVERY_S = 1.0
KEEP_ALIVE_S = 120
GRACE_S = 10
FIRST_CATALOGUE_S = 60.0
YOUNGEST = 10_000  # objects between two collections of the youngest: a request makes a hundred, and leaves none in a cycle
OF_DEADLINE = 0.9  # a version that hangs is ended while another can still answer who asked it
SWITCH_S = 0.0005  # the shipper and loading versions compute in threads: the loop must not wait 5 ms for each of its turns


@dataclass(frozen=True)
class Stores:
    """The ports that the gateway needs: no metadata database is among them."""

    objects: ObjectStore
    framework: Callable[[str], Framework]


@dataclass(frozen=True)
class Options:
    """The command line."""

    home: Path | None
    host: str
    port: int
    socket: int | None  # descriptor of a socket that listens already
    replica: int
    shared: bool  # the port of gRPC, with other replicas
    grpc_port: int | None  # None: no gRPC
    control: str
    body_limit: int
    ship_every_s: float
    timeout_s: float
    version_memory_mb: float
    memory_mb: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(YOUNGEST)
    options = read_options(arguments)
    try:
        run(options, read_settings(home=options.home), os.environ.get("MODELYARD_TOKEN", ""))
    except Problem as problem:
        sys.exit(str(problem))


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Return the command line, read."""
    parser = argparse.ArgumentParser(prog="python -m modelyard.gateway", description="Answer predictions.")
    parser.add_argument("--home", type=Path, default=None, help="where everything lies (default: the setting `home`)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--socket", type=int, default=None, help="descriptor of a socket that listens already, instead")
    parser.add_argument("--replica", type=int, default=1, help="which one of those that share a port; from 1")
    parser.add_argument("--shared", action="store_true", help="listen for gRPC on a port that other replicas listen on, too")
    parser.add_argument("--grpc-port", type=int, default=None, help="listen for gRPC, too; 0: a free one")
    parser.add_argument("--control", required=True, help="address of the control plane")
    parser.add_argument("--body-limit", type=int, default=BODY_LIMIT, help="bytes of the largest request body")
    parser.add_argument("--ship-every-s", type=float, default=SHIP_EVERY_S, help="seconds between two shipments of the ledger")
    parser.add_argument("--timeout-s", type=float, default=LONGEST_S, help="seconds that a request may take at most")
    parser.add_argument(
        "--version-memory-mb", type=float, default=Bounds.memory_mb,
        help="MiB that the process of a version that runs code may grow, until it is replaced; at twice as much it is ended",
    )  # fmt: skip
    parser.add_argument(
        "--memory-mb", type=float, default=0.0,
        help="MiB that all versions may hold together: who was asked longest ago makes room (default: half of the machine's)",
    )  # fmt: skip
    return Options(**vars(parser.parse_args(arguments)))


def run(options: Options, settings: Settings, token: str) -> None:
    """Serve until a signal comes, then ship the ledger.

    Raises
    ------
    Problem
        `gateway.conflict` when another gateway works in this home, `port.unavailable`, and what the adapters raise.
    """
    folder = replica_folder(settings.home, options.replica)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    siblings = Siblings(settings.home, folder)
    stores = Stores(connect(OBJECTS, settings.objects), lambda name: resolve(FRAMEWORK, name)())
    with (
        alone_in(folder), listener_of(options) as listener, listening("127.0.0.1", 0) as inner,
        counted_together(settings.home) as counts,
    ):  # fmt: skip
        ids = IdMaker(system_clock)
        writer = SegmentWriter(folder / "ledger", ids)
        adopt(settings.home, folder / "ledger")
        shipper = Shipper(writer, ProcessCarrier(settings.lake, folder / "ledger"), options.ship_every_s)
        tracer = open_tracer("modelyard-gateway")
        metrics = Metrics()
        bounds = Bounds(call_s=OF_DEADLINE * options.timeout_s, memory_mb=options.version_memory_mb)
        isolation = Isolation(stores, bounds, metrics.restarted)
        residents = Residents(isolation.bring, isolation.load, options.memory_mb or memory_budget_mb())
        metrics.watch(residents.figures)
        gateway = Gateway(
            writer=writer, shipper=shipper, metrics=metrics, clock=open_clock(settings.clock), boot=ids("req"),
            body_limit=options.body_limit, siblings=siblings, longest_s=options.timeout_s, tracer=tracer,
        )  # fmt: skip

        def swap(table: RouteTable) -> None:
            gateway.table = table

        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=options.control, headers=headers, trust_env=False) as client:
            follower = Follower(folder, residents, client, swap, Allowances(counts))
            gateway.reports.follower_status = follower.status
            gateway.reports.processes = isolation.status
            gateway.reports.versions = residents.status
            follower.start()
            shipper.start()
            siblings.tell(f"http://127.0.0.1:{inner.getsockname()[1]}")
            _serve(gateway, follower, [listener, inner], options)
            siblings.leave()
            follower.stop()
        isolation.close()
        gateway.close()
        shipper.stop()
        if tracer is not None:
            tracer.close()
        if gateway.hangs:
            os._exit(0)


def _serve(gateway: Gateway, follower: Follower, listeners: list[socket.socket], options: Options) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal once more when it has ended
    config = uvicorn.Config(
        gateway, loop="uvloop", http=ExpressConnection, limit_concurrency=allow_connections(), ws="none", interface="asgi3",
        proxy_headers=False, lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=GRACE_S,
    )  # fmt: skip
    _Server(config, gateway, follower, options).run(sockets=listeners)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it answers, with the gRPC door beside it."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, follower: Follower, options: Options) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._follower = follower
        self._options = options
        self._grpc: GrpcDoor | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, wait for the first word of the control plane, and print the addresses."""
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
        """End when what is open is answered."""
        if self._grpc is not None:
            await self._grpc.stop(GRACE_S)
        await super().shutdown(sockets)

    async def _listen_for_grpc(self) -> str | None:
        options = self._options
        if options.grpc_port is None:
            return None
        if not has_grpc():
            log.warning(NO_GRPC)
            return None
        from modelyard.gateway.grpc_door import GrpcDoor  # noqa: PLC0415 - an optional package

        self._grpc = GrpcDoor(self._gateway, options.body_limit, shared=options.shared)
        return await self._grpc.start(options.host, options.grpc_port)


@contextmanager
def listener_of(options: Options) -> Iterator[socket.socket]:
    """Give the socket that callers reach: the one that was handed down, or a new one."""
    if options.socket is None:
        with listening(options.host, options.port) as listener:
            yield listener
        return
    with socket.socket(fileno=options.socket) as listener:
        yield listener


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Give a listening socket. Problem `port.unavailable` when the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        step = "name another one: --port"
        raise Problem("port.unavailable", f"{host}:{port} cannot be listened on", str(error.strerror), step) from error
    with listener:
        yield listener
