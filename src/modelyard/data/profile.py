"""Profile of a frame: counts over slots that the reference fixed, so that merging two profiles is adding counts.

- A column of numbers has at most 32 equal-frequency bins between the reference's smallest and largest value, and the
  slots below, above and null. A value that stands for much of the column fills a bin of its own; a column of at most 32
  values has one bin a value.
- A column of categories has the reference's 100 most frequent ones, and the slots unseen (every other category) and null.

What counts as what: booleans are categories (`true`, `false`); dates and datetimes are seconds since 1970 (UTC; a naive
one is taken for UTC), times of day and durations seconds; NaN is null; infinities are counted below or above, and are
left out of the moments and quantiles; of lists, structs and other nested columns only the nulls are counted. Whole
numbers past 2^53 are rounded to the nearest float.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.core.json import Json, JsonObject
from modelyard.core.problems import Problem
from modelyard.data.columns import each_column

Array = npt.NDArray[np.float64]

BINS = 32
CATEGORIES = 100
QUANTILES = 200


class NumberKind(Enum):
    """What the numbers of a column stand for."""

    NUMBER = "number"  # a quantity; durations and times of day in seconds
    TIME = "time"  # a date or a datetime, in seconds since 1970; it moves by nature


@dataclass(frozen=True)
class NumericProfile:
    """Counts and moments of a column of numbers.

    `starts` are the lower ends of the bins (each bin holds its lower end, not the next one's), `stop` the upper end of the
    last, which holds it: they are the reference's. `finite` (how many values), `mean`, `deviations` (sum of squared
    distances from the mean), `minimum`, `maximum` and `quantiles` (at (i + ½) / 200; empty without values) are of the rows
    that were counted.
    """

    kind: NumberKind
    starts: tuple[float, ...]
    stop: float
    counts: tuple[int, ...]
    below: int
    above: int
    null: int
    finite: int
    mean: float
    deviations: float
    minimum: float | None
    maximum: float | None
    quantiles: tuple[float, ...]

    @property
    def slots(self) -> tuple[int, ...]:
        """Counts of the values, null left out: below, the bins, above."""
        return (self.below, *self.counts, self.above)

    @property
    def standard_deviation(self) -> float:
        """Sample standard deviation; 0 for fewer than two values."""
        return float(np.sqrt(self.deviations / (self.finite - 1))) if self.finite > 1 else 0.0

    def slot_name(self, index: int) -> str:
        """Return what a person calls the slot `index` of `slots`."""
        if not self.starts:
            return "any value"
        if index == 0:
            return f"under {self.starts[0]:g}"
        if index > len(self.starts):
            return f"over {self.stop:g}"
        low, high = self.starts[index - 1], self.starts[index] if index < len(self.starts) else self.stop
        return f"{low:g}" if high == low or high == low + 1 else f"{low:g} to {high:g}"


@dataclass(frozen=True)
class CategoryProfile:
    """Counts of a column of categories: the reference's most frequent ones (`names`, best first), every other one, null."""

    names: tuple[str, ...]
    counts: tuple[int, ...]
    unseen: int
    null: int

    @property
    def slots(self) -> tuple[int, ...]:
        """Counts of the values, null left out: the categories, then unseen."""
        return (*self.counts, self.unseen)

    def slot_name(self, index: int) -> str:
        """Return what a person calls the slot `index` of `slots`."""
        return self.names[index] if index < len(self.names) else "unseen"


ColumnProfile = NumericProfile | CategoryProfile


@dataclass(frozen=True)
class Profile:
    """Profile of each column of `rows` rows, by name, in the frame's order."""

    rows: int
    columns: Mapping[str, ColumnProfile]


def profile(frame: pl.DataFrame, reference: Profile | None = None) -> Profile:
    """Count `frame` over the slots of `reference`, or over its own when it is the reference.

    With a reference the columns are the reference's: a further column is left out, one that the frame lacks counts as null,
    and so does a value that cannot be read as the reference's kind (a text among numbers).

    >>> whole = profile(pl.DataFrame({"hour": [5, 6, 6, None], "origin": ["JFK", "LGA", "JFK", "JFK"]}))
    >>> whole.columns["hour"].starts, whole.columns["hour"].counts, whole.columns["hour"].null
    ((5.0, 6.0), (1, 2), 1)
    >>> profile(pl.DataFrame({"hour": [4, 6], "origin": ["EWR", "JFK"]}), whole).columns["origin"]
    CategoryProfile(names=('JFK', 'LGA'), counts=(1, 0), unseen=1, null=0)
    """
    if reference is None:
        return Profile(frame.height, dict(zip(frame.columns, each_column(_own, frame), strict=True)))
    columns, known = [_column(frame, name) for name in reference.columns], reference.columns
    return Profile(frame.height, dict(zip(known, each_column(lambda one: _over(one, known[one.name]), columns), strict=True)))


