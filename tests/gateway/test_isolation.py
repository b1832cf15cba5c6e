"""Versions that run code: whatever one of them does, the others answer on, and what became of it is told."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import httpx
import numpy as np
import polars as pl
import psutil
import pytest

from modelyard.gateway.plane import BATCH_ROWS
from modelyard.serving import Route, RouteKind
from modelyard.serving.ledger import failure_table, shadow_table
from tests.gateway import faulty
from tests.gateway.packages import build, flights
from tests.gateway.world import PROJECT, World

pytestmark = pytest.mark.contract

ROW = flights(1, seed=9)


def infer(client: httpx.Client, world: World, name: str, frame: pl.DataFrame, **rest: Any) -> httpx.Response:
    return client.post(f"/v2/models/{name}/infer", json=world.body(frame, **rest))


def told_to(word: str) -> pl.DataFrame:
    return ROW.with_columns(carrier=pl.lit(word))


def does(world: World, version: int, what: Callable[[pl.DataFrame], pl.DataFrame], form: str = "native") -> Any:
    package = build(world.objects, PROJECT, world.folder / f"v{version}", version, form=form, does=what)
    world.packages[version, False, "onnx"] = package
    return package


def process_of(client: httpx.Client, name: str) -> dict[str, Any]:
    answer = client.get("/v1/status")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["processes"]
    return [one for one in found if one["deployment"] == name][-1]  # one that is served no more may stand before it


@contextmanager
def others_answer(world: World, *names: str) -> Iterator[None]:
    """Ask other deployments all the while, and find that each of their answers comes."""
    over = Event()

    def ask(name: str) -> int:
        asked = 0
        with world.client() as client:
            while not over.is_set() or not asked:
                answer = infer(client, world, name, ROW)
                assert answer.status_code == 200, answer.text
                asked += 1
        return asked

    with ThreadPoolExecutor(len(names)) as pool:
        asking = [pool.submit(ask, name) for name in names]
        try:
            yield
        finally:
            over.set()
        assert all(one.result() for one in asking)


def three(world: World) -> None:
    """Publish a version of data alone, a native one, and one that does as it is told."""
    does(world, 2, faulty.does_as_told)
    native = world.served(Route(4, 100), name="native", forms=(world.package(4, form="native").form,))
    world.publish(world.served(Route(1, 100)), native, world.served(Route(2, 100), name="wild"))


def test_whatever_a_version_does_the_others_answer_on_and_it_is_up_again(world: World) -> None:
    three(world)
    world.start("--timeout-s", "20")  # a tenth of it is what a busy machine has to tell of the hanging one
    ends = {
        "segfault": "SIGSEGV",
        "exit": "exit status 3",
        "leave": "exit status 4",
        "kill": "SIGKILL",
        "hang": "no answer within 18 s",
    }
    with world.client() as client, others_answer(world, "delay", "native"):
        raised = infer(client, world, "wild", told_to("raise"))
        assert (raised.status_code, raised.json()["code"]) == (500, "code.failed")
        assert process_of(client, "wild")["restarts"] == 0
        for word, how in ends.items():
            lost = infer(client, world, "wild", told_to(word))
            assert (lost.status_code, lost.json()["code"]) == (500, "version.failed"), lost.text
            assert how in lost.json()["why"]
            world.wait(lambda _status: process_of(client, "wild")["pid"] is not None)
            answer = infer(client, world, "wild", ROW)
            assert answer.status_code == 200, answer.text
            assert np.allclose(answer.json()["outputs"][0]["data"], world.package(2).expected(ROW), atol=1e-6, rtol=0)
    with world.client() as client:
        wild, native = process_of(client, "wild"), process_of(client, "native")
        assert (wild["restarts"], native["restarts"]) == (len(ends), 0)
        assert "no answer within" in wild["last_end"]
        counted = f'modelyard_version_restarts_total{{deployment="wild",project="flights",version="2"}} {float(len(ends))}'
        assert counted in client.get("/metrics").text
    assert "Fatal Python error: Segmentation fault" in (world.folder / "gateway.log").read_text()


def test_those_who_were_asked_together_with_the_row_that_ends_it_are_answered(world: World) -> None:
    three(world)
    world.start()
    one_by_one = [world.body(flights(BATCH_ROWS, seed=seed)) for seed in (8, 9)]  # too large to be asked together
    together = [world.body(told_to("segfault")), *(world.body(flights(1, seed=seed)) for seed in range(7))]
    with world.client() as client, ThreadPoolExecutor(len(one_by_one) + len(together)) as pool:

        def ask(body: dict[str, Any]) -> Future[httpx.Response]:
            return pool.submit(client.post, "/v2/models/wild/infer", json=body)

        def waiting(rows: int) -> Callable[[dict[str, Any]], bool]:
            return lambda _status: f"modelyard_waiting_rows {rows}.0" in client.get("/metrics").text

        os.kill(process_of(client, "wild")["pid"], signal.SIGSTOP)
        before = [ask(body) for body in one_by_one]
        world.wait(waiting(BATCH_ROWS))  # one is with the stopped process
        answers = [ask(body) for body in together]
        world.wait(waiting(BATCH_ROWS + len(together)))
        os.kill(process_of(client, "wild")["pid"], signal.SIGCONT)
        assert [answer.result().status_code for answer in before] == [200, 200]
        statuses = [answer.result().status_code for answer in answers]
    assert statuses == [500, *[200] * 7]


def test_a_canary_that_does_not_stay_up_rests_and_every_caller_is_answered_by_the_live_version(world: World) -> None:
    does(world, 2, faulty.does_as_told)
    world.publish(world.served(Route(1, 50), Route(2, 50, RouteKind.CANARY)))
    world.start()
    with world.client() as client:
        for number in range(40):
            answer = infer(client, world, "delay", told_to("segfault"), id=f"r{number}")
            assert (answer.status_code, answer.json()["model_version"]) == (200, "1"), answer.text
        told = process_of(client, "delay")
        assert told["rests_s"] > 0
        assert told["pid"] is None
        pinned = client.post("/v2/models/delay/versions/2/infer", json=world.body(ROW))
        assert (pinned.status_code, pinned.json()["code"]) == (500, "version.failed")
        assert "rests" in pinned.json()["what"]
        client.post("/v1/ledger/flush")
    routes = dict(world.ledger().group_by("route").len().rows())
    assert set(routes) == {"live", "fallback"}
    failures = world.table(failure_table("delay")).filter(pl.col("route") == "canary")
    assert set(failures["code"]) == {"version.failed"}
    assert failures["requests"].sum() == routes["fallback"]


def test_a_shadow_that_hangs_keeps_no_other_shadow_waiting(world: World) -> None:
    does(world, 2, faulty.does_as_told, form="onnx")
    hanging = world.served(Route(1, 100), Route(2, 100, RouteKind.SHADOW))
    world.publish(hanging, world.served(Route(1, 100), Route(3, 100, RouteKind.SHADOW), name="other"))
    world.start()
    with world.client() as client:
        assert infer(client, world, "delay", told_to("hang")).status_code == 200
        assert infer(client, world, "other", ROW).status_code == 200
        while world.table(shadow_table("other")).is_empty():
            client.post("/v1/ledger/flush")
        assert process_of(client, "delay")["last_end"] is None  # it hangs still


def test_a_version_that_leaks_is_replaced_beside_and_no_caller_notices(world: World) -> None:
    three(world)
    world.start("--version-memory-mb", "180")
    with world.client() as client, others_answer(world, "delay"):
        first = process_of(client, "wild")["pid"]
        for _ in range(2):  # more at once than is left is refused by the machine, and costs this call alone
            hoards = infer(client, world, "wild", told_to("hoard"))
            assert (hoards.status_code, hoards.json()["code"]) == (500, "code.failed")
            assert "MemoryError" in hoards.text
        assert process_of(client, "wild")["pid"] == first
        for _ in range(4):
            assert infer(client, world, "wild", told_to("leak")).status_code == 200
        while process_of(client, "wild")["pid"] == first:
            assert infer(client, world, "wild", ROW).status_code == 200
        wild = process_of(client, "wild")
        assert wild["last_end"].startswith("was replaced at")
        assert wild["restarts"] == 1
        assert not psutil.pid_exists(first) or world.wait(lambda _status: not psutil.pid_exists(first))


def test_a_version_that_cannot_be_loaded_ends_itself_or_is_very_large_hurts_nobody(world: World) -> None:
    three(world)
    world.start()
    does(world, 5, faulty.ends_when_loaded)
    does(world, 6, faulty.is_very_large)
    with world.client() as client, others_answer(world, "delay", "native"):
        native = world.served(Route(4, 100), name="native", forms=(world.package(4, form="native").form,))
        lost = world.served(Route(5, 100), name="wild")
        status = world.taken_up(world.publish(world.served(Route(1, 100)), native, lost))
        assert "while it was loaded its process was ended by SIGSEGV" in status["problems"]["flights/wild"]
        assert infer(client, world, "wild", ROW).json()["model_version"] == "2"
        large = world.served(Route(6, 100), name="wild")
        status = world.taken_up(world.publish(world.served(Route(1, 100)), native, large))
        assert status["problems"] == {}
        assert infer(client, world, "wild", ROW).json()["model_version"] == "6"
        process = process_of(client, "wild")
        assert process["memory_mb"] > 512
        assert world.process is not None
        assert psutil.Process(world.process.pid).memory_info().rss < 512 << 20
        with open(f"/proc/{process['pid']}/oom_score_adj") as told:
            assert told.read().strip() == "1000"


def test_who_is_slow_to_load_keeps_no_other_waiting(world: World) -> None:
    does(world, 7, faulty.loads_when_it_may, form="onnx")
    world.publish(world.served(Route(1, 100)), world.served(Route(1, 100), name="slow"))
    world.start()
    with world.client() as client:
        slow = world.served(Route(7, 100), name="slow")
        world.publish(world.served(Route(1, 100)), slow)
        world.publish(world.served(Route(2, 100)), slow)
        while infer(client, world, "delay", ROW).json()["model_version"] != "2":
            pass
        assert infer(client, world, "slow", ROW).json()["model_version"] == "1"
        changed = world.served(Route(3, 100), name="slow")  # nobody waits for what is not wanted any more
        world.taken_up(world.publish(world.served(Route(2, 100)), changed))
        assert infer(client, world, "slow", ROW).json()["model_version"] == "3"
        position = world.publish(world.served(Route(2, 100)), world.served(Route(7, 100), name="slow"))
        (world.folder / "go").touch()
        world.taken_up(position)
        assert infer(client, world, "slow", ROW).json()["model_version"] == "7"
        assert [one["version"] for one in client.get("/v1/status").json()["processes"]].count(7) >= 1


def test_versions_that_are_served_no_more_leave_no_process(world: World) -> None:
    three(world)
    world.start()
    with world.client() as client:
        assert infer(client, world, "wild", ROW).status_code == 200
        pids = [one["pid"] for one in client.get("/v1/status").json()["processes"]]
    assert len(pids) == 2
    world.taken_up(world.publish(world.served(Route(1, 100))))
    world.wait(lambda status: not status["processes"])
    world.wait(lambda _status: not any(psutil.pid_exists(pid) for pid in pids))


def family_of(world: World) -> list[psutil.Process]:
    assert world.process is not None
    found = psutil.Process(world.process.pid).children(recursive=True)
    assert len([one for one in found if "modelyard.gateway.forkserver" in one.cmdline()]) == 3
    return found


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_no_process_outlives_the_gateway(world: World, end: str) -> None:
    three(world)
    world.start()
    family = family_of(world)
    with world.client() as client, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(infer, client, world, "wild", told_to("hang"))
        world.wait(lambda _status: psutil.Process(process_of(client, "wild")["pid"]).status() == psutil.STATUS_SLEEPING)
        if end == "kill":
            world.kill()
        else:
            assert world.stop() == 0
        assert hanging.exception() is not None or hanging.result().status_code == 500
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def test_the_process_that_forks_may_end_too(world: World) -> None:
    three(world)
    world.start()
    forks = family_of(world)[0]
    assert forks.ppid() == world.process.pid if world.process else False
    with world.client() as client, others_answer(world, "delay"):
        before = process_of(client, "wild")["pid"]
        forks.kill()
        psutil.wait_procs([forks], timeout=20)
        for name in ("wild", "native"):
            while infer(client, world, name, ROW).status_code != 200:
                pass
        assert process_of(client, "wild")["pid"] != before
