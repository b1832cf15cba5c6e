"""An expression as Polars says it: one small function a node."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl

from modelyard.prepare.expressions import (
    Arithmetic,
    Bucket,
    Choose,
    Column,
    Compare,
    Constant,
    DatePart,
    DayOf,
    Elapsed,
    Expression,
    IsMissing,
    Localise,
    Lookup,
    Math,
    MidnightOf,
    Pair,
    PerValue,
    Rank,
    ToNumber,
    Truncate,
)
from modelyard.prepare.per_value import Function, function_of
from modelyard.prepare.values import DTYPES, ValueKind

_NAN: Final = float("nan")


def as_polars(expression: Expression) -> pl.Expr:
    """Return the Polars expression over columns named by their ids, in the forms of `values`."""
    return _WRITERS[type(expression)](expression)


def _column(node: Column) -> pl.Expr:
    return pl.col(node.id)


def _constant(node: Constant) -> pl.Expr:
    return pl.lit(node.value, dtype=DTYPES[node.kind])


def _to_number(node: ToNumber) -> pl.Expr:
    of = as_polars(node.of)
    if isinstance(node.of, Compare | IsMissing):  # never null, and a cast of truth values takes twice as long
        return pl.when(of).then(pl.lit(1.0)).otherwise(pl.lit(0.0))
    return of.cast(pl.Float64).fill_null(_NAN)


def _arithmetic(node: Arithmetic) -> pl.Expr:
    left, right = as_polars(node.left), as_polars(node.right)
    match node.operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return pl.when(right == 0.0).then(_NAN).otherwise(left / right)


def _math(node: Math) -> pl.Expr:
    of = as_polars(node.of)
    return {"abs": of.abs, "log1p": of.log1p, "sqrt": of.sqrt, "sin": of.sin, "cos": of.cos}[node.name]()


def _compare(node: Compare) -> pl.Expr:
    of, constant = as_polars(node.of), pl.lit(node.constant, dtype=DTYPES[node.of.kind])
    if node.operator == "<":
        return of < constant
    if node.operator == ">":
        return (of > constant) & of.is_not_nan()  # Polars ranks NaN above every number
    return (of == constant).fill_null(value=False)


def _is_missing(node: IsMissing) -> pl.Expr:
    of = as_polars(node.of)
    return of.is_nan() if node.of.kind is ValueKind.NUMBER else of.is_null()


def _choose(node: Choose) -> pl.Expr:
    return pl.when(as_polars(node.condition)).then(as_polars(node.yes)).otherwise(as_polars(node.no))


def _lookup(node: Lookup) -> pl.Expr:
    of = as_polars(node.of)
    keys, numbers = pl.Series(node.keys, dtype=DTYPES[node.of.kind]), pl.Series(node.numbers, dtype=pl.Float64)
    found = of.replace_strict(keys, numbers, default=node.unseen, return_dtype=pl.Float64)
    return pl.when(of.is_null()).then(node.missing).otherwise(found)


def _bucket(node: Bucket) -> pl.Expr:
    of = as_polars(node.of)
    place = pl.lit(pl.Series(node.edges, dtype=pl.Float64)).search_sorted(of, side="right").cast(pl.Float64)
    return pl.when(of.is_nan()).then(_NAN).otherwise(place)


def _rank(node: Rank) -> pl.Expr:
    return as_polars(node.of).map_batches(partial(_ranked, node=node), return_dtype=pl.Float64)


def _ranked(values: pl.Series, node: Rank) -> pl.Series:
    numbers, at, ranks = values.to_numpy(), np.array(node.at), np.array(node.ranks)
    place = np.clip(np.searchsorted(at, numbers, side="right") - 1, 0, max(len(at) - 2, 0))
    with np.errstate(invalid="ignore", over="ignore"):  # beyond both ends, where the line is not taken
        line = ranks[place] + (numbers - at[place]) / np.append(np.diff(at), 1.0)[place] * np.append(np.diff(ranks), 0.0)[place]
    inside = np.where(numbers == at[-1], ranks[-1], line)
    found = np.where(numbers < at[0], 0.0, np.where(numbers > at[-1], 1.0, inside))
    return pl.Series(values.name, np.where(np.isnan(numbers), _NAN, found))


def _pair(node: Pair) -> pl.Expr:
    return pl.concat_str(_escaped(node.left), _escaped(node.right), separator="|")


def _escaped(node: Expression) -> pl.Expr:
    text = as_polars(node).str.replace_all("\\", "\\\\", literal=True)
    return text.str.replace_all("|", "\\|", literal=True)


def _truncate(node: Truncate) -> pl.Expr:
    return as_polars(node.of).cast(pl.Int64, strict=False)


def _date_part(node: DatePart) -> pl.Expr:
    at = as_polars(node.of).dt
    part = {
        "year": at.year,
        "month": at.month,
        "day": at.day,
        "day_of_year": at.ordinal_day,
        "weekday": at.weekday,
        "hour": at.hour,
        "minute": at.minute,
        "second": at.second,
    }[node.part]
    return part().cast(pl.Float64).fill_null(_NAN)


def _localise(node: Localise) -> pl.Expr:
    of = as_polars(node.of)
    transitions = pl.lit(pl.Series(node.transitions, dtype=pl.Datetime("us")))
    offsets = pl.lit(pl.Series([timedelta(seconds=s) for s in node.offsets_s], dtype=pl.Duration("us")))
    return of + offsets.gather(transitions.search_sorted(of, side="right"))


def _elapsed(node: Elapsed) -> pl.Expr:
    span = as_polars(node.later).cast(pl.Int64) - as_polars(node.earlier).cast(pl.Int64)
    return span.cast(pl.Float64).fill_null(_NAN).map_batches(partial(_divide, by=float(node.unit_us)), return_dtype=pl.Float64)


def _divide(values: pl.Series, by: float) -> pl.Series:
    return pl.Series(values.name, np.divide(values.to_numpy(), by))


def _day_of(node: DayOf) -> pl.Expr:
    return as_polars(node.of).cast(pl.Date)


def _midnight_of(node: MidnightOf) -> pl.Expr:
    return as_polars(node.of).cast(pl.Datetime("us"))


def _per_value(node: PerValue) -> pl.Expr:
    dtype = DTYPES[node.kind]
    apply = partial(_apply, function=function_of(node), dtype=dtype)
    mapped = as_polars(node.of).map_batches(apply, return_dtype=dtype)
    return mapped.fill_null(_NAN) if node.kind is ValueKind.NUMBER else mapped


def _apply(values: pl.Series, function: Function, dtype: pl.DataType) -> pl.Series:
    distinct = values.unique()
    answers = pl.Series([None if value is None else function(value) for value in distinct], dtype=dtype)
    return values.replace_strict(distinct, answers, return_dtype=dtype).alias(values.name)


_WRITERS: Final[Mapping[type, Callable[[Any], pl.Expr]]] = MappingProxyType(
    {
        Column: _column,
        Constant: _constant,
        ToNumber: _to_number,
        Arithmetic: _arithmetic,
        Math: _math,
        Compare: _compare,
        IsMissing: _is_missing,
        Choose: _choose,
        Lookup: _lookup,
        Bucket: _bucket,
        Rank: _rank,
        Pair: _pair,
        Truncate: _truncate,
        DatePart: _date_part,
        Localise: _localise,
        Elapsed: _elapsed,
        DayOf: _day_of,
        MidnightOf: _midnight_of,
        PerValue: _per_value,
    }
)
