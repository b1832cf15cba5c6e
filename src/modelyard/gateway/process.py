"""The gateway's process: settings to a listening server, and its end.

`python -m modelyard.gateway --home DIR --port N --control URL`, the token of a member who sees the projects in
`MODELYARD_TOKEN`. When it answers it prints one JSON line: `{"gateway": URL, "grpc": HOST:PORT or null, "ready": whether it has
a catalogue}`. SIGTERM ends it: open requests are answered, the ledger is shipped. What other signals do, see `server`.

With `--grpc-port` it listens for gRPC, too, where `modelyard[grpc]` is installed; where it is not, it says so and goes on.

Everything of its own lies in `HOME/gateway`: `catalogue.json`, `packages/`, `ledger/`; of further replicas see `replicas`.
"""

import argparse
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

import httpx

from modelyard.adapters import FRAMEWORK, OBJECTS, connect, resolve
from modelyard.core import IdMaker, ObjectStore, Problem, system_clock
from modelyard.gateway.app import Gateway
from modelyard.gateway.carrying import ProcessCarrier
from modelyard.gateway.follow import Follower
from modelyard.gateway.fullness import CPU, Full
from modelyard.gateway.isolation import Isolation
from modelyard.gateway.keeper import Bounds
from modelyard.gateway.limits import Allowances, counted_together
from modelyard.gateway.metrics import Metrics
from modelyard.gateway.plane import LONGEST_S
from modelyard.gateway.replicas import ADOPTING_S, Siblings, adopt, alone_in
from modelyard.gateway.residents import Residents, memory_budget_mb
from modelyard.gateway.routes import RouteTable
from modelyard.gateway.segments import SegmentWriter
from modelyard.gateway.server import Rpc, serve
from modelyard.gateway.shipping import Shipper
from modelyard.training import Framework
from modelyard.wiring.extras import NO_GRPC, has_grpc
from modelyard.wiring.platform import online_of, open_clock
from modelyard.wiring.settings import Settings, read_settings
from modelyard.wiring.tracing import open_tracer

log = logging.getLogger(__name__)

BODY_LIMIT = 16 << 20
SHIP_EVERY_S = 1.0
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
    full_cpu: float
    latency_aim_ms: float
    memory_mb: float
    gateways: int


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
    parser.add_argument("--full-cpu", type=_over_0, default=CPU, help="share of a core at which it counts as full")
    parser.add_argument(
        "--latency-aim-ms", type=_over_0, default=inf,
        help="milliseconds that 95 %% of the answers are to take at most: with that it counts as full (default: no aim)",
    )  # fmt: skip
    parser.add_argument(
        "--memory-mb", type=float, default=0.0,
        help="MiB that all versions may hold together: who was asked longest ago makes room (default: half of the machine's)",
    )  # fmt: skip
    parser.add_argument("--gateways", type=int, default=1, help="how many share the machine, and that half of its memory")
    return Options(**vars(parser.parse_args(arguments)))


def _over_0(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return number


def run(options: Options, settings: Settings, token: str) -> None:
    """Serve until a signal comes, then ship the ledger.

    Raises
    ------
    Problem
        `gateway.conflict` when another gateway works in this home, `port.unavailable`, and what the adapters raise.
    """
    siblings = Siblings(settings.home, options.replica)
    folder = siblings.own
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stores = Stores(connect(OBJECTS, settings.objects), lambda name: resolve(FRAMEWORK, name)())
    with (
        alone_in(folder, ADOPTING_S), listener_of(options) as listener, listening("127.0.0.1", 0) as inner,
        counted_together(settings.home) as counts, ExitStack() as ends,
    ):  # fmt: skip
        ids = IdMaker(system_clock)
        writer = SegmentWriter(folder / "ledger", ids)
        carrier = ProcessCarrier(settings.lake, folder / "ledger", settings.metadata)
        shipper = Shipper(writer, carrier, options.ship_every_s, partial(adopt, settings.home, folder / "ledger"))
        tracer = open_tracer("modelyard-gateway")
        metrics = Metrics()
        bounds = Bounds(call_s=OF_DEADLINE * options.timeout_s, memory_mb=options.version_memory_mb)
        isolation = Isolation(stores, bounds, metrics.restarted)
        residents = Residents(isolation.bring, isolation.load, options.memory_mb or memory_budget_mb() / options.gateways)
        metrics.watch(residents.figures)
        gateway = Gateway(
            writer=writer, shipper=shipper, metrics=metrics, clock=open_clock(settings.clock), boot=ids("req"),
            body_limit=options.body_limit, siblings=siblings, longest_s=options.timeout_s, tracer=tracer,
            online=online_of(settings, ends), full=Full(options.full_cpu, latency_s=options.latency_aim_ms / 1000),
        )  # fmt: skip

        def swap(table: RouteTable) -> None:
            gateway.table = table

        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=options.control, headers=headers, trust_env=False) as client:
            follower = Follower(folder, residents, client, swap, Allowances(counts))
            gateway.reports.follower_status = follower.status
            gateway.reports.processes = isolation.status
            gateway.reports.versions = residents.status
            siblings.begin()  # before the shipper, which holds the folders of those that ended while it adopts their ledgers
            follower.start()
            shipper.start()
            siblings.tell(f"http://127.0.0.1:{inner.getsockname()[1]}")
            serve(gateway, follower, [listener, inner], _rpc(options))
            siblings.leave(metrics.text())
            follower.stop()
        isolation.close()
        gateway.close()
        shipper.stop()
        if tracer is not None:
            tracer.close()


def _rpc(options: Options) -> Rpc | None:
    if options.grpc_port is None:
        return None
    if not has_grpc():
        log.warning(NO_GRPC)
        return None
    return Rpc(options.host, options.grpc_port, options.shared, options.body_limit)


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
