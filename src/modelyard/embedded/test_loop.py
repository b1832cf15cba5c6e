import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modelyard.embedded.loop import ApplicationTransport, LoopThread


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was asked; `/break` raises, `/half` raises after it began, `/wait` waits for ever."""
    message = await receive()
    path = scope["path"]
    if path == "/break":
        raise ValueError("broken")
    if path == "/wait":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-query", scope["query_string"])]})
    if path == "/half":
        raise ValueError("half")
    await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": scope["method"].encode()})


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    if not made.loop.is_closed():
        made.close()


@pytest.fixture
def client(thread: LoopThread) -> Iterator[httpx.Client]:
    with httpx.Client(transport=ApplicationTransport(echo, thread), base_url="http://embedded") as made:
        yield made


def test_a_request_reaches_the_application_and_its_answer_comes_back(client: httpx.Client) -> None:
    answer = client.post("/a b", params={"x": "ä"}, content=b"body ")
    assert (answer.status_code, answer.content) == (201, b"body POST")
    assert answer.headers["x-query"] == "x=%C3%A4"


def test_what_an_application_raises_is_raised_here(client: httpx.Client) -> None:
    with pytest.raises(ValueError, match="broken"):
        client.get("/break")


def test_an_application_that_began_to_answer_has_answered(client: httpx.Client) -> None:
    assert client.get("/half").status_code == 201


def test_threads_ask_at_once(client: httpx.Client) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(client.post("/", content=b"%d " % n).content)) for n in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == [b"%d POST" % n for n in range(8)]


def test_a_request_under_way_is_told_of_the_end(thread: LoopThread, client: httpx.Client) -> None:
    raised: list[str] = []

    def ask() -> None:
        try:
            client.get("/wait")
        except httpx.ConnectError as error:
            raised.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    while not asyncio.run_coroutine_threadsafe(others(), thread.loop).result():
        pass
    thread.close()
    asking.join()
    assert raised == ["the platform in this process has ended"]
    with pytest.raises(httpx.ConnectError, match="has ended"):
        client.get("/")


async def others() -> int:
    return len(asyncio.all_tasks()) - 1
