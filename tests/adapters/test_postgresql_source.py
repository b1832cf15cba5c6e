"""PostgreSQL as a source: its types and names, and what goes wrong with a real server."""

# ruff: noqa: S608 - the statements are the tests' own

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import polars as pl
import psycopg
import pytest
from psycopg import sql

from modelyard.adapters import open_source
from modelyard.core import Problem
from modelyard.data import Stretch
from modelyard.data.sources import Ask
from tests.services import Postgresql, running

PASSWORD = "pa ss@%/é"
LARGE = "query=SELECT x, repeat('y', 100) AS y FROM generate_series(1, 2000000) AS x"  # 200 MB: not all is on its way


def read(url: str, ask: Ask | None = None) -> pl.DataFrame:
    with open_source(url).read(ask or Ask()) as reading:
        return pl.concat(list(reading.frames))


def read_on(url: str, after: str = "") -> tuple[pl.DataFrame, str]:
    with open_source(url).read(Ask(after=after)) as reading:
        return pl.concat(list(reading.frames)), reading.bookmark


def problem_of(url: str, ask: Ask | None = None) -> Problem:
    with pytest.raises(Problem) as told:
        read(url, ask)
    return told.value


@pytest.fixture
def database(postgresql_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        yield connection


def make(database: psycopg.Connection, *statements: str) -> None:
    for statement in statements:
        database.execute(statement.encode())


ONE_OF_EACH = [
    ("bool", "true", pl.Boolean(), True),
    ("int2", "-32768", pl.Int16(), -32768),
    ("int4", "2147483647", pl.Int32(), 2147483647),
    ("int8", "9223372036854775807", pl.Int64(), 9223372036854775807),
    ("oid", "4294967295", pl.String(), "4294967295"),
    ("float4", "1.5", pl.Float32(), 1.5),
    ("float8", "'-Infinity'", pl.Float64(), float("-inf")),
    ("numeric(10, 2)", "12345678.9", pl.Decimal(10, 2), Decimal("12345678.90")),
    ("numeric(38, 38)", "0.00000000000000000000000000000000000001", pl.Decimal(38, 38), Decimal("1E-38")),
    ("numeric(5, -2)", "1234567", pl.String(), "1234600"),
    ("numeric(40, 2)", "1", pl.String(), "1.00"),
    ("numeric", "'NaN'", pl.String(), "NaN"),
    ("text", "'é ✈\n'", pl.String(), "é ✈\n"),
    ("varchar(5)", "'00501'", pl.String(), "00501"),
    ("char(3)", "'x'", pl.String(), "x  "),
    ("name", "'x'", pl.String(), "x"),
    ("bytea", "'\\x00ff'", pl.Binary(), b"\x00\xff"),
    ("date", "'0001-01-01'", pl.Date(), date(1, 1, 1)),
    ("timestamp", "'9999-12-31 23:59:59.999999'", pl.Datetime("us"), datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("timestamptz", "'2013-01-01 05:00:00.000001+02'", pl.Datetime("us", "UTC"), datetime(2013, 1, 1, 3, 0, 0, 1, UTC)),
    ("time", "'05:15'", pl.String(), "05:15:00"),
    ("timetz", "'05:15+02'", pl.String(), "05:15:00+02"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", pl.String(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", "'{\"a\" :1}'", pl.String(), '{"a" :1}'),
    ("jsonb", "'{\"a\" :1}'", pl.String(), '{"a": 1}'),
    ("mood", "'fine'", pl.String(), "fine"),
    ("int4range", "'[1,3)'", pl.String(), "[1,3)"),
    ("inet", "'10.0.0.1/8'", pl.String(), "10.0.0.1/8"),
    ("macaddr", "'08:00:2b:01:02:03'", pl.String(), "08:00:2b:01:02:03"),
    ("point", "'(1,2)'", pl.String(), "(1,2)"),
    ("bit(3)", "'101'", pl.String(), "101"),
    ("xml", "'<a/>'", pl.String(), "<a/>"),
    ("tsvector", "'a'", pl.String(), "'a'"),
    ("place", "ROW(1, 'x')", pl.String(), "(1,x)"),
    ("positive", "7", pl.Int32(), 7),
    ("price", "1.5", pl.Decimal(6, 2), Decimal("1.50")),
    ("int4[]", "'{1,NULL}'", pl.List(pl.Int32), [1, None]),
    ("text[]", "'{a,\"b,c\"}'", pl.List(pl.String), ["a", "b,c"]),
    ("date[]", "'{2013-01-01}'", pl.List(pl.Date), [date(2013, 1, 1)]),
    ("mood[]", "'{fine}'", pl.List(pl.String), ["fine"]),
    ("uuid[]", "'{}'", pl.List(pl.String), []),
    ("numeric(4, 1)[]", "'{1.5}'", pl.List(pl.String), ["1.5"]),
    ("int8", "NULL", pl.Int64(), None),
    ("jsonb[]", "NULL", pl.List(pl.String), None),
]


def test_each_type_comes_by_the_rule(postgresql_url: str, database: psycopg.Connection) -> None:
    columns = ", ".join(f'"c{n}" {type_}' for n, (type_, _, _, _) in enumerate(ONE_OF_EACH))
    make(
        database,
        "CREATE TYPE mood AS ENUM ('fine', 'sad')",
        "CREATE TYPE place AS (a int, b text)",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        "CREATE DOMAIN price AS numeric(6, 2)",
        f"CREATE TABLE each ({columns})",
        f"INSERT INTO each VALUES ({', '.join(value for _, value, _, _ in ONE_OF_EACH)})",
    )
    found = read(f"{postgresql_url}?table=each")
    assert found.dtypes == [dtype for _, _, dtype, _ in ONE_OF_EACH]
    assert list(found.row(0)) == [value for _, _, _, value in ONE_OF_EACH]
    make(database, "DELETE FROM each")
    assert read(f"{postgresql_url}?table=each").schema == found.schema


@pytest.mark.parametrize(("encoding", "text", "found"), [("LATIN1", "chr(233)", "é"), ("SQL_ASCII", "E'\\351'", None)])
def test_text_of_another_encoding_is_read_or_refused(
    postgresql_server: str, encoding: str, text: str, found: str | None
) -> None:
    name = f"test_{uuid4().hex}"
    url = f"{postgresql_server.rpartition('/')[0]}/{name}"
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        make(server, f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        try:
            with psycopg.connect(url, autocommit=True, client_encoding="LATIN1") as connection:
                make(connection, f"CREATE TABLE t AS SELECT {text} AS v")
            if found is None:
                assert problem_of(f"{url}?table=t").code == "source.invalid"
            else:
                assert read(f"{url}?table=t")["v"].to_list() == [found]
        finally:
            make(server, f"DROP DATABASE {name}")


def test_what_is_told_as_text_is_the_same_whatever_the_server_is_set_to(
    postgresql_url: str, database: psycopg.Connection
) -> None:
    name = urlsplit(postgresql_url).path[1:]
    settings = {"timezone": "Asia/Tokyo", "datestyle": "German", "bytea_output": "escape", "extra_float_digits": "-5"}
    make(database, *[f"ALTER DATABASE {name} SET {one} = '{value}'" for one, value in settings.items()])
    make(
        database,
        "CREATE TYPE pair AS (at timestamptz, b bytea)",
        "CREATE TABLE t (v pair, r daterange, p point)",
        "INSERT INTO t VALUES (ROW('2013-01-31 05:00+00', '\\x01'), '[2013-01-31,2013-02-01)', '(0.1,0.30000000000000004)')",
    )
    expected = ('("2013-01-31 05:00:00+00","\\\\x01")', "[2013-01-31,2013-02-01)", "(0.1,0.30000000000000004)")
    assert read(f"{postgresql_url}?table=t").row(0) == expected


def test_an_enum_that_is_called_like_a_number_is_text(postgresql_url: str, database: psycopg.Connection) -> None:
    make(database, "CREATE TYPE public.int4 AS ENUM ('x')", "CREATE TABLE t (a public.int4)", "INSERT INTO t VALUES ('x')")
    assert read(f"{postgresql_url}?table=t")["a"].to_list() == ["x"]


@pytest.mark.parametrize(
    ("type_", "value", "why"),
    [
        ("interval", "'1 month'", "month"),
        ("interval[]", "'{1 month}'", "month"),
        ("date", "'infinity'", "infinity"),
        ("date", "'-infinity'", "infinity"),
        ("date", "'10000-01-01'", "1 to 9999"),
        ("date[]", "'{2013-01-01,infinity}'", "infinity"),
        ("timestamp", "'infinity'", "infinity"),
        ("timestamptz", "'-infinity'", "infinity"),
        ("timestamp", "'0044-03-15 BC'", "1 to 9999"),
        ("timestamptz[]", "'{-infinity}'", "infinity"),
        ("numeric(10, 2)", "'NaN'", "nan"),
        ("int4[]", "'{{1,2},{3,4}}'", "dimensions"),
        ("uuid[]", "'{{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}}'", "dimensions"),
    ],
)
def test_a_value_that_has_no_place_is_told_with_its_column_and_row(
    postgresql_url: str, database: psycopg.Connection, type_: str, value: str, why: str
) -> None:
    make(database, f"CREATE TABLE t (id int, odd {type_})", f"INSERT INTO t VALUES (1, NULL), (2, {value})")
    told = problem_of(f"{postgresql_url}?table=t")
    assert told.code == "source.invalid"
    assert told.detail["column"] == "odd"
    assert told.detail["row"] == (None if "interval" in type_ else 1)
    assert why in told.why.lower()
    assert "query=" in told.next_step
    assert read(f"{postgresql_url}?table=t", Ask(columns=("id",)))["id"].to_list() == [1, 2]


NAMES = ["order", 'a"b', "a.b", "c%d%s", "e{f}", "Größe ✈", " lead", "a;b", "it's", "$1", "?", ":x", "c0", "rows", "NULL"]


def test_names_are_taken_as_they_are(postgresql_url: str, database: psycopg.Connection) -> None:
    schema, table = 'My."Schema', 'fl"ights. é%&'
    columns = sql.SQL(", ").join(sql.SQL("{} int").format(sql.Identifier(name)) for name in NAMES)
    database.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    where = sql.Identifier(schema, table)
    database.execute(sql.SQL("CREATE TABLE {} ({})").format(where, columns))
    row = sql.SQL(", ").join(sql.Literal(number) for number in range(len(NAMES)))
    database.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(where, row))
    named = ".".join('"' + name.replace('"', '""') + '"' for name in (schema, table))
    expected = dict(zip(NAMES, range(len(NAMES)), strict=True))
    url = f"{postgresql_url}?table={quote(named)}"
    assert read(url).to_dicts() == [expected]
    for name in NAMES:
        found, bookmark = read_on(f"{url}&watermark={quote(name)}")
        assert found.to_dicts() == [expected]
        assert read_on(f"{url}&watermark={quote(name)}", bookmark)[0].to_dicts() == [expected]


def test_1500_columns_are_read_arrays_among_them(postgresql_url: str, database: psycopg.Connection) -> None:
    columns = ", ".join(f"c{n} {'int[]' if n % 3 else 'numeric(4, 2)'}" for n in range(1500))
    make(database, f"CREATE TABLE wide ({columns})", "INSERT INTO wide (c0, c1, c1499) VALUES (1, '{1}', '{2}')")
    found = read(f"{postgresql_url}?table=wide")
    assert found.width == 1500
    assert found.select("c0", "c1", "c1499").row(0) == (Decimal(1), [1], [2])


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_a_view_is_read_like_a_table(postgresql_url: str, database: psycopg.Connection, kind: str) -> None:
    make(database, f"CREATE {kind} v AS SELECT x AS id FROM generate_series(1, 3) AS x")
    assert read(f"{postgresql_url}?table=v")["id"].to_list() == [1, 2, 3]


def test_a_query_is_read_with_its_types(postgresql_url: str, database: psycopg.Connection) -> None:
    make(database, "CREATE TABLE t (id int, price numeric(6, 2))", "INSERT INTO t VALUES (1, 1.5), (2, 2.5), (3, NULL)")
    query = "WITH few AS (SELECT * FROM t WHERE id + 0 < 3) SELECT id, price, 'a:b;%25' AS \"x;y\" FROM few -- done"
    found = read(f"{postgresql_url}?watermark=id&query={query}")
    assert found.schema == {"id": pl.Int32(), "price": pl.Decimal(6, 2), "x;y": pl.String()}
    assert found.rows() == [(1, Decimal("1.50"), "a:b;%"), (2, Decimal("2.50"), "a:b;%")]
    assert read(f"{postgresql_url}?query=SELECT 1 AS one; ;").rows() == [(1,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a; DROP TABLE t",
        "SELECT 1 AS a) AS rows; DROP TABLE t; SELECT * FROM (SELECT 2 AS a",
        "SELECT 1 AS a) AS rows; COMMIT; DROP TABLE t; --",
        "DELETE FROM t RETURNING id",
        "WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone",
        "SELECT nextval('s')",
        "SELECT set_config('transaction_read_only', 'off', false), nextval('s')",
        "SELECT 1 AS a INTO copied",
        "COPY t TO STDOUT",
        "SELECT id FROM t FOR UPDATE",
        "nonsense",
        "SELECT nothing FROM t",
        "SELECT 1 / (id - 1) FROM t",
        "SELECT 1 AS a, 2 AS a",
    ],
)
def test_a_query_that_does_more_than_read_or_is_none_is_refused(
    postgresql_url: str, database: psycopg.Connection, query: str
) -> None:
    make(database, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)", "CREATE SEQUENCE s")
    told = problem_of(f"{postgresql_url}?query={query}")
    assert told.code == "source.invalid"
    assert database.execute("SELECT id FROM t").fetchall() == [(1,)]
    assert database.execute("SELECT is_called FROM s").fetchone() == (False,)
    assert database.execute("SELECT to_regclass('copied')").fetchone() == (None,)


@pytest.mark.parametrize(("type_", "zoned"), [("date", False), ("timestamp", False), ("timestamptz", True)])
def test_a_time_without_a_zone_is_taken_for_utc(
    postgresql_url: str, database: psycopg.Connection, type_: str, zoned: bool
) -> None:
    make(
        database,
        "SET timezone = 'UTC'",
        f"CREATE TABLE t (id int, at {type_})",
        "INSERT INTO t SELECT n, '2013-01-01'::timestamp + n * interval '1 day' FROM generate_series(0, 9) AS n",
        "INSERT INTO t VALUES (10, NULL)",
        f"ALTER DATABASE {urlsplit(postgresql_url).path[1:]} SET timezone = 'Asia/Tokyo'",
    )
    cet = datetime(2013, 1, 3, 1, tzinfo=UTC).astimezone()
    found = read(f"{postgresql_url}?table=t", Ask(within=Stretch("at", cet, datetime(2013, 1, 6, tzinfo=UTC))))
    assert sorted(found["id"].to_list()) == [3, 4, 10]
    assert found.schema["at"] == (pl.Date() if type_ == "date" else pl.Datetime("us", "UTC" if zoned else None))


def test_a_stretch_of_a_column_without_times_is_refused(postgresql_url: str, database: psycopg.Connection) -> None:
    make(database, "CREATE TABLE t (id int)")
    assert problem_of(f"{postgresql_url}?table=t", Ask(within=Stretch("id"))).code == "column.invalid"
    assert problem_of(f"{postgresql_url}?table=t", Ask(within=Stretch("at"))).code == "column.missing"


# Reading on


WATERMARKS = [
    ("int4", ["-1", "0", "7"]),
    ("numeric", ["0.1", "0.30000000000000000000000000000000000000000000001", "1e40"]),
    ("numeric(10, 2)", ["-0.01", "0.00", "0.01"]),
    ("float4", ["0.1", "0.2", "'Infinity'"]),
    ("float8", ["0.1", "0.30000000000000004", "'NaN'"]),
    ("text", ["''", "'it''s \\'", "'é ✈\n'"]),
    ("uuid", [f"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1{n}'" for n in range(3)]),
    ("date", ["'2013-01-01'", "'2013-01-02'", "'9999-12-31'"]),
    ("timestamp", ["'2013-01-01'", "'2013-01-01 00:00:00.000001'", "'2013-01-01 00:00:00.000002'"]),
    ("timestamptz", ["'2013-01-01+00'", "'2013-01-01 00:00:00.000001+00'", "'2013-01-01 00:00:00.000002+00'"]),
]


@pytest.mark.parametrize(("type_", "values"), WATERMARKS)
def test_reading_on_takes_what_shares_the_last_watermark_and_what_is_beyond(
    postgresql_url: str, database: psycopg.Connection, type_: str, values: list[str]
) -> None:
    first, second, third = values
    url = f"{postgresql_url}?table=t&watermark=w"
    make(database, f"CREATE TABLE t (id int, w {type_})")
    assert read_on(url)[1] == ""
    make(database, f"INSERT INTO t VALUES (2, {second}), (1, {first}), (0, NULL)")
    found, bookmark = read_on(url)
    assert sorted(found["id"].to_list()) == [0, 1, 2]
    make(database, f"INSERT INTO t VALUES (3, {second}), (4, {third}), (5, {first}), (6, NULL)")
    found, then = read_on(url, bookmark)
    assert sorted(found["id"].to_list()) == [2, 3, 4]
    found, last = read_on(url, then)
    assert found["id"].to_list() == [4]
    assert last == then
    make(database, "DELETE FROM t")
    assert read_on(url, last)[1] == last


def test_a_bookmark_is_found_though_the_watermark_is_not_asked_for(postgresql_url: str, database: psycopg.Connection) -> None:
    make(database, "CREATE TABLE t (id int, w int)", "INSERT INTO t VALUES (1, 2), (2, 1)")
    with open_source(f"{postgresql_url}?table=t&watermark=w").read(Ask(columns=("id",))) as reading:
        assert [frame.rows() for frame in reading.frames] == [[(2,), (1,)]]
    assert '"2"' in reading.bookmark


def test_the_order_is_that_of_the_watermark_whatever_it_is_called(postgresql_url: str, database: psycopg.Connection) -> None:
    make(database, "CREATE TABLE t (c1 int, c0 int)", "INSERT INTO t VALUES (2, 1), (1, 2), (3, 0)")
    found, _ = read_on(f"{postgresql_url}?table=t&watermark=c0")
    assert found["c0"].to_list() == [0, 1, 2]


def test_a_bookmark_of_something_else_is_refused(postgresql_url: str, database: psycopg.Connection) -> None:
    make(database, "CREATE TABLE t (id int, w int, v text)", "CREATE TABLE u (w int)", "INSERT INTO t VALUES (1, 1, 'x')")
    _, bookmark = read_on(f"{postgresql_url}?table=t&watermark=w")
    others = ["table=u&watermark=w", "table=t&watermark=id", "query=SELECT w FROM t&watermark=w", "table=public.t&watermark=w"]
    for other in others:
        told = problem_of(f"{postgresql_url}?{other}", Ask(after=bookmark))
        assert (told.code, bool(told.next_step)) == ("source.conflict", True)
    make(database, "ALTER TABLE t ALTER w TYPE int8")
    assert read(f"{postgresql_url}?table=t&watermark=w", Ask(after=bookmark)).height == 1
    make(database, "ALTER TABLE t ALTER w TYPE text")
    told = problem_of(f"{postgresql_url}?table=t&watermark=w", Ask(after=bookmark))
    assert (told.code, "text" in told.why) == ("source.conflict", True)


@pytest.mark.parametrize("bookmark", ["x", "{}", '{"rows":"","column":"w","kind":"integer","value":"1"}', "0"])
def test_a_bookmark_that_is_none_is_refused(postgresql_url: str, database: psycopg.Connection, bookmark: str) -> None:
    make(database, "CREATE TABLE t (w int)")
    assert problem_of(f"{postgresql_url}?table=t&watermark=w", Ask(after=bookmark)).code == "source.conflict"


@pytest.mark.parametrize(("type_", "code"), [("jsonb", "source.invalid"), ("bool", "source.invalid")])
def test_a_watermark_without_an_order_is_refused(
    postgresql_url: str, database: psycopg.Connection, type_: str, code: str
) -> None:
    make(database, f"CREATE TABLE t (w {type_})")
    assert problem_of(f"{postgresql_url}?table=t&watermark=w").code == code
    assert problem_of(f"{postgresql_url}?table=t&watermark=v").code == "column.missing"


def test_a_reading_is_of_one_moment(postgresql_url: str, database: psycopg.Connection) -> None:
    make(
        database,
        "CREATE TABLE t (id int, v text)",
        "INSERT INTO t SELECT n, repeat('y', 100) FROM generate_series(1, 300000) AS n",
    )
    with open_source(f"{postgresql_url}?table=t&watermark=id").read(Ask()) as reading:
        frames = iter(reading.frames)
        found = [next(frames)]
        make(database, "DELETE FROM t WHERE id > 10", "INSERT INTO t VALUES (300001, 'new')")
        found += list(frames)
    assert len(found) > 1  # in batches of bounded size
    assert pl.concat(found)["id"].to_list() == list(range(1, 300_001))
    after, _ = read_on(f"{postgresql_url}?table=t&watermark=id", reading.bookmark)
    assert after["id"].to_list() == [300_001]


# What goes wrong


def test_a_table_that_is_not_there_is_told_with_the_nearest(postgresql_url: str, database: psycopg.Connection) -> None:
    make(database, "CREATE SCHEMA shop", "CREATE TABLE shop.flights (id int)", 'CREATE TABLE "Planes" (id int)')
    for wanted, near in [
        ("shop.flihgts", "shop.flights"),
        ("flights", "shop.flights"),
        ("planes", "Planes"),
        ("shp.flights", "shop"),
    ]:
        told = problem_of(f"{postgresql_url}?table={wanted}")
        assert told.code == "source.missing"
        assert near in told.why
    assert problem_of(f"{postgresql_url}?query=SELECT * FROM nothing").code == "source.missing"


def test_a_database_that_is_not_there_is_told(postgresql_server: str) -> None:
    assert problem_of(f"{postgresql_server.rpartition('/')[0]}/nowhere?table=t").code == "source.missing"


def test_a_user_without_the_right_is_told(postgresql_url: str, database: psycopg.Connection) -> None:
    name = urlsplit(postgresql_url).path[1:]
    make(database, "CREATE TABLE t (id int)", f"CREATE ROLE reader_{name} LOGIN")
    try:
        told = problem_of(postgresql_url.replace("postgres@", f"reader_{name}@") + "?table=t")
        assert told.code == "source.forbidden"
        assert "GRANT" in told.next_step
        assert problem_of(postgresql_url.replace("postgres@", "nobody@") + "?table=t").code == "source.forbidden"
    finally:
        make(database, f"DROP ROLE reader_{name}")


def test_a_server_that_is_away_is_told() -> None:
    told = problem_of("postgresql://ann@127.0.0.1:1/shop?table=t")
    assert told.code == "source.unavailable"
    assert "127.0.0.1:1" in told.what


def test_a_connection_that_is_lost_in_mid_reading_is_told(postgresql_url: str, database: psycopg.Connection) -> None:
    with pytest.raises(Problem) as told, open_source(f"{postgresql_url}?{LARGE}").read(Ask()) as reading:
        frames = iter(reading.frames)
        next(frames)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'modelyard' AND datname = %s"
        assert database.execute(ended, (urlsplit(postgresql_url).path[1:],)).fetchall() == [(True,)]
        for _ in frames:
            pass
    assert told.value.code == "source.unavailable"
    assert reading.bookmark == ""


def test_a_row_that_fails_late_is_told_and_is_no_lost_connection(postgresql_url: str) -> None:
    told = problem_of(f"{postgresql_url}?query=SELECT 1 / (x - 900000) AS y FROM generate_series(1, 1000000) AS x")
    assert (told.code, "division by zero" in told.why) == ("source.invalid", True)


def test_a_reading_that_was_left_leaves_nothing_at_the_server(postgresql_url: str, database: psycopg.Connection) -> None:
    with open_source(f"{postgresql_url}?{LARGE}").read(Ask()) as reading:
        frames = iter(reading.frames)
        next(frames)
    with pytest.raises(RuntimeError, match="inside its context"):
        next(frames)
    left = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'modelyard' AND datname = %s"
    assert all(gone for (gone,) in database.execute(left, (urlsplit(postgresql_url).path[1:],)))


@pytest.fixture
def guarded(postgresql_server: str) -> Iterator[tuple[Postgresql, str]]:
    """Give a server that asks for a password, and its URL without one."""
    del postgresql_server  # where that is, this one can be started
    server = Postgresql(PASSWORD)
    with running([server]) as told:
        yield server, told[server.variable]


def test_a_password_comes_from_the_environment_and_is_never_told(
    guarded: tuple[Postgresql, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, url = guarded
    server = urlsplit(url)
    query = "query=SELECT current_user::text AS me"
    monkeypatch.setenv("PGPASSWORD", PASSWORD)  # is for any server, so it is not used
    assert problem_of(f"{url}?{query}").code == "source.forbidden"
    assert problem_of(f"{url}?{query}&secret=SHOP").code == "secret.missing"
    monkeypatch.setenv(
        "MODELYARD_SECRET_SHOP", f"postgresql://postgres:{quote(PASSWORD, safe='')}@{server.hostname}:{server.port}"
    )
    assert read(f"{url}?{query}&secret=SHOP").rows() == [("postgres",)]
    assert problem_of(f"postgresql://127.0.0.1:1/postgres?{query}&secret=SHOP").code == "secret.refused"
    monkeypatch.setenv("MODELYARD_SECRET_SHOP", f"postgresql://postgres:hidden@{server.hostname}:{server.port}")
    told = problem_of(f"{url}?{query}&secret=SHOP")
    assert told.code == "source.forbidden"
    assert "hidden" not in f"{told} {told.detail} {told.__cause__!r} {told.__context__!r}"
    pgpass = tmp_path / "pgpass"
    pgpass.write_text(f"{server.hostname}:{server.port}:*:postgres:{PASSWORD}\n")
    pgpass.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(pgpass))
    assert read(f"{url}?{query}").rows() == [("postgres",)]


def test_a_server_that_stops_in_mid_reading_is_told(guarded: tuple[Postgresql, str], monkeypatch: pytest.MonkeyPatch) -> None:
    server, url = guarded
    at = urlsplit(url)
    monkeypatch.setenv("MODELYARD_SECRET_SHOP", f"postgresql://postgres:{quote(PASSWORD, safe='')}@{at.hostname}:{at.port}")
    with pytest.raises(Problem) as told, open_source(f"{url}?secret=SHOP&{LARGE}").read(Ask()) as reading:
        frames = iter(reading.frames)
        next(frames)
        server.stop()
        for _ in frames:
            pass
    assert told.value.code == "source.unavailable"
    assert problem_of(f"{url}?secret=SHOP&{LARGE}").code == "source.unavailable"


def test_no_pyarrow_is_needed(postgresql_url: str, database: psycopg.Connection) -> None:
    make(database, "CREATE TABLE t (a int, b numeric(4, 1)[], c timestamptz)", "INSERT INTO t VALUES (1, '{1.5}', now())")
    code = """
import sys
sys.modules["pyarrow"] = None
from modelyard.adapters import open_source
from modelyard.data.sources import Ask
with open_source(sys.argv[1]).read(Ask()) as reading:
    print([frame.height for frame in reading.frames])
"""
    command = [sys.executable, "-c", code, f"{postgresql_url}?table=t"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[1]\n"


@pytest.mark.parametrize(
    "option",
    [
        "host=evil.example",
        "hostaddr=192.0.2.1",
        "service=x",
        "passfile=/etc/passwd",
        "dbname=x",
        "user=x",
        "sslkeylogfile=/tmp/x",
    ],
)
def test_an_option_that_leads_elsewhere_is_refused(option: str) -> None:
    with pytest.raises(Problem) as told:
        open_source(f"postgresql://ann@db.example/shop?table=t&{option}")
    assert told.value.code == "source.invalid"


def test_what_the_driver_may_be_told_is_told(postgresql_url: str) -> None:
    found = read(f"{postgresql_url}?options=-c%20search_path%3Dshop&query=SELECT current_setting('search_path') AS path")
    assert found.rows() == [("shop",)]
    assert problem_of(f"{postgresql_url}?sslmode=require&table=t").code == "source.unavailable"
