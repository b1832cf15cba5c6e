"""The platform as a family of processes on one machine: control plane, gateway, workers.

This process holds the control plane's socket and keeps the others alive; so the control plane may end and come back, and nobody
who asks it is refused meanwhile.
"""

import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.core import Problem
from modelyard.embedded.gateways import Gateways, name_of
from modelyard.embedded.listeners import address, listening
from modelyard.embedded.scaling import Scale
from modelyard.embedded.supervisor import Child, Order, Program, Say, stop_all
from modelyard.wiring.extras import NO_GRPC, has_grpc

START_S = 60.0
LIVES = 4  # of the gateway at the start: one of before, killed, may still be bringing its ledger home
LOOPBACK = ("127.0.0.1", "::1", "localhost")
NICE = 5  # of all but the gateways: on a short core, answers go first


@dataclass(frozen=True)
class Full:
    """When a gateway counts as full; None: as it sees it itself."""

    cpu: float | None = None  # share of a core
    latency_ms: float | None = None  # that 95 % of the answers are to take at most

    def arguments(self) -> list[str]:
        """Return this as options of a gateway."""
        told = {"--full-cpu": self.cpu, "--latency-aim-ms": self.latency_ms}
        return [text for name, value in told.items() if value is not None for text in (name, str(value))]


@dataclass(frozen=True)
class Plan:
    """What to start."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    gateway_port: int = 0
    workers: int = 2
    grpc_port: int = 0
    gateways: Scale = field(default_factory=Scale)  # processes that share both ports of predictions
    full: Full = field(default_factory=Full)
    memory_mb: float | None = None  # for the versions of all gateways together; None: half of the machine's


@dataclass(frozen=True)
class Addresses:
    """What `yard up` tells."""

    url: str
    gateway: str | None
    grpc: str | None
    token: str | None  # of the first member, the first time alone


@contextmanager
def running(plan: Plan, say: Say) -> Iterator[Addresses]:
    """Start the family, give its addresses when everything answers, and end all of it at the end of the block.

    `say` is told what happens to the children, in sentences.

    Raises
    ------
    Problem
        `home.conflict` when another one works in this home; `port.unavailable`; what the control plane cannot start on.
    """
    plan.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        alone_in(plan.home),
        listening(plan.host, plan.port) as listener,
        Gateways(plan.gateways, plan.host, plan.gateway_port, say) as gateways,
    ):
        grpc_port = free_grpc_port(plan)
        if grpc_port is None:
            say(NO_GRPC)
        url = address(plan.host, listener.getsockname()[1])
        service = _Secret()
        stopping = threading.Event()
        grpc = None if grpc_port is None else address(plan.host, grpc_port).removeprefix("http://")
        control = Child(_control(plan, listener, gateways.url, grpc), say)
        children = [control]
        try:
            control.start()
            gateways.start(_gateway(plan, grpc_port, url, service, stopping))
            told = control.first_line(START_S)
            _raise_told(told)
            service.give(told["service"])
            found = gateways.first_line(START_S, LIVES)
            for number in range(1, plan.workers + 1):
                children.append(Child(_worker(plan, number), say))
                children[-1].start()
            yield Addresses(url, found["gateway"], found["grpc"], told["token"])
        finally:
            stopping.set()
            service.give("")
            stop_all([*children, *gateways.close()])


@dataclass
class _Secret:
    """A value that one thread waits for and another gives."""

    value: str | None = None
    _there: threading.Event = field(default_factory=threading.Event)

    def give(self, value: str) -> None:
        if self.value is None:
            self.value = value
        self._there.set()

    def wait(self) -> str:
        self._there.wait()
        return self.value or ""


def _control(plan: Plan, listener: socket.socket, gateway: str, grpc: str | None) -> Program:
    arguments = ["--home", str(plan.home), "--socket", str(listener.fileno()), "--gateway", gateway]
    if grpc is not None:
        arguments += ["--grpc", grpc]
    return Program(
        name="control plane",
        module="modelyard.embedded.control",
        order=lambda: Order(arguments),
        log=plan.home / "logs" / "control.log",
        descriptors=(listener.fileno(),),
        nice=NICE,
    )


def _gateway(
    plan: Plan, grpc_port: int | None, control: str, service: _Secret, stopping: threading.Event
) -> Callable[[int, socket.socket], Program]:
    """Return what makes the program of a gateway, by its number and the socket that it listens on."""
    arguments = ["--home", str(plan.home), "--host", plan.host, "--control", control, *plan.full.arguments()]
    if grpc_port is not None:
        arguments += ["--grpc-port", str(grpc_port)]
    if plan.gateways.most > 1:
        arguments += ["--shared", "--gateways", str(plan.gateways.most)]
    if plan.memory_mb is not None:
        arguments += ["--memory-mb", str(plan.memory_mb / plan.gateways.most)]

    def program(number: int, listener: socket.socket) -> Program:
        name = name_of(number)

        def order() -> Order | None:
            token = service.wait()
            if stopping.is_set() or not token:
                return None
            own = ["--socket", str(listener.fileno()), "--replica", str(number)]
            return Order([*arguments, *own], {"MODELYARD_TOKEN": token})

        return Program(
            name=name,
            module="modelyard.gateway",
            order=order,
            log=plan.home / "logs" / f"{name}.log",
            preload=("modelyard.gateway.process",),
            descriptors=(listener.fileno(),),
        )

    return program


def _worker(plan: Plan, number: int) -> Program:
    return worker_program(plan.home, f"worker-{number}")


def worker_program(home: Path, name: str) -> Program:
    """Return the program of one worker."""
    threads = {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS",)}
    return Program(
        name=name,
        module="modelyard.runner.worker",
        order=lambda: Order(("--home", str(home), "--name", name), threads),
        log=home / "logs" / f"{name}.log",
        nice=NICE,
    )


def _raise_told(told: dict[str, Any]) -> None:
    problem = told.get("problem")
    if problem is not None:
        raise Problem(problem["code"], problem["what"], problem["why"], problem["next_step"], problem["detail"])


def free_grpc_port(plan: Plan) -> int | None:
    """Return the port of gRPC, free now; None where it is not installed. Problem `port.unavailable`."""
    with listening(plan.host, plan.grpc_port) as grpc:
        return grpc.getsockname()[1] if has_grpc() else None


@contextmanager
def alone_in(home: Path) -> Iterator[None]:
    """Hold the home for this process. Problem `home.conflict` when another one has it."""
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            why = "yard up is running there already"
            raise Problem("home.conflict", f"The home {home} is in use", why, "end that one, or name another --home") from error
        yield
