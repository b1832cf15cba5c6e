"""The same rows out of each source's real server: one version, and one prepared set, whatever they came from."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import polars as pl
import psycopg
import pytest
from confluent_kafka import Producer

from modelyard.adapters.s3.address import S3Address
from modelyard.adapters.s3.places import S3Place
from modelyard.core import Digest, canonical_json
from modelyard.data import Column
from modelyard.prepare import Pipeline, prep
from modelyard.prepare.stored import Request, Trying, store_prepared
from modelyard.testing.source import TYPES, numbered
from tests.data.place import Place, made
from tests.listening import giving
from tests.topics import Topics

pytestmark = pytest.mark.services

ROWS = numbered(0, 500)
COLUMNS = [Column(name, str(dtype)) for name, dtype in TYPES.items()]
Put = Callable[[pl.DataFrame], str]  # puts rows somewhere, all at once, and returns the URL of what is there


def as_json(row: dict[str, object]) -> str:
    return json.dumps(row, default=lambda value: value.isoformat())


@pytest.fixture
def put_csv(tmp_path: Path) -> Put:
    def put(rows: pl.DataFrame) -> str:
        rows.write_csv(tmp_path / "flights.csv.gz", compression="gzip")
        return (tmp_path / "flights.csv.gz").as_uri()

    return put


@pytest.fixture
def put_s3(s3_url: str) -> Put:
    def put(rows: pl.DataFrame) -> str:
        place = S3Place(S3Address.from_url(s3_url))
        for number, part in enumerate(rows.iter_slices(200)):
            content = BytesIO()
            part.write_parquet(content)
            place.put(f"flights/{number}.parquet", content.getvalue())
        return s3_url.replace("?", "/flights/*.parquet?")

    return put


@pytest.fixture
def put_web(tmp_path: Path) -> Iterator[Put]:
    folder = tmp_path / "web"
    folder.mkdir()
    with giving(folder) as url:

        def put(rows: pl.DataFrame) -> str:
            rows.write_ndjson(folder / "flights.ndjson")
            digest = sha256((folder / "flights.ndjson").read_bytes()).hexdigest()
            return f"{url}/flights.ndjson#sha256={digest}"

        yield put


@pytest.fixture
def put_delta(tmp_path: Path) -> Put:
    def put(rows: pl.DataFrame) -> str:
        for part in (rows[300:], rows[:300]):
            part.write_delta(tmp_path / "delta", mode="append")
        return f"delta+{(tmp_path / 'delta').as_uri()}"

    return put


@pytest.fixture
def put_sqlite(tmp_path: Path) -> Put:
    def put(rows: pl.DataFrame) -> str:
        with sqlite3.connect(tmp_path / "shop.sqlite") as shop:
            shop.execute("CREATE TABLE flights (id INTEGER, at TIMESTAMP, origin TEXT, delay REAL, late BOOLEAN, day DATE)")
            told = [
                (row["id"], row["at"].isoformat(), row["origin"], row["delay"], row["late"], row["day"] and str(row["day"]))
                for row in rows.to_dicts()
            ]
            shop.executemany("INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?)", told)
        return f"sqlite:///{tmp_path / 'shop.sqlite'}?table=flights&watermark=at"

    return put


@pytest.fixture
def put_postgresql(postgresql_url: str) -> Put:
    def put(rows: pl.DataFrame) -> str:
        with psycopg.connect(postgresql_url) as shop, shop.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE flights (id bigint, at timestamptz, origin text, delay float8, late boolean, day date)"
            )
            with cursor.copy("COPY flights FROM STDIN") as copy:
                for row in rows.iter_rows():
                    copy.write_row(row)
        return f"{postgresql_url}?table=flights&watermark=at"

    return put


@pytest.fixture
def put_kafka(kafka_address: str) -> Put:
    def put(rows: pl.DataFrame) -> str:
        producer, topic = Producer({"bootstrap.servers": kafka_address}), Topics.make(kafka_address).source
        for row in rows.to_dicts():
            producer.produce(topic, as_json(row), str(row["id"]))
        producer.flush()
        return f"kafka://{kafka_address}/{topic}?format=json"

    return put


def prepared(place: Place, name: str, folder: Path) -> Digest:
    """Return the digest of a dataset's rows, prepared."""
    steps = (prep.date_parts("at", "hour"), prep.one_hot("origin"), prep.standardise("delay"), prep.drop("id", "day"))
    [pipeline] = place.ports.objects.put(place.project, [canonical_json(Pipeline(steps).to_json()).encode()])
    request = Request(name, pipeline, f"{name}-prepared", keep=("id", "at"))
    made = store_prepared(place.ports, place.actor, place.project, request, Trying("job_1", folder, lambda *_: None))
    assert made.rows == ROWS.height
    return made.digest


@pytest.mark.parametrize("there", ["csv", "s3", "web", "delta", "sqlite", "postgresql", "kafka"])
def test_the_same_rows_are_the_same_version_wherever_they_came_from(
    place: Place, request: pytest.FixtureRequest, there: str, tmp_path: Path
) -> None:
    place.dataset("appended", key=("id",), time="at")
    expected = made(place.append(ROWS, "appended")).digest
    put: Put = request.getfixturevalue(f"put_{there}")
    place.dataset(there, source=put(ROWS), key=("id",), time="at", columns=COLUMNS)
    version = made(place.snapshot(there))
    assert place.rows(f"{there}@1").equals(ROWS)
    assert version.digest == expected
    assert prepared(place, there, tmp_path) == prepared(place, "appended", tmp_path)
    again = place.snapshot(there)
    assert (again.version, again.admitted, again.quarantined) == (version, 0, 0)
