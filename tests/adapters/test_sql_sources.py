"""SQL databases as sources: PostgreSQL and SQLite, for real, with what goes wrong there."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import psycopg
import pytest
from psycopg import sql

from modelyard.adapters import open_source
from modelyard.adapters.databases import dialects
from modelyard.adapters.databases.dialects import DialectSource
from modelyard.data.sources import Source
from modelyard.testing.source import SourceContract

PG_TYPES = "id int8, at timestamptz, origin text, delay float8, late bool, day date"


class PostgresqlBench:
    """A table of its own in a database of its own."""

    def __init__(self, url: str, options: str = "", opened: Callable[[str], Source] = open_source) -> None:
        self._url, self._opened = url, opened
        self.connection = psycopg.connect(url, autocommit=True)
        self.source = opened(f"{url}?table=flights{options}")

    def fill(self, rows: pl.DataFrame) -> None:
        self.empty()
        with self.connection.cursor().copy("COPY flights FROM STDIN") as copy:
            for row in rows.rows():
                copy.write_row(row)

    def empty(self) -> None:
        self.connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS flights ({})").format(sql.SQL(PG_TYPES)))

    def elsewhere(self) -> Source:
        return self._opened(f"{self._url}?table=flihgts")


class TestPostgresql(SourceContract):
    @pytest.fixture
    def bench(self, postgresql_url: str) -> Iterator[PostgresqlBench]:
        bench = PostgresqlBench(postgresql_url)
        with bench.connection:
            yield bench


class TestPostgresqlWithAWatermark(SourceContract):
    @pytest.fixture
    def bench(self, postgresql_url: str) -> Iterator[PostgresqlBench]:
        bench = PostgresqlBench(postgresql_url, "&watermark=at")
        with bench.connection:
            yield bench


def by_dialect(url: str) -> Source:
    """Return a source by SQLAlchemy: the server that is here stands for those that are not."""
    return DialectSource(url.replace("postgresql://", "postgresql+psycopg://"))


class TestDialect(SourceContract):
    @pytest.fixture
    def bench(self, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresqlBench]:
        monkeypatch.setitem(dialects.PORTS, "postgresql", 5432)
        bench = PostgresqlBench(postgresql_url, opened=by_dialect)
        with bench.connection:
            yield bench


class TestDialectWithAWatermark(SourceContract):
    @pytest.fixture
    def bench(self, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresqlBench]:
        monkeypatch.setitem(dialects.PORTS, "postgresql", 5432)
        bench = PostgresqlBench(postgresql_url, "&watermark=at", by_dialect)
        with bench.connection:
            yield bench


class SqliteBench:
    """A table in a file of its own. Times are text, as SQLite keeps them."""

    def __init__(self, folder: Path, options: str = "") -> None:
        self._file = folder / "shop é?.db"
        self._url = f"sqlite:///{str(self._file).replace('?', '%3F')}"
        self.source: Source = open_source(f"{self._url}?table=flights{options}")
        self._execute("CREATE TABLE weather (id INTEGER)")

    def fill(self, rows: pl.DataFrame) -> None:
        self.empty()
        texts = rows.with_columns(pl.col("at").dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00:00"), pl.col("day").cast(pl.String))
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.executemany("INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?)", texts.rows())

    def empty(self) -> None:
        self._execute(
            "CREATE TABLE IF NOT EXISTS flights (id INTEGER, at TEXT, origin TEXT, delay REAL, late BOOLEAN, day DATE)"
        )

    def elsewhere(self) -> Source:
        return open_source(f"{self._url}?table=flihgts")

    def _execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.execute(statement)


class TestSqlite(SourceContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> SqliteBench:
        return SqliteBench(tmp_path)


class TestSqliteWithAWatermark(SourceContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> SqliteBench:
        return SqliteBench(tmp_path, "&watermark=at")
