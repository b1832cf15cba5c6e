"""Column types that mean the same on both engines, and the database's own clock."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from modelyard.core import Json, from_text, to_text

# Byte order on both engines, whatever the locale of a PostgreSQL server: ids and names page in one order everywhere.
WORD = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER may count itself up on SQLite


class Instant(TypeDecorator[datetime]):
    """An aware UTC time: `timestamptz` on PostgreSQL, text that sorts as the times do on SQLite."""

    impl = sa.Text
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """The type of a value."""
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the engine's own type."""
        return dialect.type_descriptor(sa.DateTime(timezone=True) if dialect.name == "postgresql" else sa.Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return what the driver takes. A time without an offset is a fault of the caller, never guessed at."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no offset from UTC")
        return value.astimezone(UTC) if dialect.name == "postgresql" else to_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the aware time."""
        if value is None:
            return None
        return from_text(value) if isinstance(value, str) else value.astimezone(UTC)


class JsonText(TypeDecorator[Json]):
    """A JSON value as text, in the order it was given. NaN and infinity pass: a diverged loss is a fact to keep."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Json, dialect: Dialect) -> str | None:
        """Return the text."""
        return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=True, default=_plain)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Json:
        """Return the value."""
        return None if value is None else json.loads(value)


def _plain(value: object) -> Json:
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class database_now(FunctionElement[float]):
    """The database's clock, in seconds since 1970: leases go by it, so that no worker's clock matters."""

    type = sa.Double()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(element: database_now, compiler: SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


class database_instant(FunctionElement[datetime]):
    """The same as a time, in the form of an `Instant`."""

    type = Instant()
    inherit_cache = True


@compiles(database_instant, "sqlite")
def _sqlite_instant(element: database_instant, compiler: SQLCompiler, **options: Any) -> str:
    return "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"


@compiles(database_instant, "postgresql")
def _postgresql_instant(element: database_instant, compiler: SQLCompiler, **options: Any) -> str:
    return "clock_timestamp()"


@compiles(database_now, "postgresql")
def _postgresql_now(element: database_now, compiler: SQLCompiler, **options: Any) -> str:
    return "extract(epoch FROM clock_timestamp())::double precision"
