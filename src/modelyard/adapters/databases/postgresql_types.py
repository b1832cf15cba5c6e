"""How PostgreSQL's columns come: the expression that reads one, and its type here.

Numbers, text, truth values, bytes, dates and timestamps come as themselves, and arrays of them as lists. A numeric is a Decimal
where its column says precision and scale, else text. Everything else is the text that PostgreSQL writes for it: UUIDs, JSON,
enums, times of day, addresses, ranges, money and so on, and arrays of them lists of text. Intervals are refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import polars as pl
from arro3.core import DataType, Field
from psycopg import sql

from modelyard.core import Problem

_TYPE: Final = b"POSTGRESQL:type"
_MODIFIER: Final = b"POSTGRESQL:typmod"
_MOST_DIGITS: Final = 38

# By the name in pg_type, in the Arrow type that the driver gives for it; an enum of such a name has another one.
_NATIVE: Final[dict[str, tuple[DataType, pl.DataType]]] = {
    "bool": (DataType.bool(), pl.Boolean()),
    "int2": (DataType.int16(), pl.Int16()),
    "int4": (DataType.int32(), pl.Int32()),
    "int8": (DataType.int64(), pl.Int64()),
    "float4": (DataType.float32(), pl.Float32()),
    "float8": (DataType.float64(), pl.Float64()),
    "text": (DataType.utf8(), pl.String()),
    "varchar": (DataType.utf8(), pl.String()),
    "bpchar": (DataType.utf8(), pl.String()),
    "name": (DataType.utf8(), pl.String()),
    "bytea": (DataType.binary(), pl.Binary()),
    "date": (DataType.date32(), pl.Date()),
    "timestamp": (DataType.timestamp("us"), pl.Datetime("us")),
    "timestamptz": (DataType.timestamp("us", tz="UTC"), pl.Datetime("us", "UTC")),
}
# What a column's values are as a bookmark's, and how one is written in SQL. Numerics and UUIDs come as text.
_ORDERED: Final[dict[str, str]] = {
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "float4": "float",
    "float8": "float",
    "numeric": "decimal",
    "text": "text",
    "varchar": "text",
    "bpchar": "text",
    "name": "text",
    "uuid": "uuid",
    "date": "date",
    "timestamp": "datetime",
    "timestamptz": "datetime",
}


@dataclass(frozen=True)
class PgColumn:
    """A column of the rows."""

    name: str
    type_name: str  # as in pg_type: `int4`, `_int4`
    dtype: pl.DataType
    native: bool  # comes as itself, else as text

    @classmethod
    def of(cls, field: Field) -> "PgColumn":
        """Return the column that a field of the driver's schema tells of."""
        told = field.metadata
        type_name = told.get(_TYPE, b"").decode()
        inner = field.type.value_type
        if inner is not None:
            dtype, native = _simple(type_name.removeprefix("_"), inner, -1)
            return cls(field.name, type_name, pl.List(dtype), native)
        dtype, native = _simple(type_name, field.type, int(told.get(_MODIFIER, b"-1")))
        return cls(field.name, type_name, dtype, native)

    @property
    def kind(self) -> str | None:
        """What its values are as a bookmark's; None: they have no order to read on by."""
        return _ORDERED.get(self.type_name)

    @property
    def read(self) -> sql.Composable:
        """The expression that gives its values."""
        name = sql.Identifier(self.name)
        if self.native:
            return name
        return sql.SQL("{}::text[]" if isinstance(self.dtype, pl.List) else "{}::text").format(name)

    def mark(self, values: pl.Series) -> object:
        """Return the last value that is not null, in the type that a bookmark knows it by."""
        known = values.drop_nulls()
        if known.is_empty():
            return None
        last = known[-1]
        return {"uuid": UUID, "decimal": Decimal}.get(self.kind or "", lambda value: value)(last)

    def literal(self, text: str) -> sql.Composable:
        """Return a value of its type in SQL."""
        return sql.SQL("{}::{}").format(sql.Literal(text), sql.Identifier("pg_catalog", self.type_name))

    def refuse_if_unreadable(self, told: str) -> None:
        """Raise Problem `source.invalid` for an interval."""
        if self.type_name in {"interval", "_interval"}:
            step = f"name the rows with query=, and extract(epoch FROM {self.name}) AS {self.name} there"
            raise _invalid(told, self.name, "intervals have no length of their own: a month is no number of days", step)

    def typed(self, told: str, values: pl.Series, first_row: int) -> pl.Series:
        """Return values as they were read in the column's type. Problem `source.invalid` for one that has no place in it."""
        if isinstance(self.dtype, pl.Decimal):
            cast = values.cast(self.dtype, strict=False)
            lost = cast.is_null() & values.is_not_null()
            if lost.any():
                row = int(lost.arg_true()[0])
                why = f"'{values[row]}' is no decimal of {self.dtype.precision} digits"
                raise _invalid(told, self.name, why, "name the rows with query=, and NULLIF there", first_row + row)
            return cast
        for row in _beyond(values):
            why = "it holds 'infinity', or a year that is none of 1 to 9999"
            raise _invalid(told, self.name, why, "name the rows with query=, and NULLIF there", first_row + row)
        return values


