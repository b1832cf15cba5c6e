"""Engines: one for each kind of database, with what each needs to be safe under many writers."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from modelyard.core import Problem

READ_ONLY = "modelyard_read_only"

# A writer waits this long for the others. Transactions last milliseconds, so only a fault makes anyone wait so long.
BUSY_TIMEOUT_S = 60
_KNOCK_MS = 8  # how long one try to begin waits

_SQLITE = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}",
    "PRAGMA foreign_keys = ON",
    # In WAL mode a killed process loses nothing; a power cut may lose the last moments, never the database's soundness.
    # FULL would sync the disk at each commit: about 5 ms each on common SSDs, for every heartbeat.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16000",  # KiB
)
_POSTGRESQL = (
    "SET TIME ZONE 'UTC'",
    f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'",
    # A process that stops in the middle of a transaction must not hold a project for ever.
    f"SET idle_in_transaction_session_timeout = '{2 * BUSY_TIMEOUT_S}s'",
)


def open_engine(url: str) -> Engine:
    """Return the engine of a metadata URL, `sqlite:////path/file` or `postgresql://user@host/name`; nothing is connected yet.

    Raises
    ------
    Problem
        `metadata.invalid` for a URL that names no database file or server.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _invalid(url, "it is not a URL") from error
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _open_postgresql(parsed)
    raise _invalid(url, "only SQLite and PostgreSQL keep metadata")


def told(engine: Engine) -> str:
    """Return how to name the database to people: without the password."""
    url = engine.url
    return f"The database {url.database}" if engine.dialect.name == "sqlite" else f"The database {url.render_as_string()}"


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise _invalid(str(url), "several processes share the metadata, so it is a file")
    folder = Path(url.database).parent
    if not folder.is_dir():
        what, why = f"There is no folder {folder}", "the database is to be made there"
        raise Problem("metadata.missing", what, why, f"mkdir -p {folder}")
    engine = sa.create_engine(url.set(drivername="sqlite"), pool_size=10, max_overflow=40)
    # Python's own handling of transactions would begin them late and without IMMEDIATE.
    _at_connect(engine, _SQLITE, lambda connection: setattr(connection, "isolation_level", None))
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    """Begin at once as a writer, unless told that the transaction only reads.

    A reader that turns writer fails at once when another wrote in between, however long it would have waited; and a use case
    reads what it then decides on. So whatever may write queues before its first read, and never sees a state about to change.
    """
    if connection.get_execution_options().get(READ_ONLY):
        connection.exec_driver_sql("BEGIN")
        return
    # SQLite waits in longer and longer sleeps, so a newcomer overtakes whoever has waited long. Begun anew, it stays awake.
    driver: Any = connection.connection.driver_connection
    last_knock = monotonic() + BUSY_TIMEOUT_S
    driver.execute(f"PRAGMA busy_timeout = {_KNOCK_MS}")
    while _is_busy(driver) and monotonic() < last_knock:
        pass
    driver.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises as every other statement does


def _is_busy(driver: sqlite3.Connection) -> bool:
    """Begin, and return whether another writer has to end first; any other error is left to the caller to meet."""
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorname == "SQLITE_BUSY"
    return False


def _open_postgresql(url: URL) -> Engine:
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=10,
        max_overflow=40,
        pool_pre_ping=True,  # a restarted server is met by a new connection, not by an error
        isolation_level="READ COMMITTED",
        connect_args={"connect_timeout": 10, "application_name": "modelyard"},
    )
    _at_connect(engine, _POSTGRESQL, lambda connection: None)
    return engine


def _at_connect(engine: Engine, statements: tuple[str, ...], prepare: Callable[[Any], None]) -> None:
    def connected(connection: Any, record: object) -> None:
        prepare(connection)
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    sa.event.listen(engine, "connect", connected)


def _invalid(url: str, why: str) -> Problem:
    form = "sqlite:////path/metadata.sqlite or postgresql://user@host:5432/name"
    return Problem("metadata.invalid", f"'{url}' names no metadata database", why, f"MODELYARD_METADATA={form}")
