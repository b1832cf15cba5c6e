"""Checks that rows already keep and the next ones should: suggested from a profile, each with its reason."""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

import polars as pl

from modelyard.core import Clock, system_clock
from modelyard.data.profile import CategoryProfile, ColumnProfile, NumberKind, NumericProfile, Profile
from modelyard.data.quality.rows import between, matches, not_after, not_null, one_of, unique
from modelyard.data.times import in_utc
from modelyard.data.types import Check

LEAST_ROWS = 100  # of fewer nothing is concluded
MOST_CATEGORIES = 20
LEAST_SEEN = 5  # times each category was met, so that there is hardly another
LEAST_TEXTS = 10  # different ones that have a shape in common
MARGIN = 0.1  # of the width of the values seen, on both sides
_RUNS = re.compile(r"[0-9]+|[A-Z]+|[a-z]+|[^0-9A-Za-z]")
_SPECIAL = re.compile(r"[\\.^$*+?()\[\]{}|]")
_MOST_RUNS = 12
_SAMPLE = 2_000
_LEAST_WIDTH = 1e-290
_CLASSES = {"9": r"\d", "A": "[A-Z]", "a": "[a-z]"}


@dataclass(frozen=True)
class Suggestion:
    """A check, and what was seen that speaks for it."""

    check: Check
    reason: str


def suggest(profile: Profile, rows: pl.DataFrame | pl.LazyFrame, *, clock: Clock = system_clock) -> list[Suggestion]:
    """Return checks that `rows`, whose profile this is, keep; none where there are fewer than 100 rows.

    >>> tails = pl.DataFrame({"tail": [f"N{n}" for n in range(10_000, 10_200)]})
    >>> from modelyard.data.profile import profile
    >>> [one.check.kind for one in suggest(profile(tails), tails)]
    ['not_null', 'unique', 'matches']
    """
    if profile.rows < LEAST_ROWS:
        return []
    looked = _look(rows.lazy(), profile)
    return [one for name in looked.columns for one in _of_column(name, looked, profile.rows, clock)]


@dataclass(frozen=True, eq=False)
class _Looked:
    """What the profile does not tell of the rows."""

    rows: pl.LazyFrame
    schema: pl.Schema
    columns: Mapping[str, ColumnProfile]
    single: frozenset[str]  # columns whose every row has a value of its own
    numbers: frozenset[str]  # columns without NaN


def _look(rows: pl.LazyFrame, profile: Profile) -> _Looked:
    schema = rows.collect_schema()
    columns = {name: profile.columns[name] for name in schema if name in profile.columns}
    named = [name for name, column in columns.items() if _may_name(schema[name], column)]
    floats = [name for name, column in columns.items() if column.null and schema[name].is_float()]  # NaN counts as null there
    asked = [*(pl.col(name).n_unique() == profile.rows for name in named), *(pl.col(name).is_nan().any() for name in floats)]
    told = rows.select(asked).collect(engine="streaming").row(0, named=True) if asked else {}
    single = frozenset(name for name in named if told[name])
    return _Looked(rows, schema, columns, single, frozenset(name for name in columns if name not in floats or not told[name]))


def _of_column(name: str, looked: _Looked, count: int, clock: Clock) -> Iterator[Suggestion]:
    column, dtype = looked.columns[name], looked.schema[name]
    if column.null == 0:
        yield Suggestion(not_null(name), f"none of {count:,} rows is without it")
    if name in looked.single:
        yield Suggestion(unique(name), f"{count:,} rows have {count:,} different values")
    if isinstance(column, NumericProfile):
        if column.kind is NumberKind.TIME:
            yield from _not_in_the_future(name, looked.rows, clock)
        elif name not in looked.single and name in looked.numbers:
            yield from list(_flag(name, column, dtype)) or _in_range(name, column, dtype)
    elif dtype == pl.String:
        listed = list(_listed(name, column))
        yield from listed or _of_one_shape(name, looked.rows, count)


def _may_name(dtype: pl.DataType, column: ColumnProfile) -> bool:
    """Return whether each row may have a value of its own, as far as the profile tells: whole numbers and texts, none null."""
    if isinstance(column, CategoryProfile):
        return dtype == pl.String and not column.null and max(column.counts, default=0) <= 1
    return dtype.is_integer() and not column.null


def _flag(name: str, column: NumericProfile, dtype: pl.DataType) -> Iterator[Suggestion]:
    """Suggest the two neighbouring whole numbers that a column holds, such as 0 and 1; a bin of each holds no other."""
    neighbours = column.starts == (column.stop - 1, column.stop) and not column.below and not column.above
    if dtype.is_integer() and neighbours and min(column.counts) >= LEAST_SEEN:
        low, high = map(int, column.starts)
        yield Suggestion(one_of(name, [low, high]), f"{column.finite:,} values are {low} or {high}")


