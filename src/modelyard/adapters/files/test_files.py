import gzip
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from modelyard.adapters import open_source
from modelyard.core import Problem
from modelyard.data.sources import Ask

FLIGHTS = pl.DataFrame({"id": [1, 2, 3], "origin": ["JFK", None, "LGA"], "delay": [0.5, None, -2.0]})
TEXT = "id,origin,delay\n1,JFK,0.5\n2,,\n3,LGA,-2\n"


def read(source: object) -> pl.DataFrame:
    with open_source(str(source)).read(Ask()) as reading:
        return pl.concat(list(reading.frames))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flights.csv").write_text(TEXT)
    (tmp_path / "flights.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    with zipfile.ZipFile(tmp_path / "flights.csv.zip", "w") as archive:
        archive.writestr("data/flights.csv", TEXT)
    FLIGHTS.write_parquet(tmp_path / "flights.parquet")
    FLIGHTS.write_ndjson(tmp_path / "flights.ndjson")
    FLIGHTS.write_ndjson(tmp_path / "flights.jsonl")
    (tmp_path / "flights.ndjson.gz").write_bytes(gzip.compress((tmp_path / "flights.ndjson").read_bytes()))
    FLIGHTS.lazy().sink_csv(tmp_path / "flights.csv.zst", compression="zstd")
    FLIGHTS.write_avro(tmp_path / "flights.avro")
    FLIGHTS.write_ipc(tmp_path / "flights.arrow")
    return tmp_path


@pytest.mark.parametrize(
    "ending", ["csv", "csv.gz", "csv.zst", "csv.zip", "parquet", "ndjson", "jsonl", "ndjson.gz", "avro", "arrow"]
)
def test_each_form_is_read_by_path_and_by_url(folder: Path, ending: str) -> None:
    path = folder / f"flights.{ending}"
    assert read(path).equals(FLIGHTS)
    assert read(path.as_uri()).equals(FLIGHTS)


def test_a_glob_reads_its_files_in_order_of_their_names(tmp_path: Path) -> None:
    for month in (2, 10, 1):
        (tmp_path / f"{month:02}").mkdir()
        pl.DataFrame({"month": [month]}).write_parquet(tmp_path / f"{month:02}" / "rows.parquet")
        pl.DataFrame({"month": [month]}).write_csv(tmp_path / f"{month:02}" / "rows.csv")
    for ending in ("parquet", "csv"):
        assert read(f"{tmp_path}/*/rows.{ending}")["month"].to_list() == [1, 2, 10]
        assert read(f"{tmp_path.as_uri()}/**/*.{ending}")["month"].to_list() == [1, 2, 10]


def test_a_path_that_looks_like_a_glob_and_is_there_is_a_path(tmp_path: Path) -> None:
    FLIGHTS.write_parquet(tmp_path / "fl[i]ghts 1?.parquet")
    FLIGHTS.head(0).write_parquet(tmp_path / "flights 12.parquet")
    assert read(tmp_path / "fl[i]ghts 1?.parquet").equals(FLIGHTS)
    assert read((tmp_path / "fl[i]ghts 1?.parquet").as_uri()).equals(FLIGHTS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "", "0"], [1, -2, None, 0]),
        (["1", "2.5", "1e3"], [1.0, 2.5, 1000.0]),
        (["9223372036854775808", "1"], [9223372036854775808.0, 1.0]),
        (["-0", "NaN"], [-0.0, float("nan")]),
        (["00501", "10001"], ["00501", "10001"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["true", "False", ""], [True, False, None]),
        (["2013-01-01", ""], [date(2013, 1, 1), None]),
        (["2013-02-30", "2013-01-01"], ["2013-02-30", "2013-01-01"]),
        (["2013-01-01T06:00:00Z", ""], [datetime(2013, 1, 1, 6, tzinfo=UTC), None]),
        (["2013-01-01T06:00:00+02:00"], [datetime(2013, 1, 1, 4, tzinfo=UTC)]),
        (["2013-01-01 06:00:00.25"], [datetime(2013, 1, 1, 6, 0, 0, 250_000)]),
        (["2013-01-01T06:00:00Z", "2013-01-01T06:00:00"], ["2013-01-01T06:00:00Z", "2013-01-01T06:00:00"]),
        (["x", "1"], ["x", "1"]),
        (["", ""], [None, None]),
    ],
)
def test_types_are_found_from_all_values(tmp_path: Path, values: list[str], expected: list[object]) -> None:
    (tmp_path / "x.csv").write_text("n,x\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values)))
    found = read(tmp_path / "x.csv")["x"]
    assert found.equals(
        pl.Series("x", expected, dtype=None if any(v is not None for v in expected) else pl.String), null_equal=True
    )


def test_a_type_may_change_as_late_as_the_last_row(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("x\n" + "1\n" * 20_000 + "x\n")
    assert read(tmp_path / "x.csv")["x"].dtype == pl.String


def test_a_text_that_means_null_is_said_in_the_url(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("wind\n1\nNA\n-\n")
    assert read(tmp_path / "x.csv")["wind"].to_list() == ["1", "NA", "-"]
    assert read(f"{(tmp_path / 'x.csv').as_uri()}?null=NA&null=-")["wind"].to_list() == [1, None, None]


@pytest.mark.parametrize("source", ["no.csv", "*.csv", "", "folder", "x\0.csv"])
def test_what_is_not_there_is_missing(tmp_path: Path, source: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Problem) as told:
        read(f"{tmp_path}/{source}")
    assert told.value.code == "source.missing"


@pytest.mark.parametrize(
    "url", ["file://elsewhere/x.csv", "file:///x.csv?nulls=NA", "file:///x.csv?a", "x.csv", "s3://", "s3://key:secret@x/y.csv"]
)
def test_urls_that_name_nothing_are_refused_at_once(url: str) -> None:
    with pytest.raises(Problem) as told:
        open_source(url)
    assert told.value.code in {"source.invalid", "adapter.invalid"}
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.xlsx", b"x"),
        ("x.csv", b""),
        ("x.csv", b"a,a\n1,2,3\n"),
        ("x.csv", b"a\n\xff\xfe\n"),
        ("x.csv.gz", gzip.compress(TEXT.encode(), mtime=0)[:-12]),
        ("x.csv.zip", b"no zip"),
        ("x.parquet", b"PAR1 no parquet"),
        ("x.ndjson", b"{"),
    ],
)
def test_content_that_cannot_be_read_is_told_with_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Problem, match=name) as told:
        read(tmp_path / name)
    assert told.value.code == "source.invalid"


def test_files_of_one_glob_have_one_form_and_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "b.csv").write_text("key\n1\n")
    FLIGHTS.write_parquet(tmp_path / "c.parquet")
    for pattern in ("*.csv", "*"):
        with pytest.raises(Problem) as told:
            read(tmp_path / pattern)
        assert told.value.code == "source.invalid"


def test_an_archive_holds_one_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.csv.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", TEXT)
    with pytest.raises(Problem, match="it holds 2 files"):
        read(tmp_path / "x.csv.zip")
