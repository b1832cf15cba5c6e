"""What goes wrong around a gateway, and what its callers notice of it: nothing."""

import os
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from modelyard.core import digest_bytes
from modelyard.serving import Route, RouteKind
from modelyard.serving.ledger import failure_table, shadow_table
from modelyard.serving.rules import choose, mirrored
from tests.gateway.faulty import takes_its_time
from tests.gateway.packages import build, build_endless, flights
from tests.gateway.world import PROJECT, World

INFER = "/v2/models/delay/infer"

pytestmark = pytest.mark.contract


def ask(client: httpx.Client, world: World, frame: pl.DataFrame, **rest: Any) -> dict[str, Any]:
    answer = client.post(INFER, json=world.body(frame, **rest))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_answers_go_on_without_the_control_plane_and_it_catches_up_afterwards(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    assert world.start()["ready"]
    row = flights(1, seed=2)
    with world.client() as client:
        world.control.kill()
        world.wait(lambda status: not status["control"]["reachable"])
        assert ask(client, world, row)["model_version"] == "1"
        position = world.publish(world.served(Route(2, 100)))
        world.control.start()
        world.taken_up(position)
        told = ask(client, world, row)
    assert told["model_version"] == "2"
    assert np.allclose(told["outputs"][0]["data"], world.package(2).expected(row), atol=1e-6, rtol=0)


def test_it_starts_and_serves_from_its_disk_with_everything_away(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start()
    assert world.stop() == 0
    world.control.kill()
    (world.home / "objects").rename(world.folder / "gone")
    assert world.start()["ready"]
    with world.client() as client:
        assert ask(client, world, flights(1))["model_version"] == "1"


def test_without_a_catalogue_it_is_live_but_not_ready(world: World) -> None:
    world.control.kill()
    assert not world.start()["ready"]
    assert httpx.get(world.url + "/v2/health/live").status_code == 200
    assert httpx.get(world.url + "/v2/health/ready").status_code == 503
    position = world.publish(world.served(Route(1, 100)))
    world.control.start()
    while httpx.get(world.url + "/v2/health/ready").status_code == 503:
        pass
    world.taken_up(position)


def test_acknowledged_predictions_outlive_kill_9(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--ship-every-s", "1000")
    with world.client() as client:
        for number in range(20):
            ask(client, world, flights(3, seed=number), id=f"r{number}")
    world.kill()
    assert world.ledger().is_empty()
    [segment] = (world.home / "gateway" / "ledger").glob("*.jsonl")
    with segment.open("ab") as stream:
        stream.write(b'{"p": "prj_fli')  # a line that the kill cut off: its answer was never sent
    world.control.kill()
    world.start("--ship-every-s", "1000")
    world.wait(lambda status: status["ledger"]["rows_shipped"] == 60)
    kept = world.ledger()
    assert kept.height == 60
    assert kept["id"].n_unique() == 60
    assert kept["request"].unique().sort().to_list() == sorted(f"r{number}" for number in range(20))


def test_a_segment_that_was_shipped_before_the_kill_is_not_shipped_twice(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--ship-every-s", "1000")
    with world.client() as client:
        ask(client, world, flights(5))
        folder = world.home / "gateway" / "ledger"
        [segment] = folder.glob("*.jsonl")
        kept = segment.read_bytes()
        assert client.post("/v1/ledger/flush").json()["rows"] == 5
    world.kill()
    segment.write_bytes(kept)  # as if the kill had come between the commit and the deletion
    world.start("--ship-every-s", "1000")
    world.wait(lambda status: status["ledger"]["backlog"]["segments"] == 0)
    assert world.ledger().height == 5


def test_a_corrupt_version_leaves_the_one_before_in_place_and_is_told(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start()
    good = world.package(2).form
    [nonsense] = world.objects.put(PROJECT, [b"no model at all"])
    broken = [
        replace(good, model=nonsense),
        replace(good, pipeline=nonsense),
        replace(good, model=digest_bytes(b"never stored")),
        replace(good, model=world.package(3, function=True).form.model),  # takes other features
        replace(good, framework="fortran"),
    ]
    row = flights(1)
    with world.client() as client:
        for form in broken:
            served = world.served(Route(1, 50), Route(2, 50, RouteKind.CANARY), forms=(world.package(1).form, form))
            status = world.taken_up(world.publish(served))
            assert list(status["problems"]) == ["flights/delay"]
            assert [one["revision"] for one in status["deployments"]] == [1]
            assert {ask(client, world, row, id=f"r{n}")["model_version"] for n in range(20)} == {"1"}
        status = world.taken_up(world.publish(world.served(Route(2, 100))))
        assert status["problems"] == {}
        assert ask(client, world, row)["model_version"] == "2"


def shadow_rows(client: httpx.Client, world: World, count: int) -> pl.DataFrame:
    for _ in range(2000):
        assert client.post("/v1/ledger/flush").status_code == 200
        found = world.table(shadow_table("delay"))
        if found.height >= count:
            return found
    raise AssertionError(f"{found.height} of {count} rows")


def failed_requests(client: httpx.Client, world: World, count: int) -> pl.DataFrame:
    for _ in range(2000):
        assert client.post("/v1/ledger/flush").status_code == 200
        found = world.table(failure_table("delay"))
        if not found.is_empty() and found["requests"].sum() >= count:
            return found
    raise AssertionError(f"{found} for {count} requests")


def test_a_shadow_is_asked_what_callers_ask_and_they_never_hear_of_it(world: World) -> None:
    shadowed = world.served(Route(1, 100), Route(2, 100, RouteKind.SHADOW))
    world.publish(shadowed)
    world.start()
    rows = flights(40, seed=3)
    with world.client() as client:
        for start in range(0, 40, 4):
            told = ask(client, world, rows[start : start + 4], parameters={"ids": [f"f{start + n}" for n in range(4)]})
            assert (told["model_version"], told["parameters"]["route"]) == ("1", "live")
        kept = shadow_rows(client, world, 40).sort("id")
        heard = world.ledger().sort("id")
        expected = dict(zip((f"f{n}" for n in range(40)), world.package(2).expected(rows), strict=True))
        assert np.allclose(kept["answer"], [expected[one] for one in kept["id"]], atol=1e-6, rtol=0)
        assert set(kept["version"]) == {2}
        assert set(heard["version"]) == {1}
        assert heard["id"].to_list() == kept["id"].to_list()
        assert set(kept["route"]) == {"shadow"}
        [nonsense] = world.objects.put(PROJECT, [b"no model at all"])
        forms = (world.package(1).form, replace(world.package(3).form, model=nonsense))
        broken = world.served(Route(1, 100), Route(3, 100, RouteKind.SHADOW), forms=forms)
        status = world.taken_up(world.publish(broken))
        assert "shadow of version 3" in status["problems"]["flights/delay"]
        assert [one["revision"] for one in status["deployments"]] == [broken.revision.number]
        assert ask(client, world, rows[:1])["model_version"] == "1"


def test_a_shadow_that_fails_costs_no_answer_and_one_of_a_share_meets_the_same_requests(world: World) -> None:
    world.packages[3, False, "onnx"] = build(world.objects, PROJECT, world.folder / "moody", 3, moody=True)
    world.publish(world.served(Route(1, 100), Route(2, 30, RouteKind.SHADOW), Route(3, 100, RouteKind.SHADOW)))
    world.start()
    rows = flights(60, seed=4).with_columns(distance=pl.lit(4500))
    with world.client() as client:
        for n in range(60):
            ask(client, world, rows[n : n + 1], id=f"r{n}")
        expected = {f"r{n}-0" for n in range(60) if mirrored(Route(2, 30, RouteKind.SHADOW), f"r{n}")}
        kept = shadow_rows(client, world, len(expected))
        failed = failed_requests(client, world, 60)
    assert set(kept["version"]) == {2}
    assert set(kept["id"]) == expected
    assert set(failed.select("version", "route", "code").rows()) == {(3, "shadow", "code.failed")}
    assert 5 < len(expected) < 40


def test_a_package_that_rotted_on_the_disk_is_fetched_anew(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start()
    world.stop()
    for file in (world.home / "gateway" / "packages").glob("*/*"):
        file.write_bytes(file.read_bytes()[:-1])
    world.start()
    with world.client() as client:
        assert ask(client, world, flights(1))["model_version"] == "1"


def test_a_canary_gets_its_share_by_key_and_keeps_its_keys(world: World) -> None:
    served = world.served(Route(1, 90), Route(2, 10, RouteKind.CANARY))
    world.publish(served)
    world.start()
    keys = [f"flight-{number}" for number in range(300)]
    row = flights(1)
    with world.client() as client:
        first = {key: ask(client, world, row, parameters={"ids": [key]}) for key in keys}
        world.taken_up(world.publish(world.served(Route(1, 50), Route(2, 50, RouteKind.CANARY))))
        later = {key: ask(client, world, row, parameters={"key": key}) for key in keys}
    canary = {key for key, told in first.items() if told["parameters"]["route"] == "canary"}
    wider = {key for key, told in later.items() if told["parameters"]["route"] == "canary"}
    assert canary == {key for key in keys if choose(served.revision, key).version == 2}
    assert canary < wider
    assert all(first[key]["model_version"] == "2" for key in canary)


def test_the_native_form_and_function_steps_answer_as_the_trainer_does(world: World) -> None:
    made = {"native": world.package(4, form="native"), "function": world.package(5, function=True)}
    position = world.publish(
        *(world.served(Route(one.form.version, 100), name=name, forms=(one.form,)) for name, one in made.items())
    )
    world.start()
    world.taken_up(position)
    frame = flights(20, seed=8)
    with world.client() as client:
        for name, one in made.items():
            answer = client.post(f"/v2/models/{name}/infer", json=world.body(frame))
            assert np.allclose(answer.json()["outputs"][0]["data"], one.expected(frame), atol=1e-6, rtol=0), answer.text


def test_a_removed_deployment_is_no_longer_answered_for(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start()
    world.taken_up(world.publish())
    with world.client() as client:
        assert client.post(INFER, json=world.body(flights(1))).status_code == 404


def test_a_full_disk_costs_the_ledger_its_rows_but_no_answer(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--ship-every-s", "1000")
    assert world.process is not None
    resource.prlimit(world.process.pid, resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    with world.client() as client:
        for number in range(10):
            ask(client, world, flights(1, seed=number))
        status = client.get("/v1/status").json()["ledger"]
        assert status["rows_lost"] > 0
        assert status["rows_lost"] + status["rows_written"] == 10
        assert f"modelyard_ledger_rows_lost_total {float(status['rows_lost'])}" in client.get("/metrics").text
        resource.prlimit(world.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ask(client, world, flights(1), id="after")
        assert client.post("/v1/ledger/flush").json()["rows"] == status["rows_written"] + 1
    assert world.ledger().height == status["rows_written"] + 1


def test_a_lake_that_is_away_keeps_the_rows_here_and_gets_them_later(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--ship-every-s", "1000")
    lake = world.home / "lake"
    lake.write_text("no folder")
    with world.client() as client:
        ask(client, world, flights(2))
        refused = client.post("/v1/ledger/flush")
        assert (refused.status_code, refused.json()["code"]) == (503, "ledger.unavailable")
        assert client.get("/v1/status").json()["ledger"]["backlog"]["segments"] == 1
        ask(client, world, flights(3))
        lake.unlink()
        assert client.post("/v1/ledger/flush").json()["rows"] == 5
    assert world.ledger().height == 5


def test_a_column_that_changed_its_type_stands_beside_the_old_one(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--ship-every-s", "1000")
    with world.client() as client:
        ask(client, world, flights(1))
        client.post("/v1/ledger/flush")
    table = "ledger/delay"
    other = world.ledger().with_columns(pl.lit("far").alias("input.distance"))
    shutil.rmtree(world.home / "lake" / PROJECT / table)
    world.lake.append(PROJECT, table, other, commit="other")
    with world.client() as client:
        ask(client, world, flights(1, seed=3))
        assert client.post("/v1/ledger/flush").json()["rows"] == 1
    kept = world.ledger()
    assert sorted(kept["input.distance"].drop_nulls()) == ["far"]
    assert kept["input.distance:Int64"].drop_nulls().to_list() == flights(1, seed=3)["distance"].to_list()


def test_two_gateways_never_share_a_home(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start()
    other = World(world.folder, world.control)
    try:
        other.start()
    except AssertionError as error:
        assert "Another gateway works in" in str(error)
    else:
        raise AssertionError("the second one started")
    finally:
        assert other.process is not None
        other.process.wait()
        other._drop()


def test_sigterm_ships_the_ledger_before_the_end(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--ship-every-s", "1000")
    with world.client() as client:
        ask(client, world, flights(4))
    assert world.stop() == 0
    assert world.ledger().height == 4
    assert os.listdir(world.home / "gateway" / "ledger") == []


def test_where_a_canary_fails_the_live_version_stands_in_and_the_failure_is_told(world: World) -> None:
    world.packages[2, False, "onnx"] = build(world.objects, PROJECT, world.folder / "moody", 2, moody=True)
    served = world.served(Route(1, 50), Route(2, 50, RouteKind.CANARY))
    world.publish(served)
    world.start()
    rows = flights(80, seed=6)
    far = [bool(distance > 4000) for distance in rows["distance"]]
    met = [choose(served.revision, f"r{n}").kind is RouteKind.CANARY for n in range(80)]
    wanted = ["live" if not canary else "fallback" if long else "canary" for canary, long in zip(met, far, strict=True)]
    assert set(wanted) == {"live", "fallback", "canary"}
    with world.client() as client:
        told = [ask(client, world, rows[n : n + 1], id=f"r{n}") for n in range(80)]
        assert [one["parameters"]["route"] for one in told] == wanted
        stood_in = [n for n in range(80) if wanted[n] == "fallback"]
        answers = [told[n]["outputs"][0]["data"][0] for n in stood_in]
        assert np.allclose(answers, world.package(1).expected(rows[stood_in]), atol=1e-6, rtol=0)
        refused = client.post("/v2/models/delay/versions/2/infer", json=world.body(rows.filter(pl.col("distance") > 4000)[:1]))
        assert (refused.status_code, refused.json()["code"]) == (500, "code.failed")
        client.post("/v1/ledger/flush")
    failures = world.table(failure_table("delay")).group_by("version", "route").agg(pl.col("requests").sum())
    assert set(failures.rows()) == {(2, "canary", wanted.count("fallback")), (2, "pinned", 1)}
    kept = set(world.ledger().group_by("version", "route").len().rows())
    assert kept == {(2 if route == "canary" else 1, route, wanted.count(route)) for route in ("live", "fallback", "canary")}


def slow(world: World, version: int) -> None:
    folder = world.folder / f"slow{version}"
    world.packages[version, False, "onnx"] = build(world.objects, PROJECT, folder, version, does=takes_its_time)


def test_who_waits_no_longer_is_told_so_and_the_others_are_answered(world: World) -> None:
    slow(world, 1)
    world.publish(world.served(Route(1, 100)))
    world.start()
    row = flights(1, seed=7)
    long = world.body(row.with_columns(wind=pl.lit(1003.0)))
    with world.client() as client, ThreadPoolExecutor(2) as pool:
        impatient = pool.submit(client.post, INFER, json=long, headers={"modelyard-timeout-ms": "200"})
        assert (impatient.result().status_code, impatient.result().json()["code"]) == (504, "gateway.timeout")
        waits = pool.submit(client.post, INFER, json=world.body(row), headers={"modelyard-timeout-ms": "300"})
        assert waits.result().status_code == 504  # behind the long one, which goes on
        assert client.post(INFER, json=world.body(row)).status_code == 200
        assert client.post(INFER, json=world.body(row), headers={"modelyard-timeout-ms": "soon"}).status_code == 400
        client.post("/v1/ledger/flush")
    assert world.ledger().height == 1
    failures = world.table(failure_table("delay")).group_by("code").agg(pl.col("requests").sum())
    assert set(failures.rows()) == {("gateway.timeout", 2)}


def test_a_large_request_waits_no_longer_than_a_small_one(world: World) -> None:
    slow(world, 1)
    world.publish(world.served(Route(1, 100)))
    world.start()
    rows = flights(1000, seed=7)
    long = world.body(rows.with_columns(wind=pl.lit(1001.0)))
    with world.client() as client:
        late = client.post(INFER, json=long, headers={"modelyard-timeout-ms": "300"})
        assert (late.status_code, late.json()["code"]) == (504, "gateway.timeout")
        assert len(client.post(INFER, json=world.body(rows)).json()["outputs"][0]["data"]) == 1000  # after the one given up
        client.post("/v1/ledger/flush")
    assert world.ledger().height == 1000
    failures = world.table(failure_table("delay")).group_by("code").agg(pl.col("requests").sum())
    assert set(failures.rows()) == {("gateway.timeout", 1)}


def test_a_model_of_data_alone_that_never_ends_is_ended_and_the_others_answer_on(world: World) -> None:
    endless = world.served(Route(2, 100), name="endless", forms=(build_endless(world.objects, PROJECT, 2),))
    world.publish(world.served(Route(1, 100)), endless)
    world.start("--timeout-s", "10")  # its tenth is for a busy machine to tell of the hanging one
    row = flights(1, seed=8)
    with world.client() as client:

        def turned(value: float) -> httpx.Response:
            image = {"name": "image", "shape": [1, 2], "datatype": "FP32", "data": [value, value]}
            return client.post("/v2/models/endless/infer", json={"inputs": [image]})

        assert turned(-1.0).json()["outputs"][0]["data"] == [-1.0, -1.0]
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(turned, 1.0)
            ask(client, world, row)
            assert (hanging.result().status_code, hanging.result().json()["code"]) == (500, "version.failed")
        assert turned(-1.0).status_code == 200
    assert world.stop() == 0
    assert world.ledger().height == 1


def no_date(world: World, row: pl.DataFrame) -> list[dict[str, Any]]:
    inputs: list[dict[str, Any]] = world.body(row)["inputs"]
    return [{**one, "data": ["someday"]} if one["name"] == "day" else one for one in inputs]


def test_what_was_not_answered_stands_beside_the_ledger(world: World) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start()
    row = flights(1)
    with world.client() as client:
        ask(client, world, row)
        for _ in range(3):
            assert client.post(INFER, json=world.body(row.with_columns(distance=pl.lit("far")))).status_code == 400
        assert client.post(INFER, content=b"{").status_code == 400
        for _ in range(2):
            assert client.post(INFER, json=world.body(row, inputs=no_date(world, row))).status_code == 400
        assert client.post("/v1/ledger/flush").json()["rows"] == 1
    failures = world.table(failure_table("delay")).group_by("version", "code", "status").agg(pl.col("requests").sum())
    assert set(failures.rows()) == {(None, "request.invalid", 400, 1), (1, "column.invalid", 400, 5)}
    assert world.ledger().height == 1
