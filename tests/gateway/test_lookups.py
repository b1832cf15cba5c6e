"""Versions that look features up: what a caller sends of a row, and what the online store holds of it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from modelyard.adapters.online.sqlite import SqliteOnline
from modelyard.adapters.onnx import OnnxFramework
from modelyard.core import IdMaker, ProjectId, system_clock
from modelyard.data.features import Features, Lookup, Missing
from modelyard.data.features.online import Entity, FeatureRow, Published, entity_of_values
from modelyard.gateway import oip
from modelyard.gateway.calls import Ask
from modelyard.gateway.metrics import Metrics
from modelyard.gateway.plane import Plane
from modelyard.gateway.process import Stores
from modelyard.gateway.routes import Target
from modelyard.gateway.segments import SegmentWriter
from modelyard.registry import Signature
from modelyard.serving import Route, RouteKind, ServedForm
from modelyard.serving.infer import load_version
from tests.gateway.packages import build, flights, tensors
from tests.gateway.world import PROJECT, World

INFER = "/v2/models/delay/infer"
LOOKED_UP = ("wind", "visible")
BEHIND = timedelta(minutes=30)  # of what is known, the moment before the row's


def looking_up(form: ServedForm, **rest: Any) -> ServedForm:
    """Return a version to whose rows wind and visibility come from a table by carrier."""
    columns = {column.name: column for column in form.signature.inputs}
    lookup = Lookup("weather", LOOKED_UP, ("carrier",), ("airline",), "seen", 3600.0, **rest)
    asked = Signature(tuple(one for name, one in columns.items() if name not in LOOKED_UP), form.signature.outputs)
    return replace(form, signature=asked, features=Features((lookup,), tuple(columns[name] for name in LOOKED_UP), "at"))


def seen(frame: pl.DataFrame) -> list[FeatureRow]:
    """Return what the store knows of rows, each shortly before it; what it comes to is the last row of a carrier."""
    return [
        FeatureRow(entity_of_values([row["carrier"]]), row["at"] - BEHIND, {"wind": row["wind"], "visible": row["visible"]})
        for row in frame.iter_rows(named=True)
    ]


def one_a_carrier(rows: int = 4) -> pl.DataFrame:
    return flights(200, seed=5).unique("carrier", keep="first", maintain_order=True).head(rows)


@pytest.fixture
def store(world: World) -> Iterator[SqliteOnline]:
    world.home.mkdir(exist_ok=True)
    made = SqliteOnline(f"sqlite:///{world.home / 'online.sqlite'}")
    yield made
    made.close()


def serve(world: World, *routes: Route, **rest: Any) -> httpx.Client:
    """Serve version 1, looking things up, and give a client."""
    form = looking_up(world.package(1).form, **rest)
    routes = routes or (Route(1, 100),)
    forms = tuple(form if route.version == 1 else world.package(route.version).form for route in routes)
    world.publish(world.served(*routes, forms=forms))
    world.start("--ship-every-s", "0.05")
    return world.client()


def ask(world: World, client: httpx.Client, frame: pl.DataFrame, columns: tuple[str, ...] = (), **rest: Any) -> httpx.Response:
    """Send rows without what is looked up, but for these columns of it."""
    inputs = world.package(1).form.signature.inputs
    sent = tuple(one for one in inputs if one.name not in LOOKED_UP or one.name in columns)
    return client.post(INFER, json={"inputs": tensors(frame, sent), **rest})


def answers(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    found: list[float] = response.json()["outputs"][0]["data"]
    return found


def test_rows_are_answered_as_if_their_caller_had_sent_what_is_looked_up(world: World, store: SqliteOnline) -> None:
    rows = one_a_carrier()
    store.put(PROJECT, "weather", seen(rows), number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    with serve(world) as client:
        expected = world.package(1).expected(rows)
        np.testing.assert_allclose(answers(ask(world, client, rows)), expected, atol=1e-6, rtol=0)
        many = pl.concat([rows] * 200)
        np.testing.assert_allclose(answers(ask(world, client, many)), np.tile(expected, 200), atol=1e-6, rtol=0)
        metadata = client.get("/v2/models/delay").json()
        assert not set(LOOKED_UP) & {one["name"] for one in metadata["inputs"]}


def test_the_ledger_keeps_rows_as_the_version_saw_them(world: World, store: SqliteOnline) -> None:
    rows = one_a_carrier()
    store.put(PROJECT, "weather", seen(rows), number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    with serve(world) as client:
        answers(ask(world, client, rows, id="r"))
        client.post("/v1/ledger/flush").raise_for_status()
    kept = world.ledger().sort("id")
    assert kept["input.wind"].to_list() == rows["wind"].to_list()
    assert kept["input.visible"].to_list() == rows["visible"].to_list()
    assert kept["input.carrier"].to_list() == rows["carrier"].to_list()


def test_what_a_caller_sends_of_it_is_passed_over_and_told(world: World, store: SqliteOnline) -> None:
    rows = one_a_carrier()
    store.put(PROJECT, "weather", seen(rows), number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    with serve(world) as client:
        response = ask(world, client, rows.with_columns(wind=pl.lit(-99.0)), columns=("wind",))
        np.testing.assert_allclose(answers(response), world.package(1).expected(rows), atol=1e-6, rtol=0)
        assert response.json()["parameters"]["ignored"] == ["wind"]


def test_a_row_meets_what_was_known_at_its_own_time(world: World, store: SqliteOnline) -> None:
    row = one_a_carrier(1)
    later = [replace(one, at=one.at + timedelta(hours=2), values={"wind": 99.0, "visible": None}) for one in seen(row)]
    store.put(PROJECT, "weather", [*seen(row), *later], number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    with serve(world) as client:
        np.testing.assert_allclose(answers(ask(world, client, row)), world.package(1).expected(row), atol=1e-6, rtol=0)
        told = (row["at"][0] + timedelta(hours=5)).isoformat()
        stale = row.with_columns(wind=pl.lit(None, pl.Float64), visible=pl.lit(None, pl.Boolean))
        found = answers(ask(world, client, row, parameters={"time": told}))
        np.testing.assert_allclose(found, world.package(1).expected(stale), atol=1e-6, rtol=0)


def test_without_a_time_of_its_own_a_row_is_looked_up_as_of_now(world: World, store: SqliteOnline) -> None:
    row = one_a_carrier(1)
    now = datetime.now(UTC)
    store.put(PROJECT, "weather", [replace(one, at=now - BEHIND) for one in seen(row)], number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    timeless = row.with_columns(at=pl.lit(None, pl.Datetime("us", "UTC")))
    with serve(world) as client:
        np.testing.assert_allclose(
            answers(ask(world, client, timeless)), world.package(1).expected(timeless), atol=1e-6, rtol=0
        )


def test_a_missing_value_is_what_the_lookup_declares(world: World, store: SqliteOnline) -> None:
    rows = one_a_carrier(2)
    store.put(PROJECT, "weather", seen(rows.head(1)), number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    with serve(world, missing=Missing.DEFAULT, defaults=(7.5, True)) as client:
        second = rows.tail(1).with_columns(wind=pl.lit(7.5), visible=pl.lit(value=True))
        expected = world.package(1).expected(pl.concat([rows.head(1), second]))
        np.testing.assert_allclose(answers(ask(world, client, rows)), expected, atol=1e-6, rtol=0)


def test_a_row_without_its_features_is_refused_where_the_lookup_says_so(world: World, store: SqliteOnline) -> None:
    rows = one_a_carrier(2)
    store.put(PROJECT, "weather", seen(rows.head(1)), number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    with serve(world, missing=Missing.REFUSE) as client:
        refused = ask(world, client, rows)
        assert (refused.status_code, refused.json()["code"]) == (400, "row.invalid")
        assert refused.json()["context"]["row"] == 1
        assert len(answers(ask(world, client, rows.head(1)))) == 1


def test_a_table_that_the_store_does_not_hold_is_told_and_never_taken_for_missing_values(world: World) -> None:
    with serve(world, Route(2, 100), Route(1, 50, RouteKind.SHADOW)) as client:
        assert len(answers(ask(world, client, one_a_carrier(1), columns=LOOKED_UP))) == 1, "a shadow hurts nobody"
        pinned = client.post(
            "/v2/models/delay/versions/1/infer",
            json={"inputs": tensors(one_a_carrier(1), looking_up(world.package(1).form).signature.inputs)},
        )
        assert (pinned.status_code, pinned.json()["code"]) == (503, "features.unavailable")
        assert "yard feature publish weather" in pinned.json()["detail"]


def test_an_entity_of_the_wrong_type_is_told_with_its_column(world: World, store: SqliteOnline) -> None:
    store.publish(PROJECT, "weather", Published(1, None))
    with serve(world) as client:
        inputs = tensors(one_a_carrier(1), looking_up(world.package(1).form).signature.inputs)
        [carrier] = [one for one in inputs if one["name"] == "carrier"]
        wrong = client.post(INFER, json={"inputs": [*(one for one in inputs if one is not carrier), carrier | {"data": [7]}]})
        assert wrong.status_code == 400
        assert wrong.json()["context"]["column"] == "carrier"
        lacking = client.post(INFER, json={"inputs": [one for one in inputs if one is not carrier]})
        assert (lacking.status_code, lacking.json()["code"]) == (400, "column.missing")


def test_a_version_that_looks_up_stands_in_for_a_canary_that_is_sent_all(world: World, store: SqliteOnline) -> None:
    """What the canary was sent of the looked-up columns is nothing to the live version."""
    world.packages[2, False, "onnx"] = build(world.objects, PROJECT, world.folder / "moody", 2, moody=True)
    far = one_a_carrier(1).with_columns(distance=pl.lit(4500, pl.Int64))
    store.put(PROJECT, "weather", seen(far), number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    with serve(world, Route(1, 50), Route(2, 50, RouteKind.CANARY)) as client:
        sent = far.with_columns(wind=pl.lit(-99.0))
        routes = set()
        for number in range(20):
            answer = ask(world, client, sent, columns=LOOKED_UP, parameters={"key": f"k{number}"})
            np.testing.assert_allclose(answers(answer), world.package(1).expected(far), atol=1e-6, rtol=0)
            routes.add(answer.json()["parameters"]["route"])
        assert routes == {"live", "fallback"}
        client.post("/v1/ledger/flush").raise_for_status()
    assert set(world.ledger()["input.wind"]) == set(far["wind"])


class Counted(SqliteOnline):
    """The store, and how often it was asked."""

    asked = 0

    def get(self, project: ProjectId, table: str, wanted: Sequence[tuple[Entity, datetime]]) -> list[FeatureRow | None]:
        """Count a question."""
        self.asked += 1
        return super().get(project, table, wanted)


def test_requests_that_are_answered_together_are_one_question(world: World, store: SqliteOnline, tmp_path: Path) -> None:
    """As streams ask: a batch of calls, in their own thread."""
    rows = one_a_carrier()
    store.put(PROJECT, "weather", seen(rows), number=1)
    store.publish(PROJECT, "weather", Published(1, None))
    form = looking_up(world.package(1).form)
    loaded = load_version(Stores(world.objects, lambda _: OnnxFramework()), PROJECT, form, tmp_path / "packages")
    target = Target(world.served(Route(1, 100), forms=(form,)), {1: loaded})
    writer, clock = SegmentWriter(tmp_path / "ledger", IdMaker(system_clock)), system_clock
    counted = Counted(f"sqlite:///{world.home / 'online.sqlite'}")
    plane = Plane(writer=writer, metrics=Metrics(), clock=clock, online=lambda: counted)
    bodies = [json.dumps({"inputs": tensors(rows[place], form.signature.inputs)}).encode() for place in range(rows.height)]
    calls = [oip.read(Ask(target, None, "c" * 64, f"r{place}", 0.0), body) for place, body in enumerate(bodies)]
    plane.answer_batch(calls)
    plane.close()
    counted.close()
    assert counted.asked == 1
    found = [call.told()["probability"][0] for call in calls]
    np.testing.assert_allclose(found, world.package(1).expected(rows), atol=1e-6, rtol=0)
