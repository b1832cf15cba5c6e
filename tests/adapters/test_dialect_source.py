"""SQLAlchemy's dialects as sources: their types and faults, on the server that is here, PostgreSQL by psycopg."""

# ruff: noqa: S608 - the statements are the tests' own

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest

from modelyard.adapters.databases import dialects
from modelyard.adapters.databases.dialects import DialectSource
from modelyard.core import Problem
from modelyard.data import Stretch
from modelyard.data.sources import Ask

Shop = Callable[..., str]


@pytest.fixture
def shop(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Give what runs statements and returns the URL of the database."""
    monkeypatch.setitem(dialects.PORTS, "postgresql", 5432)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:

        def run(*statements: str) -> str:
            for statement in statements:
                connection.execute(statement.encode())
            return postgresql_url.replace("postgresql://", "postgresql+psycopg://")

        yield run


def read_on(url: str, ask: Ask | None = None) -> tuple[pl.DataFrame, str]:
    with DialectSource(url).read(ask or Ask()) as reading:
        return pl.concat(list(reading.frames)), reading.bookmark


def problem_of(url: str, ask: Ask | None = None) -> Problem:
    with pytest.raises(Problem) as told:
        read_on(url, ask)
    return told.value


@pytest.mark.parametrize(
    ("declared", "value", "dtype", "expected"),
    [
        ("boolean", "true", pl.Boolean(), True),
        ("smallint", "-1", pl.Int64(), -1),
        ("bigint", "9223372036854775807", pl.Int64(), 9223372036854775807),
        ("real", "1.5", pl.Float64(), 1.5),
        ("double precision", "0.1", pl.Float64(), 0.1),
        ("numeric(10, 2)", "1.5", pl.Decimal(10, 2), Decimal("1.50")),
        ("text", "'é'", pl.String(), "é"),
        ("char(3)", "'x'", pl.String(), "x  "),
        ("bytea", "'\\x00ff'", pl.Binary(), b"\x00\xff"),
        ("date", "'2013-01-31'", pl.Date(), date(2013, 1, 31)),
        ("timestamp", "'2013-01-31 05:00:00.000001'", pl.Datetime("us"), datetime(2013, 1, 31, 5, 0, 0, 1)),
        ("timestamptz", "'2013-01-31 05:00+02'", pl.Datetime("us", "UTC"), datetime(2013, 1, 31, 3, tzinfo=UTC)),
        ("time", "'05:15'", pl.String(), "05:15:00"),
        ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", pl.String(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("mood", "'fine'", pl.String(), "fine"),
        ("int", "NULL", pl.Int64(), None),
    ],
)
def test_each_type_comes_by_the_rule(shop: Shop, declared: str, value: str, dtype: pl.DataType, expected: object) -> None:
    kind = "CREATE TYPE mood AS ENUM ('fine')"
    url = shop(kind, f"CREATE TABLE t (v {declared})", f"INSERT INTO t VALUES ({value})") + "?table=t"
    found, _ = read_on(url)
    assert (found["v"].dtype, found["v"].to_list()) == (dtype, [expected])
    shop("DELETE FROM t")
    assert read_on(url)[0].schema == found.schema


@pytest.mark.parametrize("declared", ["interval", "int[]", "numeric"])
def test_a_type_that_has_no_rule_is_told_if_it_is_asked_for(shop: Shop, declared: str) -> None:
    url = shop(f"CREATE TABLE t (id int, v {declared})", "INSERT INTO t VALUES (1)") + "?table=t"
    told = problem_of(url)
    assert (told.code, "'v'" in told.why, "view" in told.next_step) == ("source.invalid", True, True)
    assert read_on(url, Ask(columns=("id",)))[0].rows() == [(1,)]


@pytest.mark.parametrize("declared", ["date", "timestamp", "timestamptz"])
def test_a_stretch_is_cut_exactly(shop: Shop, declared: str) -> None:
    url = shop(
        f"ALTER DATABASE {urlsplit(shop()).path[1:]} SET timezone = 'Asia/Tokyo'",
        "SET timezone = 'UTC'",
        f"CREATE TABLE t (id int, at {declared})",
        "INSERT INTO t SELECT n, '2013-01-01'::timestamp + n * interval '1 day' FROM generate_series(0, 9) AS n",
        "INSERT INTO t VALUES (10, NULL)",
    )
    within = Stretch("at", datetime(2013, 1, 3, 0, 0, 0, 1, tzinfo=UTC), datetime(2013, 1, 6, tzinfo=UTC))
    assert sorted(read_on(f"{url}?table=t", Ask(within=within))[0]["id"]) == [3, 4, 10]


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("int", ["-1", "0", "7"]),
        ("numeric(10, 2)", ["-0.01", "0.00", "0.01"]),
        ("double precision", ["0.1", "0.30000000000000004", "1e300"]),
        ("text", ["''", "'it''s \\'", "'é ✈'"]),
        ("uuid", [f"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1{n}'" for n in range(3)]),
        ("date", ["'2013-01-01'", "'2013-01-02'", "'9999-12-31'"]),
        ("timestamp", ["'2013-01-01'", "'2013-01-01 00:00:00.000001'", "'2013-01-01 00:00:00.000002'"]),
        ("timestamptz", ["'2013-01-01+00'", "'2013-01-01 00:00:00.000001+00'", "'2013-01-01 00:00:00.000002+00'"]),
    ],
)
def test_reading_on_takes_what_shares_the_last_watermark_and_what_is_beyond(
    shop: Shop, declared: str, values: list[str]
) -> None:
    first, second, third = values
    url = shop(f"CREATE TABLE t (id int, w {declared})") + "?table=t&watermark=w"
    assert read_on(url)[1] == ""
    shop(f"INSERT INTO t VALUES (2, {second}), (1, {first}), (0, NULL)")
    found, bookmark = read_on(url, Ask(columns=("id",)))
    assert sorted(found["id"]) == [0, 1, 2]
    shop(f"INSERT INTO t VALUES (3, {second}), (4, {third}), (5, {first}), (6, NULL)")
    found, _ = read_on(url, Ask(after=bookmark))
    assert sorted(found["id"]) == [2, 3, 4]
    shop("ALTER TABLE t DROP w", "ALTER TABLE t ADD w boolean")
    assert problem_of(url, Ask(after=bookmark)).code == "source.invalid"


def test_a_bookmark_of_another_type_is_refused(shop: Shop) -> None:
    url = shop("CREATE TABLE t (w int)", "INSERT INTO t VALUES (1)") + "?table=t&watermark=w"
    _, bookmark = read_on(url)
    shop("ALTER TABLE t ALTER w TYPE text")
    assert problem_of(url, Ask(after=bookmark)).code == "source.conflict"


def test_what_is_not_there_or_not_given_is_told(shop: Shop) -> None:
    url = shop("CREATE TABLE flights (id int)")
    assert "flights" in problem_of(f"{url}?table=flihgts").why
    assert "public" in problem_of(f"{url}?table=pubilc.flights").why
    assert problem_of("postgresql+psycopg://ann@127.0.0.1:1/shop?table=t").code == "source.unavailable"
    name = urlsplit(url).path[1:]
    shop(f"CREATE ROLE reader_{name} LOGIN")
    try:
        assert problem_of(url.replace("postgres@", f"reader_{name}@") + "?table=flights").code == "source.forbidden"
    finally:
        shop(f"DROP ROLE reader_{name}")


def test_a_connection_that_is_lost_in_mid_reading_is_told(shop: Shop) -> None:
    many = "INSERT INTO t SELECT n, repeat('y', 100) FROM generate_series(1, 200000) AS n"
    url = shop("CREATE TABLE t (id int, v text)", many)
    with pytest.raises(Problem) as told, DialectSource(f"{url}?table=t").read(Ask()) as reading:
        frames = iter(reading.frames)
        next(frames)
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        shop(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        for _ in frames:
            pass
    assert told.value.code == "source.unavailable"
