import json
from collections.abc import Mapping

import httpx
import pytest

from modelyard.client.connection import Connection
from modelyard.client.waiting import Look, wait_for_job, wait_until
from modelyard.core import Problem

JOB = {
    "id": "job_1", "project": "proj_1", "kind": "run.train", "title": "train it", "payload": {}, "state": "running",
    "created_by": "mem_1", "created_at": "2024-01-07T00:00:00Z",
}  # fmt: skip


def connected(*states: Mapping[str, object], lasting: bool = True) -> tuple[Connection, list[float]]:
    left = list(states)
    pauses: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={**JOB, **(left.pop(0) if len(left) > 1 else left[0])})

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1:1")
    return Connection(http, sleep=pauses.append, lasting=lasting), pauses


def test_a_finished_job_comes_back_after_looking_ever_less_often() -> None:
    connection, pauses = connected(
        *[{"state": "queued"}] * 3, *[{"state": "running"}] * 12, {"state": "finished", "result": {"a": 1}}
    )
    assert wait_for_job(connection, "/j").result == {"a": 1}
    assert pauses == sorted(pauses)
    assert pauses[-1] == 1.0


def test_a_failed_job_raises_its_own_problem() -> None:
    problem = {"code": "code.failed", "what": "It broke", "why": "no rows", "next_step": "", "detail": {"traceback": "line 1"}}
    connection, _ = connected({"state": "failed", "problem": problem})
    with pytest.raises(Problem, match="It broke") as caught:
        wait_for_job(connection, "/j")
    assert caught.value.detail == {"traceback": "line 1"}


def test_a_cancelled_job_is_told() -> None:
    connection, _ = connected({"state": "cancelled"})
    with pytest.raises(Problem) as caught:
        wait_for_job(connection, "/j")
    assert caught.value.code == "job.conflict"


def test_waiting_ends_at_the_timeout_by_the_clock_that_is_given() -> None:
    connection, _ = connected({})
    seconds = iter(range(100))
    with pytest.raises(Problem) as caught:
        wait_until(
            connection,
            lambda: 0,
            lambda _: Look(False, 0, ""),
            title="it",
            where="yard job list",
            timeout_s=3,
            clock=lambda: next(seconds),
        )
    assert caught.value.code == "wait.timeout"


@pytest.mark.parametrize(("lasting", "told"), [(True, "it goes on;"), (False, "it goes on when the platform is opened again;")])
def test_stopping_to_wait_says_where_to_look(lasting: bool, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    connection, _ = connected({}, lasting=lasting)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_until(connection, stop, lambda _: Look(False, 0, ""), title="it", where="yard job show job_1")
    assert f"{told} look at it with: yard job show job_1" in capsys.readouterr().err


def test_nothing_is_shown_where_nobody_looks_on(capsys: pytest.CaptureFixture[str]) -> None:
    connection, _ = connected({}, {"state": "finished"})
    wait_for_job(connection, "/j")
    assert json.dumps(capsys.readouterr()) == '["", ""]'
