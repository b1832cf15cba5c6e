"""PostgreSQL as a source, by ADBC: rows come as Arrow, by a COPY of one read-only snapshot, in batches of bounded size.

`postgresql://user@host:5432/db?table=public.flights&watermark=updated_at`; see `Address` for what a URL says. Options of libpq
that are no secret and name no other server may stand in it, such as `sslmode=verify-full`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final, LiteralString
from urllib.parse import quote, urlencode

import adbc_driver_postgresql
import polars as pl
from adbc_driver_manager import AdbcConnection, AdbcStatement, Error
from arro3.core import RecordBatchReader, Schema
from psycopg import sql

from modelyard.adapters.databases.address import Address, invalid, refuse_options
from modelyard.adapters.databases.bookmark import KINDS_STEP, Bookmark
from modelyard.adapters.databases.postgresql_errors import PORT, problem_of, refused, said_of, unavailable
from modelyard.adapters.databases.postgresql_types import PgColumn, folded, refuse_folded, time_literal
from modelyard.adapters.databases.reading import DatabaseReading, Watermarked
from modelyard.core import Problem, nearest
from modelyard.data.schema import column_missing
from modelyard.data.sources import Ask, Reading, moment

_FREE: Final = frozenset({
    "application_name", "channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_count", "keepalives_idle",
    "keepalives_interval", "krbsrvname", "options", "require_auth", "ssl_min_protocol_version", "sslcert", "sslcrl", "sslkey",
    "sslmode", "sslnegotiation", "sslrootcert", "target_session_attrs", "tcp_user_timeout",
})  # fmt: skip
# A server that is gone without a word is noticed within a minute.
_PATIENCE: Final = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
_BEGIN: Final = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
# What is cast to text is the same wherever it is read, and can be read again.
_SETTINGS: Final = (
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO'",
    "SET LOCAL intervalstyle = 'iso_8601'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
)
_ROWS: Final = "rows"
_BATCH_BYTES: Final = 16 << 20
_TABLES: Final = """
SELECT n.nspname::text AS schema, c.relname::text AS name, pg_table_is_visible(c.oid) AS visible
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
LIMIT 10000"""


class PostgresqlSource(Watermarked):
    """A table, a view or a query of a PostgreSQL database.

    Raises
    ------
    Problem
        `source.invalid` for a URL that names no rows, holds a password, or an option that is not free.
    """

    def __init__(self, url: str) -> None:
        address = Address.parse(url)
        if address.url.scheme != "postgresql" or len(address.url.servers) != 1 or not address.url.path:
            step = "begin it as postgresql://USER@HOST:5432/DATABASE"
            raise invalid(address.told, "it names no database of one server", step)
        refused = [name for name in address.options if name not in _FREE]
        refuse_options(address, refused, "is no option that is free", f"there is {', '.join(sorted(_FREE))}")
        super().__init__(address)

    @contextmanager
    def read(self, ask: Ask) -> Iterator[Reading]:
        """Read one snapshot of the rows, in the order of the watermark if there is one."""
        with _Session(self._address, self._uri()) as session:
            known = session.columns()
            statement = _Select(self._address, known, ask)
            yield DatabaseReading(self._address, statement.rows(session.batches(statement.text)), ask.after)

    def _uri(self) -> str:
        """Return what libpq connects by. PGPASSWORD, which goes to any server, is kept out by a password that is empty."""
        address = self._address
        who = address.credentials(PORT)
        login = {"user": who.user, "password": who.password} if who else {"password": ""}
        if who is None and address.url.user:
            login["user"] = address.url.user
        theirs = {"application_name": "modelyard", **_PATIENCE, **address.options, **(who.options if who else {})}
        options = {**theirs, **login, "client_encoding": "UTF8"}  # Arrow's text is; the driver does not look
        [server] = address.url.servers
        return f"postgresql://{server}/{quote(address.url.path, safe='')}?{urlencode(options, quote_via=quote)}"


class _Session:
    """A connection in a read-only transaction, and what is open in it."""

    def __init__(self, address: Address, uri: str) -> None:
        self._address = address
        self._uri = uri
        self._open = ExitStack()
        self._reader: RecordBatchReader | None = None

    def __enter__(self) -> "_Session":
        with ExitStack() as opening:
            try:
                database = opening.enter_context(adbc_driver_postgresql.connect(self._uri))
                self._connection = opening.enter_context(AdbcConnection(database))
            except Error as error:
                raise refused(error, self._address) from None  # its text may be more than is for people
            with self._telling():
                for statement in (_BEGIN, *_SETTINGS):
                    self._run(statement)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._reader = None  # it goes before its statement
        self._open.close()

    def columns(self) -> list[PgColumn]:
        """Return the columns of the rows, without running their query."""
        with self._telling(), closing(self._statement(sql.SQL("SELECT * FROM {}").format(rows_of(self._address)))) as statement:
            schema = Schema.from_arrow(statement.execute_schema())
        return [PgColumn.of(schema.field(number)) for number in range(len(schema))]

    def batches(self, text: sql.Composable) -> Iterator[pl.DataFrame]:
        """Yield what a query gives."""
        with self._telling():
            statement = self._open.enter_context(self._statement(text))
            statement.set_options(**{adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value: _BATCH_BYTES})
            stream, _ = statement.execute_query()
        self._reader = RecordBatchReader.from_stream(stream)
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> pl.DataFrame | None:
        if self._reader is None:
            raise RuntimeError("the reading is at its end: take its frames inside its context")
        try:
            return pl.DataFrame(self._reader.read_next_batch())
        except StopIteration:
            return None
        except Exception as error:  # arro3 has no other type for what the server said
            said = said_of(str(error))
            if not self._answers() or "canceling statement" in said:
                raise unavailable(self._address, said) from error
            raise invalid(self._address.told, said, "mend the values, or leave the row out with query=") from error

    def _answers(self) -> bool:
        try:
            self._run("SELECT 1")
        except Error as error:
            return bool(error.sqlstate)  # the transaction is over, says a server that is there
        return True

    def _statement(self, text: sql.Composable) -> AdbcStatement:
        statement = AdbcStatement(self._connection)
        statement.set_sql_query(text.as_string())
        return statement

    def _run(self, text: LiteralString) -> None:
        with closing(self._statement(sql.SQL(text))) as statement:
            statement.execute_update()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the server's errors in the house's words."""
        try:
            yield
        except Error as error:
            if error.sqlstate == "42P01" and self._address.table:
                raise self._no_table() from error
            raise problem_of(error, self._address) from error

    def _no_table(self) -> Problem:
        """Return the problem of a table that is not there, with the nearest names."""
        self._run("ROLLBACK")
        with closing(self._statement(sql.SQL(_TABLES))) as statement:
            stream, _ = statement.execute_query()
            rows = pl.DataFrame(RecordBatchReader.from_stream(stream).read_all()).rows()
        known = sorted({f"{schema}.{name}" for schema, name, _ in rows} | {name for _, name, visible in rows if visible})
        wanted = ".".join(self._address.table)
        near = nearest(wanted, known) or [one for one in known if one.casefold().endswith(wanted.casefold())][:3]
        why = f"did you mean {' or '.join(near)}?" if near else f"this user sees {', '.join(known[:10]) or 'no table'}"
        step = "write its name as it is, in the same upper and lower case"
        what = f"There is no table {wanted} in {self._address.url.place}"
        return Problem("source.missing", what, why, step, {"nearest": [*near]})