def folded(columns: list[PgColumn]) -> sql.Composable:
    """Return the expression for the number of the first column whose array has several dimensions, else null.

    The driver gives the elements of all dimensions as one list.
    """
    arrays = [(number, column) for number, column in enumerate(columns) if isinstance(column.dtype, pl.List)]
    if not arrays:
        return sql.SQL("NULL::int4")
    case = sql.SQL("WHEN array_ndims({}) > 1 THEN {}")
    each = [case.format(sql.Identifier(column.name), number) for number, column in arrays]
    return sql.SQL("CASE {} END").format(sql.SQL(" ").join(each))


def refuse_folded(told: str, columns: list[PgColumn], found: pl.Series, first_row: int) -> None:
    """Raise Problem `source.invalid` where `folded` found a column."""
    for row in found.is_not_null().arg_true():
        why, step = "its array has several dimensions", "name the rows with query=, and array_to_json(…) there"
        raise _invalid(told, columns[found[row]].name, why, step, first_row + row)


def time_literal(column: PgColumn, moment: datetime) -> sql.Composable:
    """Return a moment in SQL, to compare a time column with: one without a zone is in UTC."""
    zoned = column.type_name == "timestamptz"
    text = moment.astimezone(UTC).replace(tzinfo=UTC if zoned else None).isoformat()
    return sql.SQL("{}::{}").format(sql.Literal(text), sql.Identifier("pg_catalog", "timestamptz" if zoned else "timestamp"))


def _simple(type_name: str, arrow: DataType, modifier: int) -> tuple[pl.DataType, bool]:
    """Return the type of single values, and whether they come as themselves."""
    known = _NATIVE.get(type_name)
    if known is not None and known[0] == arrow:
        return known[1], True
    if type_name == "numeric" and modifier >= 0:
        digits, scale = (modifier - 4) >> 16, ((modifier - 4) & 0x7FF ^ 0x400) - 0x400  # as numeric.c keeps them
        if 0 <= scale <= digits <= _MOST_DIGITS:
            return pl.Decimal(digits, scale), False
    return pl.String(), False


def _beyond(values: pl.Series) -> Iterator[int]:
    """Yield the rows with a time that Python has none for; PostgreSQL's infinities are such."""
    inner = values.dtype.inner if isinstance(values.dtype, pl.List) else values.dtype
    if not isinstance(inner, pl.Date | pl.Datetime):
        return
    number = pl.Int32 if isinstance(inner, pl.Date) else pl.Int64
    low, high = _DAYS if isinstance(inner, pl.Date) else _MICROSECONDS
    numbers = values.cast(pl.List(number) if isinstance(values.dtype, pl.List) else number)
    if isinstance(values.dtype, pl.List):
        least, most = numbers.list.min(), numbers.list.max()
    else:
        least = most = numbers
    yield from ((least < low) | (most > high)).fill_null(value=False).arg_true()


def _invalid(told: str, column: str, why: str, step: str, row: int | None = None) -> Problem:
    at = "" if row is None else f" (first in row {row})"
    detail = {"column": column, "row": row}
    return Problem("source.invalid", f"The column '{column}'{at} of {told} cannot be read", why, step, {**detail})


_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAYS: Final = (date.min.toordinal() - _EPOCH, date.max.toordinal() - _EPOCH)
_A_DAY: Final = 86_400_000_000
_MICROSECONDS: Final = (_DAYS[0] * _A_DAY, (_DAYS[1] + 1) * _A_DAY - 1)
