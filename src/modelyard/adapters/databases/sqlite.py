"""SQLite as a source: `sqlite:////path/shop.db?table=flights`, read from one snapshot and without the right to write.

SQLite keeps a value in any column as what it was given. A declared type that leaves no doubt (INTEGER, REAL, TEXT, BLOB,
BOOLEAN, DECIMAL(10, 2), DATE, DATETIME) is kept to, and a value that does not fit it is told. Columns declared otherwise or not
at all, and those of a query, are what their values are, which a look at all of them finds.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.pool import NullPool

from modelyard.adapters.databases.address import Address, invalid, refuse_options
from modelyard.adapters.databases.bookmark import Bookmark
from modelyard.adapters.databases.reading import DatabaseReading, Watermarked
from modelyard.adapters.databases.selecting import Batches, Selected, Statement, needed, no_table
from modelyard.adapters.databases.values import ValueColumn, binaries, column_of, datetimes, floats, integers, texts
from modelyard.core import Problem, first_line
from modelyard.data.sources import Ask, Reading

_WAIT_S: Final = 60.0  # for a writer that is just committing
_OFFSETS: Final = ("*Z", "*:*[+-][0-9][0-9]:[0-9][0-9]", "*:*[+-][0-9][0-9][0-9][0-9]", "*:*[+-][0-9][0-9]")
_AWAY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_NOMEM", "SQLITE_FULL")
_FOUND: Final = {
    frozenset({"integer"}): integers,
    frozenset({"real"}): floats,
    frozenset({"integer", "real"}): floats,
    frozenset({"text"}): texts,
    frozenset({"blob"}): binaries,
    frozenset[str](): texts,
}


class SqliteSource(Watermarked):
    """A table, a view or a query of a SQLite database.

    Raises
    ------
    Problem
        `source.invalid` for a URL that names no rows, or no file by its whole path.
    """

    def __init__(self, url: str) -> None:
        address = Address.parse(url)
        if address.url.servers or not address.url.path.startswith("/") or address.secret or address.url.scheme != "sqlite":
            raise invalid(address.told, "it is no file's whole path", "begin it as sqlite:////path/shop.db: four slashes")
        refuse_options(address, list(address.options), "is no option of a SQLite source", "leave it out")
        super().__init__(address)

    @contextmanager
    def read(self, ask: Ask) -> Iterator[Reading]:
        """Read one snapshot of the rows, in the order of the watermark if there is one."""
        address = self._address
        with ExitStack() as stack:
            with _telling(address):
                connection = stack.enter_context(_connected(address))
                chosen, statement = _chosen(connection, address, ask)
            batches = stack.enter_context(closing(_told(chosen.rows(connection, statement), address)))
            yield DatabaseReading(address, batches, ask.after)


def _connected(address: Address) -> Connection:
    """Return a connection that may not write. Problem `source.missing` and `source.forbidden`, of the file."""
    path = Path(address.url.path)
    if not path.is_file():
        why = "there is no such file" if not path.exists() else "it is no file"
        raise Problem("source.missing", f"There is no database {path}", why, "look at the path")
    if not os.access(path, os.R_OK):
        raise Problem(
            "source.forbidden", f"The database {path} cannot be read", "the server's user may not", f"chmod +r {path}"
        )

    def connect() -> sqlite3.Connection:
        name = f"file:{quote(str(path))}?mode=ro"
        return sqlite3.connect(name, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)

    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool).connect()


def _chosen(connection: Connection, address: Address, ask: Ask) -> tuple[Selected, Statement]:
    """Return the columns with their types, and the query for them."""
    connection.exec_driver_sql("BEGIN")  # what is read from here on is one state
    rows, declared = _rows_of(address), _declared(connection, address)
    wanted, names = needed(list(declared), ask, address.watermark)
    passes = []
    if address.watermark and ask.after:
        passes.append(sa.column(address.watermark) >= Bookmark.read(address, ask.after).known())
    certain = {name: _certain(name, declared[name], ask.types.get(name)) for name in names}
    doubtful = [name for name, column in certain.items() if column is None]
    if doubtful:
        looks = [_offsets(name) if isinstance(declared[name], sa.DateTime) else _storage(name) for name in doubtful]
        [found] = connection.execute(sa.select(*looks).select_from(rows).where(*passes))
        certain |= {name: _found(name, declared[name], told, address) for name, told in zip(doubtful, found, strict=True)}
    statement: Statement = sa.select(*[sa.column(name) for name in names]).select_from(rows).where(*passes)
    if address.watermark:
        statement = statement.order_by(sa.column(address.watermark))
    return Selected(address, [column for column in certain.values() if column is not None], wanted, ask), statement


def _rows_of(address: Address) -> sa.FromClause | sa.TextClause:
    if address.table:
        return sa.table(address.table[-1], schema=address.table[0] if address.table[1:] else None)
    # The user's own SQL; the driver takes one statement, and a comment ends with its line.
    return sa.text(f"({address.query}\n)".replace(":", r"\:"))


def _declared(connection: Connection, address: Address) -> dict[str, object]:
    """Return the columns with their declared types."""
    if address.table:
        schema = address.table[0] if address.table[1:] else None
        look = sa.inspect(connection)
        if schema is not None and schema not in look.get_schema_names():
            raise no_table(address, connection, schema)
        try:
            found = look.get_columns(address.table[-1], schema)
        except NoSuchTableError:
            raise no_table(address, connection, schema) from None
        return {str(column["name"]): column["type"] for column in found}
    names = list(connection.execute(sa.select(sa.text("*")).select_from(_rows_of(address)).limit(0)).keys())
    for name in names:  # of two columns of one name SQLite calls the second `name:1`
        first, colon, number = name.rpartition(":")
        if colon and number.isdigit() and first in names:
            raise invalid(address.told, f"its query gives two columns '{first}'", f"name each one: … AS {first}_2")
    return dict.fromkeys(names)


def _certain(name: str, declared: object, known: pl.DataType | None) -> ValueColumn | None:
    """Return the column where its declared type leaves no doubt."""
    if isinstance(declared, sa.DateTime):
        return datetimes(name, zoned=known.time_zone is not None) if isinstance(known, pl.Datetime) else None
    return column_of(name, declared)


def _storage(name: str) -> sa.ColumnElement[Any]:
    """Return what tells as what SQLite keeps the values: `text,real`."""
    return sa.func.group_concat(sa.func.typeof(sa.column(name)).distinct())


def _offsets(name: str) -> sa.ColumnElement[Any]:
    """Return what tells whether any of the times has an offset: 1 or 0."""
    return sa.func.max(sa.or_(*[sa.column(name).op("GLOB")(pattern) for pattern in _OFFSETS]))


def _found(name: str, declared: object, told: Any, address: Address) -> ValueColumn:
    """Return the column in the type that a look found."""
    if isinstance(declared, sa.DateTime):
        return datetimes(name, zoned=bool(told))
    kinds = frozenset(str(told or "").split(",")) - {"null", ""}
    if kinds not in _FOUND:
        why = f"its column '{name}' holds {' and '.join(sorted(kinds))}"
        raise invalid(address.told, why, f"name the rows with query=, and CAST({name} AS …) there")
    return _FOUND[kinds](name)


def _told(rows: Batches, address: Address) -> Batches:
    with _telling(address):
        yield from rows


@contextmanager
def _telling(address: Address) -> Iterator[None]:
    """Tell SQLite's errors in the house's words."""
    try:
        yield
    except DBAPIError as error:
        name, said = str(getattr(error.orig, "sqlite_errorname", "")), first_line(ValueError(error.orig))
        if name.startswith(_AWAY):
            raise Problem("source.unavailable", f"{address.told} does not answer", said, "do it again in a moment") from error
        step = "mend the query" if address.query else "see that the file is a sound SQLite database"
        raise invalid(address.told, said, step) from error
