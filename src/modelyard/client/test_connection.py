import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from modelyard.client.connection import Connection, Doors, part
from modelyard.core import Problem
from modelyard.jobs import JobState


@dataclass(frozen=True)
class Thing:
    name: str


def connected(answer: Callable[[httpx.Request], httpx.Response], pauses: list[float] | None = None) -> Connection:
    """Return a connection to a server that stands for the outside world."""
    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1:1")
    return Connection(http, sleep=(pauses if pauses is not None else []).append)


def test_an_answer_is_read_into_the_form_asked_for() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params.get_list("state") == ["queued", "running"]
        assert "after" not in request.url.params
        return httpx.Response(200, json=[{"name": "a"}])

    found = connected(answer).get("/v1/things", list[Thing], state=["queued", "running"], after=None)
    assert found == [Thing("a")]


def test_a_problem_comes_as_the_server_told_it() -> None:
    told = {"code": "run.missing", "what": "There is no run 8", "why": "there are 3", "next_step": "yard run list"}

    with pytest.raises(Problem, match="There is no run 8") as caught:
        connected(lambda _: httpx.Response(404, json={**told, "context": {"known": [1, 2, 3]}})).get("/v1/runs/8", Thing)

    assert caught.value.code == "run.missing"
    assert caught.value.next_step == "yard run list"
    assert caught.value.detail == {"known": [1, 2, 3]}


def test_an_answer_of_a_stranger_is_told_as_such() -> None:
    with pytest.raises(Problem) as caught:
        connected(lambda _: httpx.Response(418, text="<html>")).get("/v1/runs", Thing)
    assert caught.value.code == "server.failed"
    with pytest.raises(Problem) as caught:
        connected(lambda _: httpx.Response(200, json={"no": "name"})).get("/v1/runs", Thing)
    assert caught.value.code == "server.invalid"


def test_reading_is_tried_again_and_writing_is_not() -> None:
    asked: list[str] = []
    pauses: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if len(asked) % 3:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"name": "a"})

    connection = connected(answer, pauses)
    assert connection.get("/v1/thing", Thing) == Thing("a")
    assert (asked, pauses) == (["GET"] * 3, [0.1, 0.2])
    with pytest.raises(Problem) as caught:
        connection.post("/v1/thing", Thing, {"name": "a"})
    assert caught.value.code == "server.unavailable"
    assert asked == ["GET"] * 3 + ["POST"]


def test_a_server_that_stays_away_is_told_after_the_last_try() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return httpx.Response(503, json={"code": "metadata.unavailable", "what": "Away", "why": "", "next_step": ""})

    with pytest.raises(Problem) as caught:
        connected(answer).get("/v1/thing", Thing)
    assert caught.value.code == "metadata.unavailable"
    assert len(asked) == 4


def test_pages_are_followed_to_the_end_or_to_the_most_asked_for() -> None:
    items = [{"name": str(number)} for number in range(7)]

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("after", "0"))
        end = start + min(3, int(request.url.params["limit"]))
        return httpx.Response(200, json={"items": items[start:end], "next_key": str(end) if end < len(items) else None})

    connection = connected(answer)
    assert [one.name for one in connection.pages("/v1/things", Thing)] == list("0123456")
    assert [one.name for one in connection.pages("/v1/things", Thing, most=4)] == list("0123")


def test_without_a_gateway_predictions_say_so() -> None:
    connection = connected(lambda _: httpx.Response(200, json={"gateway": None, "grpc": None}))
    assert connection.get("/v1/doors", Doors) == Doors()
    with pytest.raises(Problem) as caught:
        connection.ask_gateway("GET", "/v2")
    assert caught.value.code == "gateway.missing"


def test_a_name_stays_one_part_of_a_path() -> None:
    assert part("a/../b?c") == "a%2F..%2Fb%3Fc"


def test_a_body_travels_as_json_numpy_scalars_too_and_what_has_no_json_is_told() -> None:
    sent: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"name": "a"})

    connection = connected(answer)
    connection.post("/v1/things", Thing, {"depth": np.int64(3), "thing": Thing("ä"), "state": JobState.QUEUED})
    assert sent == [{"depth": 3, "thing": {"name": "ä"}, "state": "queued"}]
    for wrong in (float("nan"), object()):
        with pytest.raises(Problem) as caught:
            connection.post("/v1/things", Thing, {"depth": wrong})
        assert caught.value.code == "request.invalid"
