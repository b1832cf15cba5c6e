"""What a column holds while it is prepared: six kinds of value, each with one form in Polars and one in Python.

Missing has one form a kind as well. In a number column it is NaN, in both compilers, so that arithmetic carries it on by
itself; in every other column it is null (`None`).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

import polars as pl

from modelyard.core import Json, JsonObject, Problem


class ValueKind(Enum):
    """The kinds of value; the words are those that people read in problems."""

    NUMBER = "number"  # Float64; float. Missing is NaN
    INTEGER = "integer"  # Int64; int within 64 bits
    BOOLEAN = "boolean"  # Boolean; bool
    TEXT = "text"  # String; str
    DATE = "date"  # Date; datetime.date
    DATETIME = "datetime"  # Datetime in microseconds, UTC or wall clock without a zone; naive datetime.datetime


DTYPES: Final = {
    ValueKind.NUMBER: pl.Float64(),
    ValueKind.INTEGER: pl.Int64(),
    ValueKind.BOOLEAN: pl.Boolean(),
    ValueKind.TEXT: pl.String(),
    ValueKind.DATE: pl.Date(),
    ValueKind.DATETIME: pl.Datetime("us"),
}
NUMERIC: Final = frozenset({ValueKind.NUMBER, ValueKind.INTEGER, ValueKind.BOOLEAN})
CATEGORICAL: Final = frozenset({ValueKind.TEXT, ValueKind.INTEGER, ValueKind.BOOLEAN})
TEMPORAL: Final = frozenset({ValueKind.DATE, ValueKind.DATETIME})

_PLAIN: Final = {
    "Float64": ValueKind.NUMBER,
    "Float32": ValueKind.NUMBER,
    "Int64": ValueKind.INTEGER,
    "Boolean": ValueKind.BOOLEAN,
    "String": ValueKind.TEXT,
    "Date": ValueKind.DATE,
    "Datetime": ValueKind.DATETIME,
}


@dataclass(frozen=True)
class InputColumn:
    """A raw column that a pipeline reads.

    Parameters
    ----------
    name
        The column's name in the raw rows.
    dtype
        `Float64`, `Float32`, `Int64`, `Boolean`, `String`, `Date`, `Datetime` (wall clock) or `Datetime[ZONE]` (an
        instant; `ZONE` is the zone it was stored in, such as `UTC`). Narrower integers, categories and other time units are
        an accident of storage and are named by the wide form.

    >>> InputColumn("scheduled_at", "Datetime[UTC]").kind
    <ValueKind.DATETIME: 'datetime'>
    """

    name: str
    dtype: str

    @property
    def kind(self) -> ValueKind:
        """The kind of value, by which it is prepared. Raises `Problem("column.invalid")` for an unknown dtype."""
        kind = _PLAIN.get(self.dtype.partition("[")[0])
        if kind is None:
            known = ", ".join(_PLAIN)
            raise Problem("column.invalid", f"Column '{self.name}' is of the unknown dtype {self.dtype}", f"known are {known}")
        return kind

    @property
    def is_known(self) -> bool:
        """Whether its dtype is one that a pipeline reads; else it is a `data.cell.Cell`, which only a tensor has."""
        return self.dtype.partition("[")[0] in _PLAIN

    @property
    def zone(self) -> str | None:
        """The time zone of a `Datetime[ZONE]`, else None."""
        return self.dtype.partition("[")[2].removesuffix("]") or None

    @property
    def is_single(self) -> bool:
        """Whether its numbers are single precision: a raw value is then rounded to float32 before anything else."""
        return self.dtype == "Float32"

    def to_json(self) -> JsonObject:
        """Return its JSON form."""
        return {"name": self.name, "dtype": self.dtype}

    @staticmethod
    def from_json(value: Json) -> "InputColumn":
        """Return the column that `to_json` told."""
        return InputColumn(value["name"], value["dtype"])


def input_dtype(dtype: pl.DataType) -> str | None:
    """Return the `InputColumn.dtype` of a Polars dtype, None where such a column cannot be prepared (lists, durations …).

    >>> input_dtype(pl.Int8()), input_dtype(pl.Datetime("ns", "Europe/Paris")), input_dtype(pl.List(pl.Int8))
    ('Int64', 'Datetime[Europe/Paris]', None)
    """
    if dtype.is_integer():
        return "Int64"
    if dtype.is_float():
        return "Float64" if dtype == pl.Float64 else "Float32"
    if isinstance(dtype, pl.Datetime):
        return f"Datetime[{dtype.time_zone}]" if dtype.time_zone else "Datetime"
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return "String"
    if isinstance(dtype, pl.Decimal | pl.Null):  # an all-null column is a number column without numbers
        return "Float64"
    name = type(dtype).__name__
    return name if name in {"Boolean", "String", "Date"} else None
