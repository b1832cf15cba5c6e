"""The online store in one file, `sqlite:////path/online.db`: any number of processes of one host share it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock, local
from typing import Final

from modelyard.core import Problem, ProjectId
from modelyard.core.json import canonical_json
from modelyard.core.servers import ServerUrl
from modelyard.data.features.online import (
    KEPT,
    Entity,
    FeatureRow,
    Published,
    moment_of,
    not_published,
    packed,
    store_away,
    ticks_of,
    unpacked,
)

_WAIT_S: Final = 5.0  # for another process that writes
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS feature_table (
    project TEXT, name TEXT, number INTEGER NOT NULL, newest INTEGER, PRIMARY KEY (project, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feature_row (
    project TEXT, name TEXT, entity TEXT, at INTEGER, number INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (project, name, entity, at)
) WITHOUT ROWID;
"""
_PUT: Final = """
INSERT INTO feature_row VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (project, name, entity, at)
DO UPDATE SET number = excluded.number, content = excluded.content WHERE excluded.number >= number
"""
_PRUNE: Final = f"""
DELETE FROM feature_row WHERE project = ?1 AND name = ?2 AND entity = ?3 AND at < (
    SELECT at FROM feature_row WHERE project = ?1 AND name = ?2 AND entity = ?3 ORDER BY at DESC LIMIT 1 OFFSET {KEPT - 1}
)
"""  # noqa: S608 - a number of ours
_PUBLISH: Final = """
INSERT INTO feature_table VALUES (?, ?, ?, ?) ON CONFLICT (project, name)
DO UPDATE SET number = excluded.number, newest = excluded.newest WHERE excluded.number >= number
"""
# CROSS JOIN keeps the order of the two: with a plain one the table was read whole, once a batch (34 ms in place of 19 µs).
GET: Final = """
SELECT wanted.key, row.entity, row.at, row.content
FROM json_each(?3) AS wanted CROSS JOIN feature_row AS row
ON row.project = ?1 AND row.name = ?2 AND row.entity = wanted.value ->> 0 AND row.at = (
    SELECT max(at) FROM feature_row WHERE project = ?1 AND name = ?2 AND entity = wanted.value ->> 0 AND at < wanted.value ->> 1
)
"""


class SqliteOnline:
    """`modelyard.data.features.online.OnlineStore` in a SQLite file; the file is made by the first row that is put."""

    def __init__(self, url: str) -> None:
        try:
            parsed = ServerUrl.parse(url)
        except ValueError as error:
            raise _invalid(str(error)) from error
        if parsed.servers or not parsed.path.startswith("/") or parsed.options:
            raise _invalid("it is no file's whole path")
        self._path = Path(parsed.path)
        self._mine = local()
        self._lock = Lock()
        self._opened: list[sqlite3.Connection] = []

    def put(self, project: ProjectId, table: str, rows: Sequence[FeatureRow], *, number: int) -> None:
        """Keep rows; see the port."""
        entities = dict.fromkeys(row.entity for row in rows)
        with self._writing() as connection:
            told = ((project, table, row.entity, ticks_of(row.at), number, packed(row.values)) for row in rows)
            connection.executemany(_PUT, told)
            connection.executemany(_PRUNE, ((project, table, entity) for entity in entities))

    def forget(self, project: ProjectId, table: str, *, before: int) -> None:
        """Drop the rows that came with earlier versions."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM feature_row WHERE project = ? AND name = ? AND number < ?", (project, table, before)
            )

    def publish(self, project: ProjectId, table: str, published: Published) -> None:
        """Say that all rows of a version are there."""
        newest = None if published.newest is None else ticks_of(published.newest)
        with self._writing() as connection:
            connection.execute(_PUBLISH, (project, table, published.number, newest))

    def published(self, project: ProjectId) -> Mapping[str, Published]:
        """Return the tables that can be looked up, by name."""
        if not self._path.exists():
            return {}
        with self._telling():
            rows = self._connection().execute("SELECT name, number, newest FROM feature_table WHERE project = ?", (project,))
            return {name: Published(number, None if at is None else moment_of(at)) for name, number, at in rows.fetchall()}

    def get(self, project: ProjectId, table: str, wanted: Sequence[tuple[Entity, datetime]]) -> list[FeatureRow | None]:
        """Return each entity's last row strictly before a moment; see the port."""
        if not self._path.exists():
            raise not_published(table)
        with self._telling():
            connection = self._connection()
            known = connection.execute("SELECT 1 FROM feature_table WHERE project = ? AND name = ?", (project, table))
            if known.fetchone() is None:
                raise not_published(table)
            asked = canonical_json([[entity, ticks_of(before)] for entity, before in wanted])
            found: list[FeatureRow | None] = [None] * len(wanted)
            for place, entity, at, content in connection.execute(GET, (project, table, asked)):
                found[place] = FeatureRow(entity, moment_of(at), unpacked(content))
            return found

    def close(self) -> None:
        """Close the file in every thread that had it open."""
        with self._lock:
            opened, self._opened = self._opened, []
        for connection in opened:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if found is None:
            found = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            found.execute("PRAGMA journal_mode = WAL")
            found.execute("PRAGMA synchronous = NORMAL")
            found.executescript(_TABLES)
            self._mine.connection = found
            with self._lock:
                self._opened.append(found)
        return found

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._telling():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise store_away(error) from error


def _invalid(why: str) -> Problem:
    return Problem("online.invalid", "The online store cannot be opened", why, "MODELYARD_ONLINE=sqlite:////path/online.db")
