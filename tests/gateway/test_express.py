"""The short way of small requests, as callers see it: HTTP like any other, the same answers as by the long way."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from modelyard.gateway.express import LARGEST, ExpressConnection
from modelyard.gateway.http import Reply, json_reply
from tests.gateway.packages import flights
from tests.gateway.world import TOKEN, World

pytestmark = pytest.mark.contract

PATH = "/v2/models/delay/infer"


@pytest.fixture
def caller(shared: World) -> Iterator[HTTPConnection]:
    place = urlsplit(shared.url)
    with closing(HTTPConnection(place.hostname or "", place.port, timeout=30)) as connection:
        yield connection


def request(world: World, *lines: str, rows: int = 1, **rest: Any) -> bytes:
    body = json.dumps(world.body(flights(rows, seed=7), **rest)).encode()
    head = (f"POST {PATH} HTTP/1.1", "host: x", f"authorization: Bearer {TOKEN}", f"content-length: {len(body)}", *lines)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def answered(connection: HTTPConnection) -> HTTPResponse:
    response = HTTPResponse(connection.sock, method="POST")
    response.begin()
    return response


def numbers(response: HTTPResponse) -> tuple[str, list[float]]:
    told = json.loads(response.read())
    assert response.status == 200, told
    return told["id"], told["outputs"][0]["data"]


def test_one_connection_serves_one_request_after_the_other(shared: World, caller: HTTPConnection) -> None:
    caller.connect()
    for number in range(3):
        caller.sock.sendall(request(shared, id=f"r{number}"))
        assert numbers(answered(caller))[0] == f"r{number}"


def test_requests_that_come_at_once_are_answered_in_their_order(shared: World, caller: HTTPConnection) -> None:
    caller.connect()
    caller.sock.sendall(b"".join(request(shared, id=f"r{number}") for number in range(5)))
    stream = caller.sock.makefile("rb")
    seen = []
    for _ in range(5):
        head = b"".join(iter(stream.readline, b"\r\n"))
        size = next(int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"content-length"))
        seen.append(json.loads(stream.read(size))["id"])
    assert seen == [f"r{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("lines", "rows"),
    [(("connection: close",), 1), (("expect: 100-continue",), 1), (("x-one: 1", "x-one: 2"), 1), ((), 500)],
    ids=["closing", "expecting", "with a header twice", "large"],
)
def test_what_goes_the_long_way_gets_the_same_numbers(
    shared: World, caller: HTTPConnection, lines: tuple[str, ...], rows: int
) -> None:
    body = json.dumps(shared.body(flights(rows, seed=7)))
    assert (len(body) > LARGEST) == (rows > 1)
    caller.connect()
    caller.sock.sendall(request(shared, *lines, rows=rows))
    response = answered(caller)  # it passes over the interim answer to an expecting one
    _, found = numbers(response)
    caller.close()
    caller.request("POST", PATH, iter([body.encode()]), {"authorization": f"Bearer {TOKEN}"}, encode_chunked=True)
    assert numbers(caller.getresponse())[1] == found
    assert (response.getheader("connection") == "close") == ("connection: close" in lines)


def test_a_caller_that_says_close_is_answered_and_closed(shared: World, caller: HTTPConnection) -> None:
    caller.connect()
    caller.sock.sendall(request(shared, "connection: close"))
    answered(caller).read()
    assert caller.sock.recv(1) == b""


@pytest.mark.parametrize(
    ("path", "method", "token", "body", "status"),
    [
        ("/v2/models/nobody/infer", "POST", TOKEN, b"{}", 404),
        (PATH, "POST", "yard_stranger", b"{}", 401),
        (PATH, "GET", TOKEN, b"{}", 400),
        (PATH, "POST", TOKEN, b"{", 400),
        (PATH, "POST", TOKEN, b"", 400),
        ("/v2/models/%64elay/infer", "POST", TOKEN, b"{", 400),
        (PATH + "?x=1", "POST", TOKEN, b"{", 400),
    ],
)
def test_refusals_are_those_of_the_long_way(
    caller: HTTPConnection, path: str, method: str, token: str, body: bytes, status: int
) -> None:
    headers = {"authorization": f"Bearer {token}"}
    told = []
    for content, chunked in ((body, False), (iter([body]), True)):
        caller.request(method, path, content, headers, encode_chunked=chunked)
        response = caller.getresponse()
        told.append((response.status, json.loads(response.read())["code"]))
    assert told[0] == told[1]
    assert told[0][0] == status


class Desk:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[Reply], None]] = []
        self.came = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer what comes by the long way with 204."""
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def express(
        self, path: str, headers: Mapping[bytes, bytes], body: bytes, begun: float, then: Callable[[Reply], None]
    ) -> None:
        """Keep a request."""
        del path, headers, body, begun
        self.waiting.append(then)
        self.came.set()


class Hasty(ExpressConnection):
    body_patience_s = 0.05


async def serving(desk: Desk, listener: socket.socket) -> uvicorn.Server:
    config = uvicorn.Config(
        desk, http=Hasty, ws="none", lifespan="off", log_config=None, interface="asgi3", proxy_headers=False
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    return server


HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def told() -> bytes:
        desk = Desk()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = await serving(desk, listener)
            reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            writer.write(HEAD + b"{")
            found = await reader.read()
            writer.close()
            await server.shutdown([listener])
        assert not desk.waiting
        return found

    answer = asyncio.run(told())
    assert answer.startswith(b"HTTP/1.1 504")
    assert b"body.timeout" in answer


def test_who_is_waited_for_at_the_end_is_answered_and_who_has_gone_is_not() -> None:
    async def told() -> bytes:
        desk = Desk()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = await serving(desk, listener)
            place = listener.getsockname()[:2]
            _, gone = await asyncio.open_connection(*place)
            gone.write(HEAD + b"{}")
            await desk.came.wait()
            desk.came.clear()
            gone.transport.abort()
            reader, writer = await asyncio.open_connection(*place)
            writer.write(HEAD + b"{}")
            await desk.came.wait()
            ending = asyncio.create_task(server.shutdown([listener]))
            await asyncio.sleep(0)
            for answer in desk.waiting:
                answer(json_reply({"told": True}))
            found = await reader.read()
            writer.close()
            await ending
        return found

    answer = asyncio.run(told())
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert answer.endswith(b'{"told":true}')
