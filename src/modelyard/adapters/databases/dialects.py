"""Other databases as sources, by SQLAlchemy and a driver that the user installs: `mysql+pymysql://user@host/db?table=flights`.

Tables and views only: what a query may do, and which types it gives, is told by no two databases alike. A view says the same.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import YEAR
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, NoSuchModuleError, NoSuchTableError, OperationalError
from sqlalchemy.pool import NullPool

from modelyard.adapters.databases.address import Address, invalid, refuse_options
from modelyard.adapters.databases.bookmark import KINDS_STEP, Bookmark
from modelyard.adapters.databases.reading import DatabaseReading, Watermarked
from modelyard.adapters.databases.selecting import Batches, Selected, Statement, needed, no_table
from modelyard.adapters.databases.values import ValueColumn, column_of, datetimes, integers, texts
from modelyard.core import Problem, first_line
from modelyard.core.servers import host_and_port
from modelyard.data.sources import Ask, Reading
from modelyard.data.store import Stretch

PORTS: Final[dict[str, int]] = {"mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
_DRIVERS: Final = {"mysql": "pymysql", "mariadb": "pymysql", "mssql": "pymssql", "oracle": "oracledb"}
_MYSQL: Final = ("mysql", "mariadb")
# The level at which all of a reading is of one state; SQL Server has one only where its administrator allows it.
_ONE_STATE: Final = {"mysql": "REPEATABLE READ", "mariadb": "REPEATABLE READ", "oracle": "SERIALIZABLE"}
# Options by which drivers go to other servers, read files of this machine, load code or write.
_NOT_FREE: Final = frozenset({
    "auth_plugin_map", "autocommit", "client_flag", "conn", "database", "db", "defer_connect", "dsn", "driver", "events",
    "host", "hostaddr", "init_command", "local_infile", "odbc_connect", "passwd", "password", "plugin", "plugin_dir",
    "port", "read_default_file", "read_default_group", "server", "unix_socket", "user", "username",
})  # fmt: skip
_KINDS: Final = {"Int64": "integer", "Float64": "float", "Decimal": "decimal", "Date": "date", "Datetime": "datetime"}
_FORBIDDEN: Final = ("denied", "login failed", "invalid username")
_MISSING: Final = ("unknown database", "cannot open database")


class DialectSource(Watermarked):
    """A table or a view of a database that SQLAlchemy has a dialect for.

    Raises
    ------
    Problem
        `source.invalid` for a URL that names no table of one server, holds a password, or an option that is not free;
        `adapter.unavailable` where the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        address = Address.parse(url)
        kind = address.url.scheme.partition("+")[0]
        if len(address.url.servers) != 1 or kind not in PORTS:
            raise invalid(address.told, "it names no database of one server", f"begin it as {kind}+DRIVER://USER@HOST/DATABASE")
        if address.query:
            raise invalid(address.told, f"queries are not read from {kind}", "make a view of it, and name that: table=VIEW")
        refused = [name for name in address.options if name.casefold() in _NOT_FREE or address.secret]
        step = "put it behind the URL that the secret holds" if address.secret else "leave it out"
        refuse_options(address, refused, "is no option that is free here", step)
        super().__init__(address)
        self._kind = kind
        self._engine()

    @contextmanager
    def read(self, ask: Ask) -> Iterator[Reading]:
        """Read one state of the table, in the order of the watermark if there is one."""
        address = self._address
        engine = self._engine(*self._login())
        with ExitStack() as stack:
            with _telling(address):
                connection = stack.enter_context(engine.connect())
                if self._kind in _MYSQL:
                    connection.exec_driver_sql("SET SESSION time_zone = '+00:00'")
                    connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
                    connection.rollback()  # the next one begins so
                chosen, statement = _chosen(connection, address, ask)
            batches = stack.enter_context(closing(_told(chosen.rows(connection, statement), address)))
            yield DatabaseReading(address, batches, ask.after)

    def _login(self) -> tuple[str, str | None, dict[str, str]]:
        address = self._address
        who = address.credentials(PORTS[self._kind])
        if who is None:
            return address.url.user, None, address.options
        return who.user, who.password, dict(who.options)

    def _engine(self, user: str = "", password: str | None = None, options: dict[str, str] | None = None) -> Engine:
        url = self._address.url
        host, port = host_and_port(url.servers[0])
        level = {"isolation_level": _ONE_STATE[self._kind]} if self._kind in _ONE_STATE else {}
        try:
            named = URL.create(url.scheme, user or None, password, host, port, url.path or None, options or {})
            return sa.create_engine(named, poolclass=NullPool, **level)
        except ModuleNotFoundError as error:
            driver = _DRIVERS[self._kind]
            what, step = (
                f"{self._kind} needs the package {error.name}",
                f"pip install {driver}, and write {self._kind}+{driver}://",
            )
            raise Problem("adapter.unavailable", what, "it is not installed", step, {"package": error.name}) from error
        except NoSuchModuleError as error:
            step = f"begin it as {self._kind}+{_DRIVERS[self._kind]}://"
            raise invalid(self._address.told, "SQLAlchemy knows no such driver", step) from error


