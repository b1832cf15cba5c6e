"""Two gateways on one port: callers are spread over both, and each tells for both."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from modelyard.embedded.listeners import sharing
from modelyard.embedded.steering import steer
from modelyard.serving import Route
from modelyard.tenancy import Limit
from tests.gateway.packages import flights
from tests.gateway.world import CONTROL_TOKEN, TOKEN, World

pytestmark = pytest.mark.contract

CONNECTIONS = 24


@contextmanager
def replicas(world: World, shared: list[socket.socket]) -> Iterator[list[subprocess.Popen[bytes]]]:
    started = [replica(world, number, one) for number, one in enumerate(shared, start=1)]
    world.url = f"http://127.0.0.1:{shared[0].getsockname()[1]}"
    try:
        yield started
    finally:
        for one in started:
            one.kill()
            one.communicate()


def replica(world: World, number: int, listener: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "modelyard.gateway", "--home", str(world.home), "--control", world.control.url]
    command += ["--socket", str(listener.fileno()), "--replica", str(number), "--ship-every-s", "1000"]
    with (Path(world.folder) / f"gateway-{number}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "MODELYARD_TOKEN": CONTROL_TOKEN},
            pass_fds=(listener.fileno(),),
        )
    assert process.stdout is not None
    assert process.stdout.readline(), (Path(world.folder) / f"gateway-{number}.log").read_text()
    return process


def ask(world: World, times: int) -> None:
    """Ask over new connections, so that the system spreads them."""
    for number in range(times):
        answer = infer(world, number)
        assert answer.status_code == 200, answer.text


def infer(world: World, number: int) -> httpx.Response:
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = f"{world.url}/v2/models/delay/infer"
    return httpx.post(url, json=world.body(flights(1), id=f"r{number}"), headers=headers, timeout=30, trust_env=False)


def requests(client: httpx.Client) -> float:
    """Return how many requests were answered, as the metrics tell it."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("modelyard_requests_total"))


@pytest.fixture
def shared() -> Iterator[list[socket.socket]]:
    found = sharing("127.0.0.1", 0, 2)
    yield found
    for one in found:
        one.close()


def test_both_answer_and_whoever_is_asked_tells_and_ships_for_both(world: World, shared: list[socket.socket]) -> None:
    world.publish(world.served(Route(1, 100)))
    with replicas(world, shared):
        ask(world, CONNECTIONS)
        folders = world.home / "gateway", world.home / "gateway" / "2"
        written = [len(list((folder / "ledger").glob("*.jsonl"))) for folder in folders]
        assert written == [1, 1], "all callers met one replica"
        with world.client() as client:
            status = client.get("/v1/status").json()
            assert (status["replicas"], status["ledger"]["rows_written"]) == (2, CONNECTIONS)
            assert requests(client) == CONNECTIONS
            assert client.post("/v1/ledger/flush").json()["rows"] == CONNECTIONS
    assert world.ledger().height == CONNECTIONS


def test_both_count_a_tokens_limit_together(world: World, shared: list[socket.socket]) -> None:
    burst = 10
    world.publish(world.served(Route(1, 100)), limits={TOKEN: Limit(requests=0.001, burst=burst)})
    with replicas(world, shared):
        told = [infer(world, number) for number in range(CONNECTIONS)]
        written = [
            len(list((folder / "ledger").glob("*.jsonl"))) for folder in (world.home / "gateway", world.home / "gateway" / "2")
        ]
        assert written == [1, 1], "all callers met one replica"
        assert [answer.status_code for answer in told] == [200] * burst + [429] * (CONNECTIONS - burst)


def test_one_that_is_killed_leaves_the_other_answering_and_its_ledger_to_it(world: World, shared: list[socket.socket]) -> None:
    world.publish(world.served(Route(1, 100)))
    with replicas(world, shared) as started:
        ask(world, CONNECTIONS)
        started[1].send_signal(signal.SIGKILL)
        started[1].wait()
        shared[1].close()  # as the system does when nobody holds it any more
        ask(world, 5)
        with world.client() as client:
            assert client.get("/v1/status").json()["replicas"] == 1
            client.post("/v1/ledger/flush")
    assert world.ledger().height == CONNECTIONS + 5


def test_what_one_that_ended_has_counted_stays_counted(world: World, shared: list[socket.socket]) -> None:
    world.publish(world.served(Route(1, 100)))
    with replicas(world, shared) as started, world.client() as client:
        ask(world, CONNECTIONS)
        for life in range(1, 3):
            started[1].terminate()
            assert started[1].wait(30) == 0
            steer(shared[0], [0])
            assert requests(client) == CONNECTIONS * life
            started[1].communicate()
            started[1] = replica(world, 2, shared[1])
            steer(shared[0], [1])
            assert requests(client) == CONNECTIONS * life
            ask(world, CONNECTIONS)
    with replicas(world, shared) as started, world.client() as client:
        assert requests(client) == 0  # all began anew
