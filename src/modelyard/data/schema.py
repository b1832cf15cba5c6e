"""The types that a lake's tables hold, and casts to them that never change a value."""

import re
from collections import Counter
from collections.abc import Mapping

import polars as pl

from modelyard.core import Problem, nearest
from modelyard.data.types import Column, Schema

RESERVED = ("_commit", "_reasons", "_batch", "_at", "_row", "_content", "_place", "_part")

_STORED: dict[type[pl.DataType], pl.DataType] = {
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
    pl.Null: pl.String(),
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Int64(),
}
_SIMPLE = (
    pl.Boolean,
    pl.Int8,
    pl.Int16,
    pl.Int32,
    pl.Int64,
    pl.Float32,
    pl.Float64,
    pl.Decimal,
    pl.String,
    pl.Binary,
    pl.Date,
)
_DECIMAL = re.compile(r"Decimal\((precision=)?(?P<precision>[0-9]{1,2}), ?(scale=)?(?P<scale>[0-9]{1,2})\)")
_WORDS: Mapping[str, pl.DataType] = {
    **{type_.__name__: type_() for type_ in _SIMPLE if type_ is not pl.Decimal},
    "Datetime": pl.Datetime("us"),
    "Datetime[UTC]": pl.Datetime("us", "UTC"),
}
_ZONED_TIMES = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
_TIMES = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_NAMED = {**_WORDS, **{str(dtype): dtype for dtype in _WORDS.values()}}
STORED_NAMES = (*(kind.__name__ for kind in (*_SIMPLE, pl.Datetime, pl.List, pl.Struct)),)


def schema_of(frame: pl.DataFrame) -> Schema:
    """Return the columns of a frame.

    >>> schema_of(pl.DataFrame({"id": [1]}))
    Schema(columns=(Column(name='id', dtype='Int64'),))
    """
    return Schema(tuple(Column(name, str(dtype)) for name, dtype in frame.schema.items()))


def stored_type(dtype: pl.DataType) -> pl.DataType | None:
    """Return the type that a table keeps values of `dtype` in; None: it cannot hold them.

    Unsigned integers become the next wider signed ones, categories text, times microseconds (in UTC where they have a zone).
    Times of day and durations are not held.

    >>> stored_type(pl.Datetime("ns", "America/New_York"))
    Datetime(time_unit='us', time_zone='UTC')
    """
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, pl.List | pl.Array):
        inner = stored_type(_instance(dtype.inner))
        return pl.List(inner) if inner is not None else None
    if isinstance(dtype, pl.Struct):
        fields = [(field.name, stored_type(_instance(field.dtype))) for field in dtype.fields]
        known = [pl.Field(name, inner) for name, inner in fields if inner is not None]
        return pl.Struct(known) if len(known) == len(fields) else None
    if isinstance(dtype, _SIMPLE):
        return dtype
    return _STORED.get(type(dtype))


def dtype_of(text: str) -> pl.DataType:
    """Return the type that a word names, of those that a table holds.

    Raises
    ------
    Problem
        `dtype.invalid`, with the words that there are.

    >>> dtype_of("Int64"), dtype_of("Datetime[UTC]"), dtype_of("Decimal(10, 2)")
    (Int64, Datetime(time_unit='us', time_zone='UTC'), Decimal(precision=10, scale=2))
    """
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        return pl.Decimal(int(decimal["precision"]), int(decimal["scale"]))
    if text not in _NAMED:
        near = nearest(text, _NAMED)
        why = f"did you mean '{near[0]}'?" if near else f"there is {', '.join(_WORDS)}, Decimal(PRECISION, SCALE)"
        raise Problem("dtype.invalid", f"'{text[:100]}' is no type of a dataset's column", why, "write it as in day:Date")
    return _NAMED[text]


def conform(frame: pl.DataFrame, expected: pl.Schema | None = None) -> pl.DataFrame:
    """Return `frame` in the types of a table: the expected columns first and in their order, further ones after them.

    A column of only nulls takes any type. A text becomes the number, truth value or time that it says; a number becomes
    another kind of number where its value stays the same. A number never becomes text (it may have lost its leading zeros by
    being a number), and no time gains or loses its zone (a text without an offset is UTC).

    Raises
    ------
    Problem
        `column.missing` for an expected column that is not there; `column.invalid` for a name that cannot be a column's, a
        type that no table holds, or a value (told with its row, counted from 0) that the expected type does not have.
    """
    expected = expected or pl.Schema()
    _check_names([*expected.names(), *(name for name in frame.columns if name not in expected)])
    for name in expected.names():
        if name not in frame.columns:
            raise column_missing(name, frame.columns)
    order = [*expected.names(), *(name for name in frame.columns if name not in expected)]
    return pl.DataFrame([_conformed(frame[name], expected.get(name)) for name in order])


