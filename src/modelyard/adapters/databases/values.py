"""Columns whose values come as Python's, one by one: which they may be, and what they become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from modelyard.core import Problem

_MOST_DIGITS: Final = 38  # of a Decimal
_EXACT: Final = 1 << 53  # an integer up to here is the same as a float


@dataclass(frozen=True)
class ValueColumn:
    """A column of a database that is not met by Arrow."""

    name: str
    dtype: pl.DataType
    takes: frozenset[type]  # of the driver's values
    read: Callable[[Any], Any] | None = None  # what becomes of one; ValueError where it does not fit

    def series(self, told: str, values: Sequence[Any], first_row: int) -> pl.Series:
        """Return the values in the column's type. Problem `source.invalid` for the first that does not fit, with its row."""
        if set(map(type, values)) <= self.takes | {type(None)}:
            try:
                return self._made(values)
            except (ValueError, TypeError, OverflowError, pl.exceptions.PolarsError):
                pass  # looked for below
        for number, value in enumerate(values):
            why = self._misfit(value)
            if why:
                row = first_row + number
                what = f"The column '{self.name}' (first in row {row}) of {told} cannot be read"
                step = "mend the value, or name the rows with query= (or a view) that leaves it out or casts it"
                raise Problem("source.invalid", what, why, step, {"column": self.name, "row": row})
        return self._made(values)

    def _made(self, values: Sequence[Any]) -> pl.Series:
        read = self.read
        made = values if read is None else [None if value is None else read(value) for value in values]
        return pl.Series(self.name, made, dtype=self.dtype, strict=True)

    def _misfit(self, value: Any) -> str:
        """Return why a value does not fit; empty: it does."""
        if value is None:
            return ""
        shown = f"the value {value!r:.80}"
        if type(value) not in self.takes:
            return f"{shown} is {type(value).__name__}, and {self.dtype} is expected"
        try:
            self._made([value])
        except ValueError as error:
            return f"{shown} is no {self.dtype}: {error}"
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            return f"{shown} is no {self.dtype}"
        return ""


def integers(name: str) -> ValueColumn:
    """Return a column of 64-bit integers."""
    return ValueColumn(name, pl.Int64(), frozenset({int}))


def floats(name: str) -> ValueColumn:
    """Return a column of floats; of integers those that are the same as a float."""
    return ValueColumn(name, pl.Float64(), frozenset({int, float}), _float)


def decimals(name: str, digits: int, scale: int) -> ValueColumn:
    """Return a column of decimals. A float is the shortest decimal that is read as it, and has to fit the scale."""

    def read(value: Any) -> Decimal:
        try:
            found = value if isinstance(value, Decimal) else Decimal(str(value))
            exact = found.quantize(Decimal(1).scaleb(-scale))
        except InvalidOperation as error:
            raise ValueError(f"it has more than {digits} digits, or is no number") from error
        if exact != found:
            raise ValueError(f"it has more than {scale} digits behind the point")
        return exact

    return ValueColumn(name, pl.Decimal(digits, scale), frozenset({int, float, str, Decimal}), read)


def booleans(name: str) -> ValueColumn:
    """Return a column of truth values, which may be kept as 0 and 1."""
    return ValueColumn(name, pl.Boolean(), frozenset({int, bool}), _boolean)


def texts(name: str, *others: type) -> ValueColumn:
    """Return a column of text; values of other types become the text that Python writes for them."""
    return ValueColumn(name, pl.String(), frozenset({str, *others}), str if others else None)


def binaries(name: str) -> ValueColumn:
    """Return a column of bytes."""
    return ValueColumn(name, pl.Binary(), frozenset({bytes}))


def dates(name: str) -> ValueColumn:
    """Return a column of dates, which may be kept as text: `2013-01-31`."""
    return ValueColumn(name, pl.Date(), frozenset({str, date}), lambda v: date.fromisoformat(v) if isinstance(v, str) else v)


def datetimes(name: str, *, zoned: bool) -> ValueColumn:
    """Return a column of moments in UTC, or of times without a zone; they may be kept as text of ISO 8601."""

    def read(value: Any) -> datetime:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        if zoned:
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        if found.tzinfo:
            raise ValueError("it has an offset, and the others have none")
        return found

    dtype = pl.Datetime("us", "UTC" if zoned else None)
    return ValueColumn(name, dtype, frozenset({str, datetime}), read)


def column_of(name: str, type_: object) -> ValueColumn | None:
    """Return the column of a type of SQLAlchemy's that is the same in every database; None: it is another one."""
    if isinstance(type_, sa.Numeric) and type_.precision is not None and type_.scale is not None:
        fits = 0 <= type_.scale <= type_.precision <= _MOST_DIGITS
        return decimals(name, type_.precision, type_.scale) if fits else None
    return next((make(name) for known, make in _PLAIN if isinstance(type_, known)), None)


def _float(value: float) -> float:
    if isinstance(value, int) and abs(value) > _EXACT and int(float(value)) != value:
        raise ValueError("it has more digits than a float")
    return float(value)


def _boolean(value: int) -> bool:
    if value not in (0, 1):
        raise ValueError("it is neither 0 nor 1")
    return bool(value)


_PLAIN: Final[tuple[tuple[type, Callable[[str], ValueColumn]], ...]] = (
    (sa.Boolean, booleans),
    (sa.Integer, integers),
    (sa.Float, floats),
    (sa.Date, dates),
    (sa.LargeBinary, binaries),
    (sa.String, texts),
)
