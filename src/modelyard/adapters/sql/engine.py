"""Engines: one for each kind of database, with what each needs to be safe under many writers."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from modelyard.core import Problem

READ_ONLY = "modelyard_read_only"

# A writer waits this long for the others. Transactions last milliseconds, so only a fault makes anyone wait so long.
BUSY_TIMEOUT_S = 60.0
_STANDSTILL_S = 120  # a process that stands still in the middle of a transaction must not hold a project for ever
_KNOCK_MS = 8  # how long one try to begin waits
_POOL_SIZE = 10
_MAX_OVERFLOW = 40  # the control plane answers forty requests at once


def open_engine(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Return the engine of a metadata URL, `sqlite:////path/file` or `postgresql://user@host/name`; nothing is connected yet.

    Raises
    ------
    Problem
        `metadata.invalid` for a URL that names no database file or server, `metadata.missing` for a file in a folder that is
        not there, `adapter.unavailable` when the driver is not installed.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _invalid(url.partition("://")[0], "it is not a URL") from error
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return _open_sqlite(parsed, busy_timeout_s)
    if kind == "postgresql":
        return _open_postgresql(parsed, busy_timeout_s)
    raise _invalid(parsed.render_as_string(), "only SQLite and PostgreSQL keep metadata")


def told(engine: Engine) -> str:
    """Return how to name the database to people: without the password."""
    url = engine.url
    return f"The database {url.database if engine.dialect.name == 'sqlite' else url.render_as_string()}"


def _open_sqlite(url: URL, busy_timeout_s: float) -> Engine:
    if not url.database or url.database == ":memory:":
        raise _invalid(url.render_as_string(), "several processes share the metadata, so it is a file")
    folder = Path(url.database).parent
    if not folder.is_dir():
        what, why = f"There is no folder {folder}", "the database is to be made there"
        raise Problem("metadata.missing", what, why, f"mkdir -p {folder}")
    engine = sa.create_engine(url.set(drivername="sqlite"), pool_size=_POOL_SIZE, max_overflow=_MAX_OVERFLOW)
    settings = (
        f"PRAGMA busy_timeout = {busy_timeout_s * 1000:.0f}",
        "PRAGMA foreign_keys = ON",
        # In WAL mode a killed process loses nothing; a power cut may lose the last moments, never the database's soundness.
        # FULL would sync the disk at each commit: milliseconds for every heartbeat.
        "PRAGMA synchronous = NORMAL",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA cache_size = -16000",  # KiB
    )
    # Python's own handling of transactions would begin them late and without IMMEDIATE.
    sa.event.listen(engine, "connect", partial(_connected, settings, lambda driver: setattr(driver, "isolation_level", None)))
    sa.event.listen(engine, "begin", partial(_begin_sqlite, busy_timeout_s))
    return engine


def _begin_sqlite(busy_timeout_s: float, connection: Connection) -> None:
    """Begin at once as a writer, unless told that the transaction only reads.

    A reader that turns writer fails at once when another wrote in between, however long it would have waited; and a use case
    reads what it then decides on. So whatever may write queues before its first read, and never sees a state about to change.
    """
    if connection.get_execution_options().get(READ_ONLY):
        connection.exec_driver_sql("BEGIN")
        return
    # SQLite waits in longer and longer sleeps, so a newcomer overtakes whoever has waited long. Begun anew, it stays awake.
    driver: Any = connection.connection.driver_connection
    last_knock = monotonic() + busy_timeout_s
    driver.execute(f"PRAGMA busy_timeout = {_KNOCK_MS}")
    while _is_busy(driver) and monotonic() < last_knock:
        pass
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises as every other statement does
    driver.execute(f"PRAGMA busy_timeout = {busy_timeout_s * 1000:.0f}")


def _is_busy(driver: sqlite3.Connection) -> bool:
    """Begin, and return whether another writer has to end first; any other error is left to the caller to meet."""
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorname == "SQLITE_BUSY"
    return False


def _open_postgresql(url: URL, busy_timeout_s: float) -> Engine:
    try:
        engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=_POOL_SIZE,
            max_overflow=_MAX_OVERFLOW,
            pool_pre_ping=True,  # a restarted server is met by a new connection, not by an error
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": 10, "application_name": "modelyard"},
        )
    except ModuleNotFoundError as error:
        what, step = f"The metadata database 'postgresql' needs the package {error.name}", "pip install 'modelyard[postgresql]'"
        raise Problem("adapter.unavailable", what, "it is not installed", step) from error
    settings = (
        "SET TIME ZONE 'UTC'",
        f"SET lock_timeout = '{busy_timeout_s * 1000:.0f}ms'",
        f"SET idle_in_transaction_session_timeout = '{_STANDSTILL_S}s'",
    )
    sa.event.listen(engine, "connect", partial(_connected, settings, lambda driver: None))
    return engine


def _connected(settings: Sequence[str], prepare: Callable[[Any], None], driver: Any, record: object) -> None:
    """Set up a new connection."""
    prepare(driver)
    cursor = driver.cursor()
    for setting in settings:
        cursor.execute(setting)
    cursor.close()
    driver.commit()


def _invalid(url: str, why: str) -> Problem:
    form = "sqlite:////path/metadata.sqlite or postgresql://user@host:5432/name"
    return Problem("metadata.invalid", f"'{url}' names no metadata database", why, f"MODELYARD_METADATA={form}")