def _in_range(name: str, column: NumericProfile, dtype: pl.DataType) -> Iterator[Suggestion]:
    if column.minimum is None or column.maximum is None or sum(column.slots) != column.finite or column.finite < LEAST_ROWS:
        return
    low, high = column.minimum, column.maximum
    ends = [low - MARGIN * (high - low), high + MARGIN * (high - low)]
    if not (high - low > _LEAST_WIDTH and all(isfinite(end) for end in ends)):
        return
    digits = 1 - floor(log10(high - low))  # bounds are rounded outwards: nobody promises the last digit
    step = 10.0**-digits
    bottom, top = floor(ends[0] / step) * step, ceil(ends[1] / step) * step
    bottom = max(bottom, 0.0) if low >= 0 else bottom
    bounds = (floor(bottom), ceil(top)) if dtype.is_integer() else (round(bottom, max(digits, 0)), round(top, max(digits, 0)))
    if bounds[0] <= low and high <= bounds[1]:
        told = f"{column.finite:,} values lie from {low:g} to {high:g}; at least a tenth of that width is left on both sides"
        yield Suggestion(between(name, *bounds), told + (", but nothing below 0" if low >= 0 else ""))


def _listed(name: str, column: ColumnProfile) -> Iterator[Suggestion]:
    if not isinstance(column, CategoryProfile) or column.unseen or not 0 < len(column.names) <= MOST_CATEGORIES:
        return
    if min(column.counts) >= LEAST_SEEN:
        least = f"each met {min(column.counts):,} times at least"
        told = f"{sum(column.counts):,} values are {len(column.names)} different ones, {least}"
        yield Suggestion(one_of(name, sorted(column.names)), told)


def _not_in_the_future(name: str, rows: pl.LazyFrame, clock: Clock) -> Iterator[Suggestion]:
    newest = in_utc(rows.select(pl.col(name).max()).collect(engine="streaming").item())
    if newest is not None and newest <= clock():
        yield Suggestion(not_after(name, "now"), f"the newest is of {newest:%Y-%m-%d %H:%M} UTC, and none lies in the future")


def _of_one_shape(name: str, rows: pl.LazyFrame, count: int) -> Iterator[Suggestion]:
    """Suggest the pattern of texts such as N12345: taken from some of them, and held against all."""
    some = rows.select(pl.col(name).gather_every(max(1, count // _SAMPLE)).drop_nulls().unique()).collect()[name].sort()
    pattern = pattern_of(some.to_list()) if some.len() >= LEAST_TEXTS else None
    if pattern is None:
        return
    known = pl.col(name).drop_nulls()
    kept = rows.select(known.str.contains(f"^(?:{pattern})$").all(), known.len().alias("count")).collect(engine="streaming")
    if kept[name][0]:
        yield Suggestion(matches(name, pattern), f"{kept['count'][0]:,} texts have one shape, such as {some[0]!r}")


def pattern_of(texts: Sequence[str]) -> str | None:
    r"""Return the regular expression of the one shape that all texts have; None: they have several, or it says too little.

    A text is runs of digits, capitals and small letters, and single marks. A shape without a digit whose lengths differ says
    too little: `[A-Z][a-z]+` are words. Digits are never taken for constant, since years and counts go on.

    >>> pattern_of(["N10156", "N39463"]), pattern_of(["EWR-1", "JFK-12"]), pattern_of(["Ada", "Grace"])
    ('N\\d{5}', '[A-Z]{3}-\\d+', None)
    """
    parted = [_RUNS.findall(text) for text in texts]
    shapes = {tuple(_class_of(run) for run in runs) for runs in parted}
    [shape, *others] = shapes
    if others or not 0 < len(shape) <= _MOST_RUNS:
        return None
    parts = [_part(kind, set(runs)) for kind, runs in zip(shape, zip(*parted, strict=True), strict=True)]
    if "9" not in shape and any(part.endswith("]+") for part in parts):
        return None
    return "".join(parts)


def _part(kind: str, runs: Set[str]) -> str:
    """Return the regular expression of one of the runs that a shape has in one place."""
    if kind != "9" and len(runs) == 1:
        return _SPECIAL.sub(r"\\\g<0>", next(iter(runs)))
    lengths = {len(run) for run in runs}
    if len(lengths) > 1:
        return f"{_CLASSES[kind]}+"
    [length] = lengths
    return _CLASSES[kind] if length == 1 else f"{_CLASSES[kind]}{{{length}}}"


def _class_of(run: str) -> str:
    """Return what a run is of: digits, capitals, small letters; a mark is of itself."""
    first = run[0]
    return "9" if first in "0123456789" else "A" if "A" <= first <= "Z" else "a" if "a" <= first <= "z" else first
