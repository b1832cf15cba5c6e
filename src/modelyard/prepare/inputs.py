"""Raw values and raw frames made into the forms of `values`, by one set of rules for both.

A raw value may arrive as JSON has it (text for times), as Python has it, or out of a NumPy or pandas cell. What each kind of
column takes is told by `EXPECTED`; missing is None or NaN in any column. A frame whose column has a near dtype is cast as a
whole; any other column goes value by value through the very function that rows go through.
"""

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import polars as pl

from modelyard.core import Problem, missing
from modelyard.prepare.columnar import ColumnarRows
from modelyard.prepare.expressions import Value
from modelyard.prepare.per_value import FIRST_DAY, LAST_DAY, iso_time, usable_date
from modelyard.prepare.values import DTYPES, InputColumn, ValueKind

EXPECTED: Final = MappingProxyType(
    {
        ValueKind.NUMBER: "a number",
        ValueKind.INTEGER: "a whole number within 64 bits",
        ValueKind.BOOLEAN: "true or false",
        ValueKind.TEXT: "text",
        ValueKind.DATE: "a date such as 2013-06-24",
        ValueKind.DATETIME: "a time such as 2013-06-24T05:00:00Z",
    }
)
_NAN: Final = float("nan")
_INTEGER_LIMIT: Final = 1 << 63
_SHOWN: Final = 80  # characters of a wrong value in a problem
_TICKS: Final = MappingProxyType({"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000})  # of a time unit, in a second


class WrongValueError(ValueError):
    """A raw value that its column does not take; never leaves the slice."""


def coerce(column: InputColumn) -> Callable[[object], Value]:
    """Return the function that makes a raw value of this column into its form: a number column's missing value is NaN.

    The function raises `WrongValueError` for a value that the column does not take.

    >>> coerce(InputColumn("seats", "Int64"))(55.0)
    55
    """
    kind = _single if column.is_single else _COERCE[column.kind]

    def function(raw: object) -> Value:
        return kind(_unwrapped(raw))

    return function


def wrong_value(column: InputColumn, row: int, value: object) -> Problem:
    """Return the problem of a raw value that its column does not take."""
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
    expected = EXPECTED[column.kind]
    return Problem(
        "column.invalid",
        f"Column '{column.name}' has a value of the wrong type in row {row}",
        f"{expected} is expected, and it is {shown}",
        f"send {expected}, or null where it is missing",
        {"column": column.name, "row": row, "expected": expected, "value": shown},
    )


def missing_column(name: str, row: int, present: Iterable[str]) -> Problem:
    """Return the problem of a row that lacks a column, with the nearest of the names that it has."""
    problem = missing("column", name, map(str, present), f"send '{name}' in row {row}, as null where it is unknown")
    problem.detail |= {"column": name, "row": row}
    return problem


def working_frame(frame: pl.DataFrame, columns: Sequence[InputColumn]) -> pl.DataFrame:
    """Return the columns of a raw frame in the forms of `values`, under their own names; others are left out.

    Raises
    ------
    Problem
        `column.missing` with the nearest names; `column.invalid` with the row of the first wrong value.
    """
    _check_columns(frame, columns)
    return pl.DataFrame([_working(frame.get_column(column.name), column) for column in columns])


def working_rows(frame: pl.DataFrame, columns: Sequence[InputColumn]) -> list[tuple[Value, ...]]:
    """Return the rows of `working_frame`, as Python has them. Raises as it does."""
    _check_columns(frame, columns)
    return list(zip(*(_values(frame.get_column(column.name), column) for column in columns), strict=True))


def _check_columns(frame: pl.DataFrame, columns: Sequence[InputColumn]) -> None:
    have = set(frame.columns)
    for column in columns:
        if column.name not in have:
            raise missing_column(column.name, 0, frame.columns)


def raw_frame(rows: Sequence[Mapping[str, object]], columns: Sequence[InputColumn]) -> pl.DataFrame:
    """Return rows as a frame in the forms of `values`. Raises as `working_frame` does."""
    return pl.DataFrame([_series(column, _cells(rows, column)) for column in columns])


def _cells(rows: Sequence[Mapping[str, object]], column: InputColumn) -> list[object]:
    name = column.name
    try:
        return rows.column(name) if isinstance(rows, ColumnarRows) else [row[name] for row in rows]
    except (KeyError, TypeError, IndexError):
        for number, row in enumerate(rows):
            check_row(row, number, (column,))
        raise


def check_row(row: object, number: int, columns: Iterable[InputColumn]) -> None:
    """Refuse a row that is no mapping, or that lacks one of the columns.

    Raises
    ------
    Problem
        `row.invalid` or `column.missing`.
    """
    if not isinstance(row, Mapping):
        what = f"Row {number} is no object of columns"
        raise Problem("row.invalid", what, f"it is of type {type(row).__name__}", 'send {"column": value, …}', {"row": number})
    for column in columns:
        if column.name not in row:
            raise missing_column(column.name, number, row)


def _series(column: InputColumn, cells: Sequence[object]) -> pl.Series:
    if set(map(type, cells)) <= _PLAIN.get(column.kind, frozenset()):
        try:
            whole = _cast(pl.Series(column.name, cells, dtype=DTYPES[column.kind], strict=True), column)
        except (OverflowError, TypeError, ValueError):  # over 64 bits, half of a surrogate pair: told below, with the row
            whole = None
        if whole is not None:
            return whole
    function, made = coerce(column), []
    for row, raw in enumerate(cells):
        try:
            made.append(function(raw))
        except WrongValueError:
            raise wrong_value(column, row, raw) from None
    return pl.Series(column.name, made, dtype=DTYPES[column.kind])


def _working(raw: pl.Series, column: InputColumn) -> pl.Series:
    cast = _cast(raw, column)
    return _series(column, raw.to_list()) if cast is None else cast


def _values(raw: pl.Series, column: InputColumn) -> list[Value]:
    is_form = raw.dtype == DTYPES[column.kind] and column.kind in _PLAIN and not column.is_single
    values: list[Value] = (raw if is_form else _working(raw, column)).to_list()
    if column.kind is ValueKind.NUMBER and raw.null_count():
        return [_NAN if value is None else value for value in values]
    return values


# `cast`, `null_count`, `min` and `max` cost a microsecond; most other methods of a series run a query, 30 to 60 of them.


def _cast(raw: pl.Series, column: InputColumn) -> pl.Series | None:
    """Return the column cast as a whole, None where that could change or hide a value."""
    dtype = raw.dtype
    if dtype == pl.Null:
        empty = raw.cast(DTYPES[column.kind])
        return empty.fill_null(_NAN) if column.kind is ValueKind.NUMBER else empty
    if _is_plain_number(dtype) and column.kind is ValueKind.NUMBER:
        single = raw.cast(pl.Float32) if column.is_single else raw
        numbers = single.cast(pl.Float64)
        return numbers.fill_null(_NAN) if numbers.null_count() else numbers
    if _is_plain_number(dtype) and column.kind is ValueKind.INTEGER:
        return _whole(raw)
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum) and column.kind is ValueKind.TEXT:
        return raw.cast(pl.String)
    if isinstance(dtype, pl.Datetime) and column.kind is ValueKind.DATETIME:
        return _instants(raw, dtype, column)
    is_day = dtype == pl.Date and column.kind is ValueKind.DATE
    if is_day:
        _check_years(raw, raw.cast(pl.Int32).cast(pl.Int64), 1, column)
    return raw if is_day or (dtype == pl.Boolean and column.kind is ValueKind.BOOLEAN) else None


def _is_plain_number(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or dtype.is_float()  # not decimals: Python rounds them rightly


def _whole(raw: pl.Series) -> pl.Series | None:
    present = raw.fill_nan(None) if raw.dtype.is_float() else raw
    whole = present.cast(pl.Int64, strict=False)
    if whole.null_count() > present.null_count():
        return None
    return whole if raw.dtype.is_integer() or (whole.cast(pl.Float64) == present).all() else None


def _instants(raw: pl.Series, dtype: pl.Datetime, column: InputColumn) -> pl.Series:
    _check_years(raw, raw.cast(pl.Int64), 86_400 * _TICKS[dtype.time_unit], column)
    times = raw.cast(pl.Datetime("us", dtype.time_zone))
    return times.cast(pl.Int64).cast(pl.Datetime("us")) if dtype.time_zone else times


def _check_years(raw: pl.Series, ticks: pl.Series, ticks_a_day: int, column: InputColumn) -> None:
    """Refuse moments (ticks since 1970) outside the usable years, which Polars has and Python has not."""
    first, last = ((day - date(1970, 1, 1)).days for day in (FIRST_DAY, LAST_DAY))
    least, most = max(first * ticks_a_day, -_INTEGER_LIMIT), min((last + 1) * ticks_a_day, _INTEGER_LIMIT) - 1
    if ticks.null_count() == len(ticks) or (ticks.min() >= least and ticks.max() <= most):  # type: ignore[operator]  # integers
        return
    row = int(((ticks < least) | (ticks > most)).fill_null(value=False).arg_max() or 0)
    raise wrong_value(column, row, f"{ticks[row]} of {raw.dtype}")


def _unwrapped(raw: object) -> object:
    """Return a cell of NumPy or pandas as plain Python, any missing value as None."""
    if type(raw).__module__ == "numpy" and hasattr(raw, "item"):
        raw = raw.item()
    try:
        return None if raw != raw else raw  # noqa: PLR0124 - NaN and pandas' NaT differ from themselves
    except (TypeError, ValueError):
        return raw


def _number(value: object) -> float:
    if value is None:
        return _NAN
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            return float(value)
        except (OverflowError, ValueError) as error:
            raise WrongValueError from error
    raise WrongValueError


def _single(value: object) -> float:
    return ctypes.c_float(_number(value)).value


def _integer(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            whole = int(value)
        except (OverflowError, ValueError) as error:
            raise WrongValueError from error
        if whole == value and -_INTEGER_LIMIT <= whole < _INTEGER_LIMIT:
            return whole
    raise WrongValueError


def _boolean(value: object) -> bool | None:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    raise WrongValueError


def _text(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise WrongValueError
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair is no text
        raise WrongValueError from error
    return str(value)


def _date(value: object) -> date | None:
    at = _time(value)
    if at is None:
        return None
    if (at.hour, at.minute, at.second, at.microsecond) != (0, 0, 0, 0):
        raise WrongValueError
    return at.date()


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        at = iso_time(value)
    elif isinstance(value, datetime):
        at = _in_utc(value)
    else:
        at = datetime(value.year, value.month, value.day) if isinstance(value, date) else None
    if at is None or not usable_date(at):
        raise WrongValueError
    return at


def _in_utc(at: datetime) -> datetime | None:
    try:
        at = at if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        return None
    return datetime(at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond)


# Columns whose values are all of these types are taken by Polars at once: eight times as fast.
_PLAIN: Final = MappingProxyType(
    {
        ValueKind.NUMBER: frozenset({float, type(None)}),
        ValueKind.INTEGER: frozenset({int, type(None)}),
        ValueKind.BOOLEAN: frozenset({bool, type(None)}),
        ValueKind.TEXT: frozenset({str, type(None)}),
    }
)
_COERCE: Final[Mapping[ValueKind, Callable[[object], Value]]] = MappingProxyType(
    {
        ValueKind.NUMBER: _number,
        ValueKind.INTEGER: _integer,
        ValueKind.BOOLEAN: _boolean,
        ValueKind.TEXT: _text,
        ValueKind.DATE: _date,
        ValueKind.DATETIME: _time,
    }
)
