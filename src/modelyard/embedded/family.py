"""The platform as a family of processes on one machine: control plane, gateway, workers.

This process holds the control plane's socket and keeps the others alive; so the control plane may end and come back, and nobody
who asks it is refused meanwhile.
"""

import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.core import Problem
from modelyard.embedded.supervisor import Child, Order, Program, Say, stop_all
from modelyard.wiring.extras import NO_GRPC, has_grpc

START_S = 60.0
LIVES = 4  # of the gateway at the start: one of before, killed, may still be bringing its ledger home
BACKLOG = 2048
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Plan:
    """What to start."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    gateway_port: int = 0
    workers: int = 2
    grpc_port: int = 0
    gateways: int = 1  # processes that share both ports of predictions


@dataclass(frozen=True)
class Addresses:
    """What `yard up` tells."""

    url: str
    gateway: str | None
    grpc: str | None
    token: str | None  # of the first member, the first time alone


@dataclass
class Family:
    """The running processes."""

    addresses: Addresses
    children: list[Child] = field(default_factory=list)


@contextmanager
def running(plan: Plan, say: Say) -> Iterator[Family]:
    """Start the family, give it when everything answers, and end all of it at the end of the block.

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
        sharing(plan.host, plan.gateway_port, plan.gateways) as shared,
    ):
        gateway_port, grpc_port = shared[0].getsockname()[1], free_grpc_port(plan)
        if grpc_port is None:
            say(NO_GRPC)
        url = address(plan.host, listener.getsockname()[1])
        service = _Secret()
        stopping = threading.Event()
        grpc = None if grpc_port is None else address(plan.host, grpc_port).removeprefix("http://")
        control = Child(_control(plan, listener, address(plan.host, gateway_port), grpc), say)
        wanted = [
            _gateway(plan, number, one, grpc_port, control=url, service=service, stopping=stopping)
            for number, one in enumerate(shared, start=1)
        ]
        gateways = [Child(program, say) for program in wanted]
        children = [control, *gateways]
        try:
            for child in children:
                child.start()
            told = control.first_line(START_S)
            _raise_told(told)
            service.give(told["service"])
            found, *_ = [gateway.first_line(START_S, LIVES) for gateway in gateways]
            for number in range(1, plan.workers + 1):
                children.append(Child(_worker(plan, number), say))
                children[-1].start()
            yield Family(Addresses(url, found["gateway"], found["grpc"], told["token"]), children)
        finally:
            stopping.set()
            service.give("")
            stop_all(children)


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
    )


def _gateway(
    plan: Plan,
    number: int,
    shared: socket.socket,
    grpc_port: int | None,
    *,
    control: str,
    service: _Secret,
    stopping: threading.Event,
) -> Program:
    name = "gateway" if number == 1 else f"gateway-{number}"

    def order() -> Order | None:
        token = service.wait()
        if stopping.is_set() or not token:
            return None
        arguments = ["--home", str(plan.home), "--host", plan.host, "--socket", str(shared.fileno()), "--control", control]
        arguments += ["--replica", str(number)]
        if grpc_port is not None:
            arguments += ["--grpc-port", str(grpc_port)]
        if plan.gateways > 1:
            arguments.append("--shared")
        return Order(arguments, {"MODELYARD_TOKEN": token})

    return Program(
        name=name,
        module="modelyard.gateway",
        order=order,
        log=plan.home / "logs" / f"{name}.log",
        preload=("modelyard.gateway.process",),
        descriptors=(shared.fileno(),),
    )


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
    )


def _raise_told(told: dict[str, Any]) -> None:
    problem = told.get("problem")
    if problem is not None:
        raise Problem(problem["code"], problem["what"], problem["why"], problem["next_step"], problem["detail"])


def address(host: str, port: int) -> str:
    """Return the URL that reaches a listener from this machine."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared
    return f"http://{reached}:{port}"


def free_grpc_port(plan: Plan) -> int | None:
    """Return the port of gRPC, free now; None where it is not installed. Problem `port.unavailable`."""
    with listening(plan.host, plan.grpc_port) as grpc:
        return grpc.getsockname()[1] if has_grpc() else None


@contextmanager
def sharing(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    """Give as many sockets that listen on one port: the system spreads the callers over them.

    They stay open here, so that who is spread to a process that has just ended waits for the next one.

    Raises
    ------
    Problem
        `port.unavailable`.
    """
    with ExitStack() as stack:
        if count == 1:
            yield [stack.enter_context(listening(host, port))]
            return
        with listening(host, port) as probe:  # a port that somebody shares already would be joined, and not be refused
            free = probe.getsockname()[1]
        yield [stack.enter_context(listening(host, free, shared=True)) for _ in range(count)]


@contextmanager
def listening(host: str, port: int, *, shared: bool = False) -> Iterator[socket.socket]:
    """Give a listening socket; who connects waits until somebody answers.

    Raises
    ------
    Problem
        `port.unavailable` when the port is taken or the host is not this machine's.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            step = "name another one (--port, --gateway-port, --grpc-port), or 0 for a free one"
            raise Problem("port.unavailable", f"{host}:{port} cannot be listened on", str(error.strerror), step) from error
        listener.listen(BACKLOG)
        yield listener


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
