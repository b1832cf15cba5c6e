"""Connections that callers hold open, on purpose or by accident, and what the others notice of it: nothing."""

import asyncio
import json
import resource
import socket
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from modelyard.gateway.connections import LARGEST_HEAD, SPARE_FILES, Connection
from modelyard.serving import Route
from modelyard.wiring.signals import LEAVE, SPREAD
from tests.gateway.packages import flights
from tests.gateway.world import TOKEN, World

pytestmark = pytest.mark.contract

IDLE = 10_000


def connected(world: World, stack: ExitStack) -> socket.socket:
    place = urlsplit(world.url)
    return stack.enter_context(socket.create_connection((place.hostname or "", place.port or 0), timeout=30))


def until_closed(connection: socket.socket) -> bytes:
    found = b""
    while part := connection.recv(65_536):
        found += part
    return found


def answers_well(world: World) -> None:
    with world.client() as client:
        answer = client.post("/v2/models/delay/infer", json=world.body(flights(1)))
    assert answer.status_code == 200, answer.text


def test_ten_thousand_idle_connections_keep_nobody_out(shared: World) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, hard - SPARE_FILES - 100)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            for number in range(count):
                idle = connected(shared, stack)
                if number % 2:
                    idle.sendall(b"POST /v2/models/delay/infer HTTP/1.1\r\nhost: x\r\n")  # a head that has not ended
            answers_well(shared)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    answers_well(shared)
    assert count > IDLE // 2, "this machine allows too few open files to say much"


def test_a_head_without_end_is_refused(shared: World) -> None:
    with ExitStack() as stack:
        caller = connected(shared, stack)
        caller.sendall(b"GET /v2 HTTP/1.1\r\nhost: x\r\n")
        sent = 0
        try:
            while sent < 100 * LARGEST_HEAD:
                caller.sendall(b"x-more: " + b"y" * 8000 + b"\r\n")
                sent += 8010
        except OSError:
            pass
        assert sent < 60 * LARGEST_HEAD, "it was read on and on"
    answers_well(shared)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
        b"GET /v2 HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
        b"POST /v2/models/delay/infer HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v2/models/delay/infer HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\x00" * 2000,
    ],
)
def test_what_is_no_http_is_refused_and_closed(shared: World, sent: bytes) -> None:
    with ExitStack() as stack:
        caller = connected(shared, stack)
        caller.sendall(sent)
        assert until_closed(caller)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401")
    answers_well(shared)


def test_a_body_that_is_broken_off_leaves_no_trace(shared: World) -> None:
    with ExitStack() as stack:
        caller = connected(shared, stack)
        head = f"POST /v2/models/delay/infer HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 500\r\n\r\n"
        caller.sendall(head.encode() + b'{"inputs": [')
    answers_well(shared)


def test_a_compressed_body_is_not_unpacked(shared: World) -> None:
    with shared.client() as client:
        headers = {"content-encoding": "gzip"}
        answer = client.post("/v2/models/delay/infer", content=b"\x1f\x8b" + b"\x00" * 100, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "body.invalid")


@pytest.mark.parametrize("size", [1, 2000])  # by the short way, and past the size that it takes
def test_who_is_to_come_anew_is_told_so_with_the_next_answer(world: World, size: int) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start()
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    body = json.dumps(world.body(flights(size)))

    def ask(caller: HTTPConnection) -> tuple[int, str | None]:
        caller.request("POST", "/v2/models/delay/infer", body, headers)
        answer = caller.getresponse()
        answer.read()
        return answer.status, answer.headers["connection"]

    callers = [HTTPConnection(world.url.removeprefix("http://"), timeout=30) for _ in range(3)]
    process = world.process
    assert process is not None
    for number in (SPREAD, LEAVE):
        assert [ask(caller) for caller in callers] == [(200, None)] * 3
        process.send_signal(number)
        met = [ask(callers[0])]
        while met[-1] == (200, None):  # until the signal has come
            met.append(ask(callers[0]))
        assert met[-1] == (200, "close")
        assert [ask(caller) for caller in callers[1:]] == [(200, "close")] * 2
    assert process.wait(60) == 0


class Hasty(Connection):
    patience_s = 0.05


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v2 HTTP/1.1\r\nhost: x\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n"]
)
def test_a_head_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def told() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(app, http=Hasty, ws="none", lifespan="off", log_config=None, interface="asgi3")
            server = uvicorn.Server(config)
            config.load()
            server.lifespan = config.lifespan_class(config)
            await server.startup([listener])
            reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            writer.write(sent)
            found = await reader.read()
            writer.close()
            await server.shutdown([listener])
            return found

    answers = asyncio.run(told())
    assert answers.count(b"HTTP/1.1 204") == sent.count(b"\r\n\r\n")
    assert answers.rpartition(b"HTTP/1.1 ")[2].startswith(b"408")
