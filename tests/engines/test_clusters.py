"""Engines of others, each on its real servers: the suite of engines, and the same cells for real rows and for rare ones."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import polars as pl
import pytest

from modelyard.cli.demo.flights import departures, extract
from modelyard.data import Column
from modelyard.data.content import block_digests
from modelyard.data.lake_files import LakeFile
from modelyard.data.profile import profile, to_json
from modelyard.data.schema import conform, schema_of
from modelyard.prepare import FittedPipeline, Pipeline, Transform, compile_python, fit, prep
from modelyard.prepare.engine import Done, Work, joined, pieces_of
from modelyard.version import __version__
from tests.engines.clusters import engines_python, ray_cluster, run_in, spark_cluster, spark_connect
from tests.fetch import Absent
from tests.rare import CASES, edge_rows, raw_frame

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("journey")]  # one heavy thing after another

CLUSTERS: dict[str, Callable[[Path, Path], AbstractContextManager[str]]] = {
    "spark": spark_cluster,
    "connect": spark_connect,
    "ray": ray_cluster,
}
ROWS = 10_000  # of each kind


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return engines_python()
    except Absent as absent:
        pytest.skip(str(absent))


@pytest.fixture(params=CLUSTERS)
def url(request: pytest.FixtureRequest, python: Path, tmp_path: Path) -> Iterator[str]:
    try:
        with CLUSTERS[request.param](python, tmp_path) as found:
            yield found
    except Absent as absent:
        pytest.skip(str(absent))


def test_an_engine_keeps_the_promises_and_its_cells_are_those_of_the_trainer(url: str, python: Path, tmp_path: Path) -> None:
    suite = ["pytest", "-q", "--noconftest", "-c", "/dev/null", "-p", "no:cacheprovider", "tests/engines/suite.py"]
    done = run_in(python, suite, MODELYARD_TEST_ENGINE=url)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout
    works = [*real(tmp_path), *edges(tmp_path)]
    (tmp_path / "works.json").write_text(json.dumps([(work, pieces) for work, pieces, _ in works]))
    done = run_in(python, ["tests.engines.work", url, str(tmp_path / "works.json")])
    assert done.returncode == 0, done.stderr[-3_000:]
    answers = json.loads((tmp_path / "works.done").read_text())
    assert len(answers) == len(works) == 1 + len(CASES)
    for (_, _, expected), found in zip(works, answers, strict=True):
        pieces = sorted((msgspec.json.decode(one, type=Done) for one in found), key=lambda one: one.number)
        assert [one.problem for one in pieces] == [None] * len(pieces)
        assert pieces[0].blocks == block_digests(expected)  # of each column all cells: none differs
        assert sum(one.rows for one in pieces) == ROWS


def real(folder: Path) -> Iterator[tuple[str, list[str], pl.DataFrame]]:
    """Give the work on flights out of New York, and what the trainer sees of them."""
    read = {name: pl.read_parquet(path) for name, path in extract(folder / "raw").items()}
    known = departures(read["flights"], read["weather"], read["planes"]).head(ROWS)
    columns = ["carrier", "distance", "seats", "wind_speed", "visib", "flight_date", "departs_at"]
    rows = conform(known.select(columns))
    steps = (
        prep.date_parts("departs_at", "hour", "weekday", zone="America/New_York"),
        prep.date_parts("flight_date", "day_of_year"),
        prep.fill_null("seats", 0),
        prep.ratio("distance", "seats"),
        prep.one_hot("carrier"),
        prep.clip("wind_speed", 0, 40),
        prep.standardise("visib"),
    )
    yield work_on(rows, fit(Pipeline(steps), rows.head(ROWS // 2)), folder, "real")


def edges(folder: Path) -> Iterator[tuple[str, list[str], pl.DataFrame]]:
    """Give the work on rare values for every kind of step."""
    rows = conform(raw_frame(edge_rows(ROWS)))
    label = (pl.int_range(pl.len()) % 2).alias("label")
    for place, steps in enumerate(CASES):
        yield work_on(rows, fit(Pipeline(steps), rows.head(300).with_columns(label), "label"), folder, f"rare-{place}")


def work_on(rows: pl.DataFrame, fitted: FittedPipeline, folder: Path, name: str) -> tuple[str, list[str], pl.DataFrame]:
    """Return the work, its pieces, and the cells of the trainer, which are those of the row function."""
    expected = joined(rows, Transform(fitted), [])
    function = compile_python(fitted)
    if function is not None:
        one_by_one = pl.DataFrame(
            [tuple(function(row)) for row in rows.iter_rows(named=True)], schema=expected.schema, orient="row", strict=False
        )
        assert block_digests(one_by_one.with_columns(pl.all().fill_nan(None))) == block_digests(expected), name
    target = folder / name
    target.mkdir()
    rows.write_parquet(folder / f"{name}.parquet")
    work = Work(
        modelyard=__version__,
        polars=pl.__version__,
        fitted=fitted.to_json(),
        columns=tuple(Column(column.name, column.dtype) for column in schema_of(rows).columns),
        reads={},
        keep=(),
        types=(),
        folder=str(target),
        writes={},
        profile=to_json(profile(expected.head(100))),
    )
    pieces = pieces_of([LakeFile(str(folder / f"{name}.parquet"), rows.height, 1)], 1.0)
    told = [msgspec.json.encode(piece).decode() for piece in pieces]
    return msgspec.json.encode(work).decode(), told, expected