class _Select:
    """The one query of a reading: which columns, which rows, in which order."""

    def __init__(self, address: Address, known: list[PgColumn], ask: Ask) -> None:
        self._told = address.told
        by_name = _by_name(address, known)
        names = [column.name for column in known] if ask.columns is None else list(ask.columns)
        self._columns = [_found(by_name, name) for name in names]
        for column in self._columns:
            column.refuse_if_unreadable(self._told)
        self._mark = _watermark(address, by_name) if address.watermark else None
        read_also = [self._mark] if self._mark is not None and self._mark not in self._columns else []
        self._read = [*self._columns, *read_also]
        expressions = [*(column.read for column in self._read), folded(self._read)]
        read = [sql.SQL("{} AS {}").format(one, sql.Identifier(_alias(n))) for n, one in enumerate(expressions)]
        passes = [*_after(address, self._mark, ask.after), *_within(by_name, ask)]
        parts = [sql.SQL("SELECT"), sql.SQL(", ").join(read), sql.SQL("FROM"), rows_of(address)]
        parts += [sql.SQL("WHERE"), sql.SQL(" AND ").join(passes)] if passes else []
        # By the column's whole name: the name alone may be that of an expression.
        parts += [sql.SQL("ORDER BY {}").format(sql.Identifier(_ROWS, self._mark.name))] if self._mark else []
        self.text = sql.SQL(" ").join(parts)

    def rows(self, batches: Iterator[pl.DataFrame]) -> Iterator[tuple[pl.DataFrame, object]]:
        """Yield batches in the columns' types, each with the last watermark in it; an empty one where there is none."""
        row = 0
        for batch in batches:
            refuse_folded(self._told, self._read, batch[_alias(len(self._read))], row)
            typed = pl.DataFrame([self._typed(column, batch[_alias(n)], row) for n, column in enumerate(self._read)])
            mark = None if self._mark is None else self._mark.mark(typed[self._mark.name])
            yield typed.select([column.name for column in self._columns]), mark
            row += batch.height
        if row == 0:
            yield pl.DataFrame(schema={column.name: column.dtype for column in self._columns}), None

    def _typed(self, column: PgColumn, values: pl.Series, row: int) -> pl.Series:
        return column.typed(self._told, values, row).alias(column.name)