def fitting(column: pl.Series, target: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Return a column in another type, as `conform` has it, and which rows it fits; one that it does not fit is null.

    >>> [values.to_list() for values in fitting(pl.Series(["1", "one", None]), pl.Int64())]
    [[1, None, None], [True, False, True]]
    """
    if column.dtype == target:
        return column, pl.repeat(value=True, n=column.len(), eager=True)
    stored, nothing = stored_type(column.dtype), pl.Series(column.name, [None], dtype=target).new_from_index(0, column.len())
    if stored is None or not _may_become(stored, target):
        return nothing, column.is_null()
    try:
        cast, same = _read(column.cast(pl.String), target) if stored == pl.String else _there_and_back(column, target)
    except pl.exceptions.PolarsError:
        return nothing, column.is_null()
    fits = column.is_null() | same
    return cast.zip_with(fits, nothing), fits


def refuse_reserved(names: list[str]) -> None:
    """Return when no column has a name that quarantine or lake add themselves; raise Problem `column.invalid` else."""
    for name in RESERVED:
        if name in names:
            raise _invalid(name, "the lake uses that name itself", "rename the column")


def column_missing(name: str, known: list[str]) -> Problem:
    """Return the problem of a column that a frame lacks, with the nearest of `known` suggested."""
    near = nearest(name, known)
    why = "did you mean " + " or ".join(f"'{n}'" for n in near) + "?" if near else f"it has {', '.join(known[:20]) or 'none'}"
    detail = {"column": name, "known": known, "nearest": near}
    return Problem(
        "column.missing", f"There is no column '{name}' in the rows", why, "name the column as the dataset does", detail
    )


def _check_names(names: list[str]) -> None:
    folded = Counter(name.casefold() for name in names)
    for name in names:
        if not name.strip():
            raise _invalid(name, "its name is empty", "name every column")
        if folded[name.casefold()] > 1:
            raise _invalid(name, "another column differs from it only in upper and lower case", "rename one of them")


def _conformed(column: pl.Series, wanted: pl.DataType | None) -> pl.Series:
    target = wanted if wanted is not None else stored_type(column.dtype)
    if target is None:
        raise _invalid(
            column.name, f"no table holds values of the type {column.dtype}", "cast it to numbers, text or a datetime"
        )
    if column.dtype == target:
        return column
    return _cast(column, target)


def _cast(column: pl.Series, target: pl.DataType) -> pl.Series:
    stored = stored_type(column.dtype)
    if stored is None or not _may_become(stored, target):
        if column.null_count() == column.len():
            return pl.Series(column.name, [None] * column.len(), dtype=target)
        step = _step(column.dtype, target)
        raise _invalid(column.name, f"its values are {column.dtype}, and {target} is expected", step, row=_first_value(column))
    try:
        cast, same = _read(column.cast(pl.String), target) if stored == pl.String else _there_and_back(column, target)
    except pl.exceptions.PolarsError as error:
        raise _invalid(column.name, str(error).splitlines()[0], f"cast it to {target} before") from error
    changed = column.is_not_null() & ~same
    if changed.any():
        row = int(changed.arg_true()[0])
        raise _invalid(column.name, f"the value {column[row]!r} is no {target} exactly", "mend the value", row=row)
    return cast


def _there_and_back(column: pl.Series, target: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Return the cast values, and which of them can be cast back to the same."""
    cast = column.cast(target, strict=False)
    return cast, cast.cast(column.dtype, strict=False).eq_missing(column)


def _read(texts: pl.Series, target: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Return what the texts say, and which of them say something; a time without an offset is UTC."""
    if isinstance(target, pl.Datetime):
        said = _read_times(texts, target)
    elif target == pl.Date:
        said = texts.str.to_date("%Y-%m-%d", strict=False)
    elif target == pl.Boolean:
        said = texts.str.to_lowercase().replace_strict(["true", "false"], [True, False], default=None, return_dtype=pl.Boolean)
    else:
        said = texts.cast(target, strict=False)
    return said, said.is_not_null()


def _read_times(texts: pl.Series, target: pl.Datetime) -> pl.Series:
    """Return the times that texts say: those in ISO 8601 each by itself, others in the form that Polars finds for all."""
    known = texts.str.replace(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ t]", "${1}T")
    said = pl.Series(texts.name, [None], dtype=target).new_from_index(0, texts.len())
    for form in _TIMES if target.time_zone is None else (*_ZONED_TIMES, *_TIMES):
        left = said.is_null() & texts.is_not_null()
        if not left.any():
            return said
        zone = None if form in _ZONED_TIMES else target.time_zone
        said = said.zip_with(~left, known.str.to_datetime(form, time_unit="us", time_zone=zone, strict=False))
    left = said.is_null() & texts.is_not_null()
    if left.any():
        found = texts.zip_with(left, pl.Series([None], dtype=pl.String).new_from_index(0, texts.len()))
        found = found.str.to_datetime(time_unit="us", time_zone=target.time_zone, strict=False)
        said = said.zip_with(~left, found) if found.dtype == target else said
    return said


def _may_become(stored: pl.DataType, target: pl.DataType) -> bool:
    if stored == target:
        return True
    if stored == pl.String:
        return not target.is_nested() and target != pl.Binary
    if stored.is_numeric() or stored == pl.Boolean:
        return target.is_numeric() or target == pl.Boolean
    if stored.is_temporal() and target.is_temporal():
        return _zone(stored) == _zone(target) or pl.Date() in (stored, target)
    return stored.is_nested() and target.is_nested()


def _zone(dtype: pl.DataType) -> str | None:
    return dtype.time_zone if isinstance(dtype, pl.Datetime) else None


def _step(dtype: pl.DataType, target: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime) and isinstance(target, pl.Datetime):
        return (
            "say the zone: .dt.replace_time_zone('UTC')" if target.time_zone else "drop the zone: .dt.replace_time_zone(None)"
        )
    return f"cast it to {target} before"


def _first_value(column: pl.Series) -> int:
    return int(column.is_not_null().arg_true()[0])


def _instance(dtype: object) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[return-value] # Polars gives either


def _invalid(name: str, why: str, step: str, row: int | None = None) -> Problem:
    at = "" if row is None else f" (first in row {row})"
    return Problem("column.invalid", f"The column '{name}'{at} cannot be taken in", why, step, {"column": name, "row": row})
