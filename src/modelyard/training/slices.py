"""Slices of the rows that a model was fitted on: those with something in common that data defects tend to have in common.

They are found in the rows alone, without a model: missing values, outliers, rare and single values, rows that are alike but for
their label, batches, stretches of time, rows that a check warned of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import digest_bytes
from modelyard.data import Check, Severity
from modelyard.data.findings import find
from modelyard.data.quality.kinds import Scope, check_columns, scope_of, told
from modelyard.training.influence import Array

BATCH = "_batch"  # with the number of the version that a row came with; one of the names that no column of a dataset may have
LEAST_ROWS = 20
LEAST_SHARE = 0.002
MOST_SHARE = 0.25  # what holds for more rows is the rule, and no defect
SINGLE_VALUES = 50  # a column of more different values has no slice for each
FEW_VALUES = 20  # numbers with no more different values are taken for categories
STRETCHES = 10
_FENCE = 3.0  # interquartile ranges beyond the quartiles; Tukey 1977: "far out"
_DEVIATIONS = 5.0  # where half of the values are the same one


class SliceKind(Enum):
    """What the rows of a slice have in common."""

    NULL = "null"  # no value in `column`
    LOW = "low"  # a value in `column` under `low`
    HIGH = "high"  # a value in `column` over `high`
    VALUE = "value"  # the value `value` in `column`
    RARE = "rare"  # a value in `column` that fewer than 20 rows have
    CONTRADICTION = "contradiction"  # other rows are the same in all but key, time and label, and have another label
    BATCH = "batch"  # they came with the dataset's version `batch`
    STRETCH = "stretch"  # their time in `column` lies in [since, until]
    CHECK = "check"  # they fail `check`, which warns


_SORTS = {SliceKind.BATCH: "origin", SliceKind.STRETCH: "origin", SliceKind.VALUE: "value"}  # others: defect
_TURNS = {"defect": 2, "origin": 2, "value": 1}  # how many of each sort are measured in turn


@dataclass(frozen=True)
class RowSlice:
    """Rows with something in common: a predicate that is kept as data, with its name for people."""

    kind: SliceKind
    name: str
    rows: int  # of those looked at
    column: str | None = None
    value: str | None = None  # as text
    low: float | None = None
    high: float | None = None
    batch: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    check: Check | None = None


@dataclass(frozen=True, eq=False)
class Suspected:
    """A slice, which rows are in it, and how suspicious they are: see `suspicions`."""

    slice: RowSlice
    mask: pl.Series
    suspicion: float


@dataclass(frozen=True)
class Roles:
    """Which columns of rows are what."""

    label: str
    key: tuple[str, ...]
    time: str | None
    checks: tuple[Check, ...] = ()  # of the dataset and the trainer
    batches: Mapping[int, str] | None = None  # number → where its rows came from, for people

    def is_feature(self, name: str) -> bool:
        """Return whether a model may learn from the column."""
        return name not in (self.label, self.time, BATCH, *self.key)


def find_slices(rows: pl.DataFrame, roles: Roles, *, now: datetime) -> list[tuple[RowSlice, pl.Series]]:
    """Return the slices of rows, each with the mask of its rows; of several that hold the same rows the first.

    A slice has at least 20 rows and 0.2 % of all, and at most a quarter of them.

    Parameters
    ----------
    rows
        Raw columns and `BATCH`.
    now
        What `not_after(…, "now")` means.
    """
    least = max(LEAST_ROWS, LEAST_SHARE * rows.height)
    found: dict[str, tuple[RowSlice, pl.Series]] = {}
    for candidate in _candidates(rows, roles):
        mask = mask_of(candidate, rows, roles, now=now)
        count = int(mask.sum())
        if least <= count <= MOST_SHARE * rows.height:
            same_rows = digest_bytes(np.packbits(mask.to_numpy()).tobytes())
            found.setdefault(same_rows, (replace(candidate, rows=count), mask))
    return list(found.values())


def mask_of(one: RowSlice, rows: pl.DataFrame, roles: Roles, *, now: datetime) -> pl.Series:
    """Return which rows are in the slice: one truth value a row."""
    if one.check is not None:
        failed = find(rows, [one.check], now=now).failed["row"]
        return pl.select(pl.int_range(rows.height).is_in(failed.implode())).to_series()
    return rows.select(_predicate(one, rows, roles).fill_null(False)).to_series()


def suspicions(masks: Sequence[pl.Series], worth: Sequence[Array]) -> list[float]:
    """Return how much less the rows of each slice are worth than all rows, in standard errors of their mean.

    Parameters
    ----------
    masks
        One truth value for each row.
    worth
        What each row is worth by one measure or another, each of shape (n,); the one that speaks most against a slice counts.
    """
    return [max(_less_worth(values, mask.to_numpy()) for values in worth) for mask in masks]


def by_suspicion(suspected: Sequence[Suspected]) -> list[Suspected]:
    """Return slices in the order in which to measure them.

    The most suspicious of each sort take turns, since hard rows are suspicious too, and single values are mostly no defect: two
    that look like defects, two by origin, one of a single value.
    """
    sorts: dict[str, list[Suspected]] = {sort: [] for sort in _TURNS}
    for one in sorted(suspected, key=lambda one: -one.suspicion):
        sorts[_SORTS.get(one.slice.kind, "defect")].append(one)
    ranked = [((place + 1) / _TURNS[sort], one) for sort, found in sorts.items() for place, one in enumerate(found)]
    return [one for _, one in sorted(ranked, key=lambda pair: (pair[0], -pair[1].suspicion))]


def _less_worth(values: Array, mask: NDArray[np.bool_]) -> float:
    spread = values.std()
    return float((values.mean() - values[mask].mean()) * np.sqrt(mask.sum()) / spread) if spread else 0.0


def _candidates(rows: pl.DataFrame, roles: Roles) -> Iterator[RowSlice]:
    for check in roles.checks:
        rowwise = scope_of(check) is Scope.ROW and check.severity is Severity.WARNING
        if rowwise and all(name in rows.columns for name in check_columns(check)):
            yield RowSlice(SliceKind.CHECK, f"fails {told(check)}", 0, check=check)
    batches = rows[BATCH].unique().sort()
    if batches.len() > 1:
        for number in batches:
            origin = (roles.batches or {}).get(number, "")
            yield RowSlice(SliceKind.BATCH, f"came with v{number}{f' ({origin})' if origin else ''}", 0, batch=int(number))
    for name in rows.columns:
        if roles.is_feature(name):
            yield from _of_column(rows[name])
        elif name == roles.label and rows[name].n_unique() > FEW_VALUES:
            yield from _outliers(rows[name])
    if any(map(roles.is_feature, rows.columns)):
        yield RowSlice(SliceKind.CONTRADICTION, f"same rows, another {roles.label}", 0)
    if roles.time is not None:
        yield from _stretches(rows[roles.time])


def _of_column(column: pl.Series) -> Iterator[RowSlice]:
    name = column.name
    yield RowSlice(SliceKind.NULL, f"no {name}", 0, column=name)
    if column.dtype.is_nested() or column.dtype.is_temporal() or column.dtype in (pl.Binary, pl.Object):
        return
    different = column.drop_nulls().n_unique()
    if column.dtype.is_numeric() and different > FEW_VALUES:
        yield from _outliers(column)
        return
    if different <= SINGLE_VALUES:
        for value in column.drop_nulls().unique().sort().cast(pl.String):
            yield RowSlice(SliceKind.VALUE, f"{name} is {value}", 0, column=name, value=value)
    yield RowSlice(SliceKind.RARE, f"{name} that fewer than {LEAST_ROWS} rows have", 0, column=name)


def _outliers(column: pl.Series) -> Iterator[RowSlice]:
    values = column.drop_nulls().cast(pl.Float64)
    values = values.filter(values.is_finite())
    if not values.len():
        return
    first, third = (float(np.quantile(values.to_numpy(), share)) for share in (0.25, 0.75))
    reach = _FENCE * (third - first)
    if not reach:
        reach = _DEVIATIONS * float(values.to_numpy().std())
    low, high = first - reach, third + reach
    yield RowSlice(SliceKind.LOW, f"{column.name} under {low:.6g}", 0, column=column.name, low=low)
    yield RowSlice(SliceKind.HIGH, f"{column.name} over {high:.6g}", 0, column=column.name, high=high)


def _stretches(column: pl.Series) -> Iterator[RowSlice]:
    times = column.drop_nulls().sort()
    edges = [times.len() * part // STRETCHES for part in range(STRETCHES + 1)]
    for start, stop in pairwise(edges):
        if start < stop:
            since, until = times[start], times[stop - 1]
            name = f"{column.name} {since:%Y-%m-%d} … {until:%Y-%m-%d}"
            yield RowSlice(SliceKind.STRETCH, name, 0, column=column.name, since=_moment(since), until=_moment(until))


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value))


def _predicate(one: RowSlice, rows: pl.DataFrame, roles: Roles) -> pl.Expr:
    column = pl.col(one.column or BATCH)
    number = column.cast(pl.Float64)
    match one.kind:
        case SliceKind.CONTRADICTION:
            found = pl.col(roles.label).n_unique().over([name for name in rows.columns if roles.is_feature(name)]) > 1
        case SliceKind.BATCH:
            found = column == one.batch
        case SliceKind.NULL:
            found = column.is_null() | number.is_nan() if rows.schema[one.column or BATCH].is_float() else column.is_null()
        case SliceKind.VALUE:
            found = column.cast(pl.String) == one.value
        case SliceKind.RARE:
            found = column.is_not_null() & (pl.len().over(column) < LEAST_ROWS)
        case SliceKind.LOW:
            found = number < one.low
        case SliceKind.HIGH:
            found = number.is_not_nan() & (number > one.high)
        case _:
            found = column.is_between(one.since, one.until)
    return found