def rows_of(address: Address) -> sql.Composable:
    """Return what stands behind FROM."""
    if address.table:
        return sql.SQL("{} AS {}").format(sql.Identifier(*address.table), sql.Identifier(_ROWS))
    # The user's own SQL, in a transaction that only reads; the server takes one statement, and a comment ends with its line.
    return sql.SQL("({}\n) AS {}").format(sql.SQL(address.query), sql.Identifier(_ROWS))


def _alias(number: int) -> str:
    """Return the name that an expression has on the way: columns may have any."""
    return f"c{number}"


def _by_name(address: Address, known: list[PgColumn]) -> dict[str, PgColumn]:
    found: dict[str, PgColumn] = {}
    for column in known:
        if column.name in found:
            why = f"its query gives two columns '{column.name}'"
            raise invalid(address.told, why, f"name each one: … AS {column.name}_2")
        found[column.name] = column
    return found


def _found(known: dict[str, PgColumn], name: str) -> PgColumn:
    if name not in known:
        raise column_missing(name, list(known))
    return known[name]


def _watermark(address: Address, known: dict[str, PgColumn]) -> PgColumn:
    column = _found(known, address.watermark)
    if column.kind is None:
        why = f"its watermark '{column.name}' is of the type {column.type_name}"
        raise invalid(address.told, why, KINDS_STEP)
    return column


def _after(address: Address, mark: PgColumn | None, after: str) -> list[sql.Composable]:
    """Return the condition for rows at a bookmark and after it: what was committed later may share the value."""
    if mark is None or not after:
        return []
    bookmark = Bookmark.read(address, after).of_kind(address, mark.kind)
    return [sql.SQL("{} >= {}").format(sql.Identifier(mark.name), mark.literal(bookmark.value))]


def _within(known: dict[str, PgColumn], ask: Ask) -> list[sql.Composable]:
    """Return the condition for rows of the stretch, and for those without a time."""
    if ask.within is None:
        return []
    column = _found(known, ask.within.column)
    moment(column.name, column.dtype)  # raises where it holds no times
    name = sql.Identifier(column.name)
    ends: list[tuple[LiteralString, Any]] = [("{} >= {}", ask.within.since), ("{} < {}", ask.within.until)]
    tests = [sql.SQL(form).format(name, time_literal(column, end)) for form, end in ends if end is not None]
    return [sql.SQL("({} IS NULL OR ({}))").format(name, sql.SQL(" AND ").join(tests))] if tests else []
