"""Gateways that follow their load under callers who keep their connections: none of them fails, and each row is kept once."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from socket import socket
from typing import Any

import grpc
import httpx
import pytest

from modelyard.embedded.family import Plan, free_grpc_port
from modelyard.embedded.gateways import Gateways, name_of
from modelyard.embedded.scaling import Scale
from modelyard.embedded.supervisor import Order, Program, stop_all
from modelyard.gateway.grpc_door import MESSAGES
from modelyard.gateway.messages import SERVICE
from modelyard.serving import Route
from tests.gateway.doors import columns, message
from tests.gateway.packages import flights
from tests.gateway.world import CONTROL_TOKEN, DEADLINE_S, TOKEN, World

pytestmark = pytest.mark.contract

START_S = 60.0
LIVES = 1
CALLERS = 6
FULL_CPU = 0.12  # so little of a core is full here: the callers are one process of Python, beside other work
QUIET_S = 2.0
CALM_ASK_S = 0.5
POLL_S = 0.2
POLLS = 600
MANY = 300


@dataclass
class Callers:
    """Threads that ask over connections that they keep; gently, they wait a moment after each answer."""

    world: World
    gently: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    answered: list[str] = field(default_factory=list)  # the ids of the rows
    failed: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def by_rest(self) -> None:
        """Ask the REST door."""
        body = self.world.body(flights(1))
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        connection = HTTPConnection(self.world.url.removeprefix("http://"), timeout=DEADLINE_S)

        def ask(name: str) -> None:
            content = json.dumps({**body, "parameters": {"ids": [name]}})
            connection.request("POST", "/v2/models/delay/infer", content, headers)
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status == 200, told

        self._go_on(ask)
        connection.close()

    def by_grpc(self) -> None:
        """Ask the gRPC door, over one channel."""
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        tensors = columns(self.world, flights(1))
        with grpc.insecure_channel(self.world.grpc) as channel:
            infer = channel.unary_unary(
                f"/{SERVICE}/ModelInfer",
                request_serializer=MESSAGES["ModelInferRequest"].SerializeToString,
                response_deserializer=MESSAGES["ModelInferResponse"].FromString,
            )

            def ask(name: str) -> None:
                asked = message(tensors, raw=True)
                asked.parameters["ids"].string_param = json.dumps([name])
                infer(asked, metadata=metadata, timeout=DEADLINE_S)

            self._go_on(ask)

    def _go_on(self, ask: Callable[[str], None]) -> None:
        while not self.ending.is_set():
            name = f"row-{next(self.numbers)}"
            try:
                ask(name)
            except (OSError, HTTPException, AssertionError, grpc.RpcError) as error:
                self.failed.append(f"{name}: {error!r}")
            else:
                self.answered.append(name)
            if self.gently.is_set():
                self.ending.wait(CALM_ASK_S)


@contextmanager
def calling(world: World) -> Iterator[Callers]:
    """Give callers that ask until the end of the block."""
    callers = Callers(world)
    threads = [threading.Thread(target=one) for one in (*[callers.by_rest] * CALLERS, callers.by_grpc)]
    for thread in threads:
        thread.start()
    try:
        yield callers
    finally:
        callers.ending.set()
        for thread in threads:
            thread.join()


@contextmanager
def following(world: World, scale: Scale, said: list[str]) -> Iterator[Gateways]:
    """Give gateways that answer, and follow their load."""
    grpc_port = free_grpc_port(Plan(world.home))

    def program(number: int, listener: socket) -> Program:
        options = ["--home", str(world.home), "--control", world.control.url, "--full-cpu", str(FULL_CPU), "--shared"]
        options += ["--grpc-port", str(grpc_port), "--socket", str(listener.fileno()), "--replica", str(number)]
        order = Order(options, {"MODELYARD_TOKEN": CONTROL_TOKEN})
        log = Path(world.folder) / f"{name_of(number)}.log"
        return Program(name_of(number), "modelyard.gateway", lambda: order, log, descriptors=(listener.fileno(),))

    with Gateways(scale, "127.0.0.1", 0, said.append) as gateways:
        try:
            gateways.start(program)
            told = gateways.first_line(START_S, LIVES)
            world.url, world.grpc = gateways.url, told["grpc"]
            yield gateways
        finally:
            stop_all(gateways.close())


def until(holds: Callable[[], bool], told: Callable[[], object]) -> None:
    """Wait until something holds."""
    for _ in range(POLLS):
        if holds():
            return
        threading.Event().wait(POLL_S)
    raise AssertionError(f"it never came to that: {told()}")


def loads(world: World) -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{world.url}/v1/load", trust_env=False, timeout=DEADLINE_S).json()["replicas"]
    return found


def answered_by(world: World, number: int) -> float:
    """Return how many requests one gateway has answered."""
    door = (world.home / "gateway" / str(number) / "door").read_text()
    text = httpx.get(f"{door}/metrics?alone=1", trust_env=False, timeout=DEADLINE_S).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("modelyard_requests_total"))


def test_gateways_come_and_go_with_the_load_and_no_caller_is_lost(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    said: list[str] = []
    with following(world, Scale(1, 2, QUIET_S), said), calling(world) as callers:
        until(lambda: len(loads(world)) == 2, lambda: (said, loads(world)))
        until(lambda: answered_by(world, 2) > MANY, lambda: (said, loads(world)))  # who had come before comes anew
        callers.gently.set()
        until(lambda: any("gateway-2 leaves" in one for one in said), lambda: (said, loads(world)))
        until(lambda: [one["replica"] for one in loads(world)] == [1], lambda: (said, loads(world)))
        begun = len(callers.answered)
        until(lambda: len(callers.answered) > begun + CALLERS, lambda: callers.failed)
    assert callers.failed == []
    assert [one.partition(":")[0] for one in said] == ["gateway-2 is started", "gateway-2 leaves"]
    ledger = world.ledger()
    assert ledger.height == len(callers.answered) > 2 * MANY
    assert set(ledger["id"]) == set(callers.answered)