def merge(a: Profile, b: Profile) -> Profile:
    """Add two profiles over the same slots. Everything is exact but the quantiles, which may be wrong by 1 % of the ranks.

    Raises
    ------
    Problem
        `profile.conflict` when the two were not counted over the same slots.
    """
    if list(a.columns) != list(b.columns):
        raise _conflict("their columns differ")
    return Profile(a.rows + b.rows, {name: _merged(name, of, b.columns[name]) for name, of in a.columns.items()})


def same_slots(a: Profile, b: Profile) -> bool:
    """Return whether two profiles were counted over the same slots, so that they can be merged."""
    return list(a.columns) == list(b.columns) and all(map(_same_slots, a.columns.values(), b.columns.values()))


def to_json(of: Profile) -> JsonObject:
    """Return the JSON form of a profile."""
    return {"rows": of.rows, "columns": {name: _column_json(column) for name, column in of.columns.items()}}


def from_json(value: JsonObject) -> Profile:
    """Return the profile whose JSON form is `value`."""
    columns = cast("Mapping[str, JsonObject]", value["columns"])
    return Profile(cast("int", value["rows"]), {name: _column_from(column) for name, column in columns.items()})


# One column: its own slots


def _own(column: pl.Series) -> ColumnProfile:
    kind = _kind(column.dtype)
    if kind is None:
        return _own_categories(column)
    values, nulls = _ordered(column)
    return _counted(kind, *_bins(_finite(values)), values, nulls)


