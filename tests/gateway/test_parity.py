"""The same numbers everywhere: the trainer, and every door behind it, for real rows and for rows of what is rare."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
from numpy.typing import NDArray

from modelyard.adapters.onnx import OnnxFramework
from modelyard.cli.demo.flights import departures, extract
from modelyard.serving import Route
from modelyard.serving.infer import load_version
from modelyard.serving.score import Scorer
from tests.gateway.doors import WAYS, rest
from tests.gateway.packages import build_cells, cells_of, edges
from tests.gateway.streaming import Ports, Worker, requests, until
from tests.gateway.world import PROJECT, World
from tests.topics import Topics

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("kafka")]

ROWS = 10_000  # of each kind
TOLERANCE = 1e-6  # between the trainer's own form and the one that serves: what a version's card promises


def real(folder: Path) -> pl.DataFrame:
    """Return flights out of New York spread over the year 2013, with the weather at their departure."""
    read = {name: pl.read_parquet(path) for name, path in extract(folder).items()}
    known = departures(read["flights"], read["weather"], read["planes"])
    return known.gather_every(known.height // ROWS).head(ROWS).select(
        pl.col("departs_at").dt.cast_time_unit("us").alias("at"),
        "carrier",
        "distance",
        "seats",
        pl.col("wind_speed").alias("wind"),
        (pl.col("visib").fill_null(10.0) > 5.0).alias("visible"),
        pl.col("flight_date").alias("day"),
    )  # fmt: skip


@pytest.fixture
def worker(world: World, kafka_address: str) -> Iterator[Worker]:
    made = Worker(world, Topics.make(kafka_address), "parity")
    yield made
    if made.process is not None:
        made.kill()


def by_batch(world: World, frame: pl.DataFrame, folder: Path) -> list[float]:
    loaded = load_version(Ports(world.objects, lambda _: OnnxFramework()), PROJECT, world.package(1).form, folder)
    scorer = Scorer("delay", loaded)
    return [answer for part in frame.iter_slices(3_000) for answer in scorer.answered(part)["probability"].to_list()]


def by_kafka(worker: Worker, frame: pl.DataFrame) -> list[float]:
    worker.topics.send(requests(frame))
    worker.start()
    answers = until(lambda: worker.topics.read(worker.topics.target), frame.height, [worker])
    assert worker.stop() == 0
    assert worker.topics.read(worker.topics.dead) == []
    found = {int(one.key or b""): orjson.loads(one.value or b"")["probability"] for one in answers}
    assert len(found) == len(answers) == frame.height
    return [found[number] for number in range(frame.height)]


def test_no_cell_of_a_stream_differs_from_the_trainers(world: World, worker: Worker, tmp_path: Path) -> None:
    frame = pl.concat([real(tmp_path / "raw"), edges(ROWS).drop("late")], how="vertical_relaxed")
    frame = frame.with_columns(pl.col("wind").replace({np.inf: None, -np.inf: None}))  # JSON has no word for infinity
    transform = world.package(1).transform
    expected = transform.matrix(frame)
    row_by_row = np.concatenate([transform.rows([row]) for row in frame.iter_rows(named=True)])
    np.testing.assert_array_equal(bits(row_by_row), bits(expected))
    world.publish(world.served(Route(9, 100), forms=(build_cells(world.objects, PROJECT, transform.fitted, 9),)))
    worker.topics.send(requests(frame))
    worker.start()
    answers = until(lambda: worker.topics.read(worker.topics.target), frame.height, [worker])
    assert worker.stop() == 0
    assert worker.topics.read(worker.topics.dead) == []
    told = {int(one.key or b""): orjson.loads(one.value or b"") for one in answers}
    cells = [[told[number][name] for name in transform.features] for number in range(frame.height)]
    np.testing.assert_array_equal(bits(cells_of(np.array(cells))), bits(expected))


def bits(cells: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the bits of cells, every NaN alike: -0.0 is not 0.0."""
    return np.where(np.isnan(cells), np.float32(np.nan), cells).astype(np.float32).view(np.int32)


def test_real_and_rare_rows_get_the_trainers_numbers_through_every_door(world: World, worker: Worker, tmp_path: Path) -> None:
    world.publish(world.served(Route(1, 100)))
    world.start("--grpc-port", "0")
    frame = pl.concat([real(tmp_path / "raw"), edges(ROWS).drop("late")], how="vertical_relaxed")
    assert frame.height == 2 * ROWS
    trainer = world.package(1).expected(frame)
    assert len(np.unique(trainer[:ROWS])) > 100
    with world.client() as client:
        told = rest(world, client, frame)
        for way, ask in WAYS.items():
            assert ask(world, client, frame) == told, way
    assert by_batch(world, frame, tmp_path / "packages") == told
    finite = frame.with_columns(pl.col("wind").replace({np.inf: None, -np.inf: None}))  # JSON has no word for infinity
    assert by_kafka(worker, finite) == by_batch(world, finite, tmp_path / "packages")
    assert np.abs(np.array(told) - trainer).max() <= TOLERANCE