def _chosen(connection: Connection, address: Address, ask: Ask) -> tuple[Selected, Statement]:
    """Return the columns with their types, and the query for them."""
    schema = address.table[0] if address.table[1:] else None
    try:
        table = sa.Table(address.table[-1], sa.MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
    except NoSuchTableError:
        raise no_table(address, connection, schema) from None
    known = {column.name: column for column in table.columns}
    wanted, names = needed(list(known), ask, address.watermark)
    columns = [_column(connection, address, known[name]) for name in names]
    passes = _within(known, ask.within)
    if address.watermark:
        passes += _after(address, known[address.watermark], columns[names.index(address.watermark)], ask.after)
    statement = sa.select(*[_expression(known[name]) for name in names]).where(*passes)
    statement = statement.order_by(known[address.watermark]) if address.watermark else statement
    return Selected(address, columns, wanted, ask), statement


def _expression(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return what gives a column's values: JSON, enums and the like as the text that they are, floats as floats."""
    if _is_text(column.type):
        return sa.type_coerce(column, sa.String()).label(column.name)
    return sa.type_coerce(column, sa.Double()).label(column.name) if isinstance(column.type, sa.Float) else column


def _is_text(type_: sa.types.TypeEngine[Any]) -> bool:
    return isinstance(type_, sa.String | sa.JSON)


def _column(connection: Connection, address: Address, column: sa.Column[Any]) -> ValueColumn:
    type_ = column.type
    if _is_text(type_):
        return texts(column.name)
    if isinstance(type_, sa.Uuid | sa.Time):
        return texts(column.name, UUID, time)
    if isinstance(type_, sa.DateTime):
        # MySQL's TIMESTAMP is a moment, told in the session's zone; its DATETIME is none.
        moments = connection.dialect.name in _MYSQL and isinstance(type_, sa.TIMESTAMP)
        return datetimes(column.name, zoned=moments or bool(type_.timezone))
    known = integers(column.name) if isinstance(type_, YEAR) else column_of(column.name, type_)
    if known is None:
        why = f"its column '{column.name}' is of the type {type(type_).__name__}"
        raise invalid(address.told, why, "make a view that casts it, and name that: table=VIEW")
    return known


def _after(address: Address, column: sa.Column[Any], typed: ValueColumn, after: str) -> list[sa.ColumnElement[bool]]:
    kind = _KINDS.get(type(typed.dtype).__name__, "uuid" if isinstance(column.type, sa.Uuid) else "text")
    if typed.dtype.is_nested() or type(typed.dtype).__name__ in {"Boolean", "Binary"}:
        raise invalid(address.told, f"its watermark '{column.name}' is of the type {typed.dtype}", KINDS_STEP)
    return [column >= Bookmark.read(address, after).of_kind(address, kind).known()] if after else []


def _within(known: dict[str, sa.Column[Any]], within: Stretch | None) -> list[sa.ColumnElement[bool]]:
    """Return a condition that no row of the stretch fails: the database's times may be coarser. The frames are cut exactly."""
    if within is None or not isinstance(known[within.column].type, sa.Date | sa.DateTime):
        return []
    column = known[within.column]
    tests = []
    if within.since is not None:
        tests.append(column >= _bound(column, within.since - timedelta(seconds=1)))
    if within.until is not None:
        tests.append(column <= _bound(column, within.until + timedelta(seconds=1)))
    return [sa.or_(column.is_(None), sa.and_(*tests))] if tests else []


def _bound(column: sa.Column[Any], moment: datetime) -> object:
    moment = moment.astimezone(UTC)
    if isinstance(column.type, sa.Date):
        return moment.date()
    return moment if isinstance(column.type, sa.DateTime) and column.type.timezone else moment.replace(tzinfo=None)


def _told(rows: Batches, address: Address) -> Batches:
    with _telling(address):
        yield from rows


@contextmanager
def _telling(address: Address) -> Iterator[None]:
    """Tell the driver's errors in the house's words. What drivers say has no common form but its words."""
    try:
        yield
    except DBAPIError as error:
        said = first_line(ValueError(error.orig))
        if any(word in said.casefold() for word in _FORBIDDEN):
            step = "let the user read it, or name the server's secret for it (secret=NAME)"
            raise Problem("source.forbidden", f"{address.told} is not given to us", said, step) from None
        if any(word in said.casefold() for word in _MISSING):
            raise Problem("source.missing", f"There is no database {address.url.place}", said, "look at the URL") from None
        if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
            step = "see that the server runs and can be reached, then do it again"
            raise Problem("source.unavailable", f"{address.url.place} does not answer", said, step) from error
        raise invalid(address.told, said, "see what the server says") from error