def _bins(ordered: Array) -> tuple[Array, float]:
    """Return lower ends and the last upper end of equal-frequency bins; a value that two cuts fall on starts only one bin."""
    if not ordered.size:
        return np.empty(0), 0.0
    cuts = np.unique(ordered[np.arange(BINS) * ordered.size // BINS])
    if cuts.size < BINS:  # else these are as many values as there are bins
        changes = ordered[1:] != ordered[:-1]
        if np.count_nonzero(changes) < BINS:
            cuts = ordered[np.concatenate([[True], changes])]
    return cuts, float(ordered[-1])


def _finite(ordered: Array) -> Array:
    return ordered[np.searchsorted(ordered, -np.inf, side="right") : np.searchsorted(ordered, np.inf, side="left")]


def _own_categories(column: pl.Series) -> CategoryProfile:
    texts, nulls = _texts(column), column.null_count()
    if texts is None:
        return CategoryProfile((), (), unseen=column.len() - nulls, null=nulls)
    counted = _frequencies(texts).sort(["count", "value"], descending=[True, False]).head(CATEGORIES)
    names, counts = tuple(counted["value"].to_list()), tuple(counted["count"].to_list())
    return CategoryProfile(names, counts, unseen=column.len() - nulls - sum(counts), null=nulls)


# One column: the slots of a reference


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    return frame[name] if name in frame.columns else pl.Series(name, [None] * frame.height, dtype=pl.Null)


def _over(column: pl.Series, reference: ColumnProfile) -> ColumnProfile:
    if isinstance(reference, NumericProfile):
        values, nulls = _ordered(column)
        return _counted(reference.kind, np.array(reference.starts, dtype=np.float64), reference.stop, values, nulls)
    texts, nulls = _texts(column), column.null_count()
    found: dict[str, int] = {} if texts is None else dict(_frequencies(texts).iter_rows())
    counts = tuple(found.get(name, 0) for name in reference.names)
    return CategoryProfile(reference.names, counts, unseen=column.len() - nulls - sum(counts), null=nulls)


def _counted(kind: NumberKind, starts: Array, stop: float, values: Array, nulls: int) -> NumericProfile:
    """Count ascending `values` (without NaN) over the bins, and take their moments."""
    finite = _finite(values)
    cuts = np.searchsorted(values, starts, side="left")
    end = int(np.searchsorted(values, stop, side="right")) if starts.size else 0
    with np.errstate(over="ignore", invalid="ignore"):  # the largest floats of both signs have no sum
        mean = _representable(finite.mean()) if finite.size else 0.0
        apart = finite - mean
        deviations = _representable(np.square(apart, out=apart).sum())
    ranks = ((np.arange(QUANTILES) + 0.5) / QUANTILES * finite.size).astype(np.int64)
    return NumericProfile(
        kind=kind,
        starts=tuple(starts.tolist()),
        stop=stop,
        counts=tuple(np.diff(cuts, append=end).tolist()),
        below=int(cuts[0]) if cuts.size else 0,
        above=values.size - end,
        null=nulls,
        finite=finite.size,
        mean=mean,
        deviations=deviations,
        minimum=float(finite[0]) if finite.size else None,
        maximum=float(finite[-1]) if finite.size else None,
        quantiles=tuple(finite[ranks].tolist()) if finite.size else (),
    )


def _representable(number: np.float64) -> float:
    """Return `number`, or the largest float for an overflow: JSON has no infinity."""
    return float(np.nan_to_num(number))


# Reading columns


def _kind(dtype: pl.DataType) -> NumberKind | None:
    if dtype.is_numeric() or dtype in (pl.Duration, pl.Time):
        return NumberKind.NUMBER
    return NumberKind.TIME if dtype in (pl.Date, pl.Datetime) else None


def _ordered(column: pl.Series) -> tuple[Array, int]:
    """Return the values as ascending floats, and how many were null, NaN or unreadable."""
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return np.empty(0), column.len()
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    numbers = _numbers(column)
    ordered = np.sort((numbers.drop_nulls() if numbers.null_count() else numbers).to_numpy())
    ordered, units = ordered[: np.searchsorted(ordered, np.nan)], _per_second(column.dtype)  # NaN is sorted to the end
    return ordered if units == 1 else ordered / units, column.len() - ordered.size


def _numbers(column: pl.Series) -> pl.Series:
    physical = column.to_physical() if column.dtype.is_temporal() else column
    return physical if physical.dtype == pl.Float64 else physical.cast(pl.Float64, strict=False)


def _per_second(dtype: pl.DataType) -> float:
    """Return how many of a time's own units make a second; 1 for what is no time."""
    if isinstance(dtype, pl.Datetime | pl.Duration):
        return {"ms": 1e3, "us": 1e6, "ns": 1e9}[dtype.time_unit]
    return 1e9 if dtype == pl.Time else 1.0


def _texts(column: pl.Series) -> pl.Series | None:
    """Return the values as texts; None when the column is nested or of bytes."""
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return None
    return column.cast(pl.String)


def _frequencies(texts: pl.Series) -> pl.DataFrame:
    return texts.alias("value").drop_nulls().value_counts(name="count")


# Merging


def _same_slots(a: ColumnProfile, b: ColumnProfile) -> bool:
    if isinstance(a, NumericProfile) and isinstance(b, NumericProfile):
        return (a.starts, a.stop) == (b.starts, b.stop)
    return isinstance(a, CategoryProfile) and isinstance(b, CategoryProfile) and a.names == b.names


def _merged(name: str, a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    if not _same_slots(a, b):
        raise _conflict(f"the slots of '{name}' differ")
    if isinstance(a, NumericProfile) and isinstance(b, NumericProfile):
        return _merged_numbers(a, b)
    one, other = cast("CategoryProfile", a), cast("CategoryProfile", b)
    return CategoryProfile(one.names, _added(one.counts, other.counts), one.unseen + other.unseen, one.null + other.null)


def _merged_numbers(a: NumericProfile, b: NumericProfile) -> NumericProfile:
    finite = a.finite + b.finite
    share = b.finite / finite if finite else 0.0
    apart = np.float64(0)
    if a.finite and b.finite:
        with np.errstate(over="ignore"):
            apart = np.square(np.float64(b.mean - a.mean)) * a.finite * share
    return NumericProfile(
        kind=a.kind,
        starts=a.starts,
        stop=a.stop,
        counts=_added(a.counts, b.counts),
        below=a.below + b.below,
        above=a.above + b.above,
        null=a.null + b.null,
        finite=finite,
        mean=a.mean + (b.mean - a.mean) * share,
        deviations=_representable(a.deviations + b.deviations + apart),
        minimum=min((m for m in (a.minimum, b.minimum) if m is not None), default=None),
        maximum=max((m for m in (a.maximum, b.maximum) if m is not None), default=None),
        quantiles=_mixed_quantiles(a, b),
    )


def _mixed_quantiles(a: NumericProfile, b: NumericProfile) -> tuple[float, ...]:
    """Quantiles of the mixture of both, each of whose quantiles stands for 1/200 of its values."""
    if not a.finite or not b.finite:
        return a.quantiles or b.quantiles
    values = np.array(a.quantiles + b.quantiles)
    weights = np.repeat([a.finite / (a.finite + b.finite), b.finite / (a.finite + b.finite)], QUANTILES) / QUANTILES
    order = np.argsort(values, kind="stable")
    ranks = np.searchsorted(np.cumsum(weights[order]), (np.arange(QUANTILES) + 0.5) / QUANTILES)
    return tuple(values[order][np.minimum(ranks, values.size - 1)].tolist())


def _added(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _conflict(why: str) -> Problem:
    return Problem("profile.conflict", "The two profiles cannot be merged", why, "count both over the same reference")


# JSON


def _column_json(column: ColumnProfile) -> JsonObject:
    if isinstance(column, CategoryProfile):
        return {"kind": "category", **vars(column), "names": list(column.names), "counts": list(column.counts)}
    lists: dict[str, Json] = {name: list(getattr(column, name)) for name in ("starts", "counts", "quantiles")}
    return {**vars(column), "kind": column.kind.value, **lists}


def _column_from(value: JsonObject) -> ColumnProfile:
    fields = {name: tuple(part) if isinstance(part, list) else part for name, part in value.items()}
    if fields.pop("kind") == "category":
        return CategoryProfile(**fields)  # type: ignore[arg-type] # the shape is to_json's
    return NumericProfile(kind=NumberKind(value["kind"]), **fields)  # type: ignore[arg-type] # as above
