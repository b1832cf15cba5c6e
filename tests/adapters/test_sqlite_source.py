"""SQLite as a source: what its columns hold, whatever they were declared, and what goes wrong."""

# ruff: noqa: S608 - the statements are the tests' own

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest

from modelyard.adapters import open_source
from modelyard.core import Problem
from modelyard.data import Stretch
from modelyard.data.sources import Ask

Shop = Callable[..., str]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Give what runs statements on a database file and returns its URL."""
    file = tmp_path / "shop.db"

    def run(*statements: str) -> str:
        with closing(sqlite3.connect(file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)
        return f"sqlite:///{file}"

    return run


def read(url: str, ask: Ask | None = None) -> pl.DataFrame:
    return read_on(url, ask)[0]


def read_on(url: str, ask: Ask | None = None) -> tuple[pl.DataFrame, str]:
    with open_source(url).read(ask or Ask()) as reading:
        return pl.concat(list(reading.frames)), reading.bookmark


def problem_of(url: str, ask: Ask | None = None) -> Problem:
    with pytest.raises(Problem) as told:
        read(url, ask)
    return told.value


UTC_TIME = pl.Datetime("us", "UTC")


@pytest.mark.parametrize(
    ("declared", "values", "dtype", "expected"),
    [
        ("INTEGER", ["9223372036854775807", "'5'"], pl.Int64(), [9223372036854775807, 5]),
        ("UNSIGNED BIG INT", ["-1"], pl.Int64(), [-1]),
        ("BOOLEAN", ["0", "1", "true"], pl.Boolean(), [False, True, True]),
        ("REAL", ["1", "0.1"], pl.Float64(), [1.0, 0.1]),
        ("DOUBLE PRECISION", ["1e300"], pl.Float64(), [1e300]),
        ("DECIMAL(10, 2)", ["1", "0.1", "'12345678.90'"], pl.Decimal(10, 2),
         [Decimal(1), Decimal("0.1"), Decimal("12345678.90")]),
        ("NUMERIC", ["1", "2"], pl.Int64(), [1, 2]),
        ("NUMERIC", ["1", "2.5"], pl.Float64(), [1.0, 2.5]),
        ("VARCHAR(2)", ["'00501'", "7"], pl.String(), ["00501", "7"]),
        ("TEXT", ["'2013-01-01'"], pl.String(), ["2013-01-01"]),
        ("BLOB", ["x'00ff'"], pl.Binary(), [b"\x00\xff"]),
        ("DATE", ["'2013-01-31'"], pl.Date(), [date(2013, 1, 31)]),
        ("DATETIME", ["'2013-01-31 05:00:00.000001'", "'2013-02-01'"], pl.Datetime("us"),
         [datetime(2013, 1, 31, 5, 0, 0, 1), datetime(2013, 2, 1)]),
        ("TIMESTAMP", ["'2013-01-31T05:00:00Z'", "'2013-01-31 05:00'"], UTC_TIME, [datetime(2013, 1, 31, 5, tzinfo=UTC)] * 2),
        ("TIMESTAMP", ["'2013-01-31T05:00:00-02:00'"], UTC_TIME, [datetime(2013, 1, 31, 7, tzinfo=UTC)]),
        ("", ["'x'", "NULL"], pl.String(), ["x", None]),
        ("", ["1"], pl.Int64(), [1]),
        ("STRING", ["'x'"], pl.String(), ["x"]),
        ("JSON", ["'{\"a\": 1}'"], pl.String(), ['{"a": 1}']),
        ("", ["NULL"], pl.String(), [None]),
        ("DATETIME", ["NULL"], pl.Datetime("us"), [None]),
    ],
)  # fmt: skip
def test_a_column_is_what_it_was_declared_or_what_its_values_are(
    shop: Shop, declared: str, values: list[str], dtype: pl.DataType, expected: list[object]
) -> None:
    url = shop(f"CREATE TABLE t (v {declared})", *[f"INSERT INTO t VALUES ({value})" for value in values])
    found = read(f"{url}?table=t")["v"]
    assert found.dtype == dtype
    assert found.to_list() == expected


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("INTEGER", "'x'"),
        ("INTEGER", "1.5"),
        ("REAL", "'x'"),
        ("BOOLEAN", "2"),
        ("BOOLEAN", "'yes'"),
        ("DECIMAL(4, 2)", "0.125"),
        ("DECIMAL(4, 2)", "123"),
        ("DECIMAL(4, 2)", "'x'"),
        ("TEXT", "x'ff'"),
        ("BLOB", "'x'"),
        ("DATE", "'31.01.2013'"),
        ("DATE", "2013"),
        ("DATETIME", "'soon'"),
        ("DATETIME", "1359600000"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_column_and_row(shop: Shop, declared: str, value: str) -> None:
    url = shop(f"CREATE TABLE t (id INTEGER, v {declared})", f"INSERT INTO t VALUES (1, NULL), (2, {value}), (3, NULL)")
    told = problem_of(f"{url}?table=t")
    assert told.code == "source.invalid"
    assert told.detail == {"column": "v", "row": 1}
    assert read(f"{url}?table=t", Ask(columns=("id",))).height == 3


def test_the_row_is_counted_over_all_batches(shop: Shop) -> None:
    many = "WITH RECURSIVE n AS (SELECT 0 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 59999) SELECT x FROM n"
    url = shop("CREATE TABLE t (v INTEGER)", f"INSERT INTO t {many}", "INSERT INTO t VALUES ('x')")
    assert problem_of(f"{url}?table=t").detail["row"] == 60_000


def test_a_column_that_holds_two_kinds_is_told(shop: Shop) -> None:
    url = shop("CREATE TABLE t (v)", "INSERT INTO t VALUES (1), ('x')")
    told = problem_of(f"{url}?table=t")
    assert (told.code, "integer and text" in told.why) == ("source.invalid", True)


def test_the_zone_of_a_dataset_is_kept_to(shop: Shop) -> None:
    url = shop("CREATE TABLE t (at DATETIME)", "INSERT INTO t VALUES ('2013-01-01 05:00:00')")
    assert read(f"{url}?table=t", Ask(types={"at": UTC_TIME}))["at"].to_list() == [datetime(2013, 1, 1, 5, tzinfo=UTC)]
    shop("INSERT INTO t VALUES ('2013-01-01 05:00:00+02:00')")
    assert problem_of(f"{url}?table=t", Ask(types={"at": pl.Datetime("us")})).detail["row"] == 1


def test_a_stretch_of_text_is_read_as_the_dataset_has_it(shop: Shop) -> None:
    url = shop("CREATE TABLE t (at TEXT)", "INSERT INTO t VALUES ('2013-01-01 05:00:00'), ('2013-01-01 06:00:00'), (NULL)")
    within = Stretch("at", datetime(2013, 1, 1, 6, tzinfo=UTC))
    assert read(f"{url}?table=t", Ask(within=within, types={"at": UTC_TIME}))["at"].to_list() == ["2013-01-01 06:00:00", None]
    assert problem_of(f"{url}?table=t", Ask(within=within)).code == "column.invalid"


def test_names_are_taken_as_they_are(shop: Shop, tmp_path: Path) -> None:
    names = ["order", 'a"b', "a.b", "c%d%s", ":x", "Größe ✈", "?", "[x]", "it's", "rows", "NULL"]
    columns = ", ".join('"{}" INTEGER'.format(name.replace('"', '""')) for name in names)
    values = ", ".join(str(number) for number in range(len(names)))
    table = 'fl"ights. é%&:x'
    url = shop(f'CREATE TABLE "fl""ights. é%&:x" ({columns})', f'INSERT INTO "fl""ights. é%&:x" VALUES ({values})')
    named = quote('"' + table.replace('"', '""') + '"')
    for name in names:
        source = f"{url}?table={named}&watermark={quote(name)}"
        found, bookmark = read_on(source)
        assert found.to_dicts() == [dict(zip(names, range(len(names)), strict=True))]
        assert read(source, Ask(after=bookmark)).height == 1
    assert read(f"{url}?table=main.{named}").height == 1
    odd = tmp_path / "a?b#c d%.db"
    (tmp_path / "shop.db").rename(odd)
    assert read(f"sqlite:///{quote(str(odd))}?table={named}").height == 1


def test_a_query_is_read_with_the_types_of_its_values(shop: Shop) -> None:
    url = shop("CREATE TABLE t (id INTEGER, at DATETIME)", "INSERT INTO t VALUES (1, '2013-01-01'), (2, NULL)")
    query = "WITH few AS (SELECT * FROM t) SELECT id, id * 0.5 AS half, at, 'a:b;%25' AS x FROM few -- done"
    found = read(f"{url}?watermark=id&query={query}")
    assert found.schema == {"id": pl.Int64(), "half": pl.Float64(), "at": pl.String(), "x": pl.String()}
    assert found.rows() == [(1, 0.5, "2013-01-01", "a:b;%"), (2, 1.0, None, "a:b;%")]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a; DROP TABLE t",
        "SELECT 1 AS a) AS rows; DROP TABLE t; SELECT * FROM (SELECT 2 AS a",
        "DELETE FROM t RETURNING id",
        "PRAGMA query_only = 0",
        "ATTACH 'other.db' AS other",
        "nonsense",
        "SELECT nothing FROM t",
        "SELECT 1 AS a, 2 AS a",
        "SELECT id FROM missing",
    ],
)
def test_a_query_that_does_more_than_read_or_is_none_is_refused(shop: Shop, query: str, tmp_path: Path) -> None:
    url = shop("CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1)")
    assert problem_of(f"{url}?query={query}").code == "source.invalid"
    assert read(f"{url}?table=t").rows() == [(1,)]
    assert [file.name for file in tmp_path.iterdir()] == ["shop.db"]


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("INTEGER", ["-1", "0", "7"]),
        ("REAL", ["0.1", "0.30000000000000004", "9e999"]),
        ("TEXT", ["''", "'it''s'", "'é ✈'"]),
        ("DATETIME", ["'2013-01-01'", "'2013-01-01 00:00:00.000001'", "'2013-01-01 00:00:00.000002'"]),
    ],
)
def test_reading_on_takes_what_shares_the_last_watermark_and_what_is_beyond(
    shop: Shop, declared: str, values: list[str]
) -> None:
    first, second, third = values
    url = shop(f"CREATE TABLE t (id INTEGER, w {declared})") + "?table=t&watermark=w"
    assert read_on(url)[1] == ""
    shop(f"INSERT INTO t VALUES (2, {second}), (1, {first}), (0, NULL)")
    found, bookmark = read_on(url, Ask(columns=("id",)))
    assert found["id"].to_list() == [0, 1, 2]
    shop(f"INSERT INTO t VALUES (3, {second}), (4, {third}), (5, {first}), (6, NULL)")
    found, then = read_on(url, Ask(after=bookmark))
    assert sorted(found["id"].to_list()) == [2, 3, 4]
    found, last = read_on(url, Ask(after=then))
    assert (found["id"].to_list(), last) == ([4], then)


def test_a_bookmark_of_something_else_is_refused(shop: Shop) -> None:
    url = shop("CREATE TABLE t (id INTEGER, w INTEGER)", "CREATE TABLE u (w INTEGER)", "INSERT INTO t VALUES (1, 1)")
    _, bookmark = read_on(f"{url}?table=t&watermark=w")
    for other in ["table=u&watermark=w", "table=t&watermark=id", "query=SELECT w FROM t&watermark=w"]:
        assert problem_of(f"{url}?{other}", Ask(after=bookmark)).code == "source.conflict"


def test_a_reading_is_of_one_moment_though_others_write(shop: Shop) -> None:
    many = "WITH RECURSIVE n AS (SELECT 0 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 149999) SELECT x FROM n"
    url = shop("PRAGMA journal_mode = WAL", "CREATE TABLE t (v INTEGER)", f"INSERT INTO t {many}")
    with open_source(f"{url}?table=t").read(Ask()) as reading:
        frames = iter(reading.frames)
        found = [next(frames)]
        shop("DELETE FROM t", "INSERT INTO t VALUES (-1)")
        found += list(frames)
    assert len(found) > 1
    assert pl.concat(found)["v"].to_list() == list(range(150_000))
    assert read(f"{url}?table=t").rows() == [(-1,)]


def test_what_is_not_there_is_told(shop: Shop, tmp_path: Path) -> None:
    url = shop("CREATE TABLE flights (id INTEGER)", "CREATE VIEW delays AS SELECT 1 AS id")
    assert "flights" in problem_of(f"{url}?table=flihgts").why
    assert "delays" in problem_of(f"{url}?table=delay").why
    assert problem_of(f"{url}?table=other.flights").code == "source.missing"
    assert problem_of(f"sqlite:///{tmp_path}/nowhere.db?table=t").code == "source.missing"
    assert not (tmp_path / "nowhere.db").exists()
    assert problem_of(f"sqlite:///{tmp_path}?table=t").code == "source.missing"


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    told = problem_of(f"sqlite:///{tmp_path}/x.db?table=t")
    assert (told.code, "not a database" in told.why) == ("source.invalid", True)


def test_a_file_that_is_damaged_is_told(shop: Shop, tmp_path: Path) -> None:
    many = "WITH RECURSIVE n AS (SELECT 0 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 99999) SELECT x, hex(x) FROM n"
    url = shop("CREATE TABLE t (v INTEGER, w TEXT)", f"INSERT INTO t {many}")
    with (tmp_path / "shop.db").open("r+b") as file:
        file.seek(os.path.getsize(file.name) // 2)
        file.write(b"\xff" * 100_000)
    assert problem_of(f"{url}?table=t").code == "source.invalid"


def test_a_text_that_is_no_utf8_is_told(shop: Shop) -> None:
    url = shop("CREATE TABLE t (v TEXT)", "INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
    told = problem_of(f"{url}?table=t")
    assert (told.code, "'v'" in told.why) == ("source.invalid", True)


def test_a_database_that_is_held_by_a_writer_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("modelyard.adapters.databases.sqlite._WAIT_S", 0.0)
    url = shop("CREATE TABLE t (v TEXT)")
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert problem_of(f"{url}?table=t").code == "source.unavailable"
    assert read(f"{url}?table=t").height == 0


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///shop.db?table=t",
        "sqlite://?table=t",
        "sqlite://host/shop.db?table=t",
        "sqlite:////shop.db",
        "sqlite:////shop.db?table=t&query=SELECT 1",
        "sqlite:////shop.db?table=t&mode=rwc",
        "sqlite:////shop.db?table=t&secret=SHOP",
        "sqlite:////shop.db?table=a.b.c",
        "sqlite:////shop.db?table=a.",
        'sqlite:////shop.db?table=a"b',
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(Problem) as told:
        open_source(url)
    assert told.value.code == "source.invalid"
    assert told.value.next_step
