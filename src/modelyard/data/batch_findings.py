"""What checks of a batch as a whole find in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import polars as pl

from modelyard.core.spans import span_s
from modelyard.data.findings import find, need_columns, unfit
from modelyard.data.quality.kinds import Scope, scope_of
from modelyard.data.schema import stored_type
from modelyard.data.times import in_utc
from modelyard.data.types import Check, CheckOutcome

HISTORY = 10  # batches that a batch is compared with
LEAST_HISTORY = 3


@dataclass(frozen=True)
class Against:
    """What a batch is judged beside: how it came, and the dataset as it stood before it."""

    came: pl.Schema  # the batch's columns, before they were cast
    held: pl.Schema | None  # the dataset's columns; None: it holds no rows yet
    sizes: tuple[int, ...]  # rows of the last batches that entered, newest first


def find_whole(frame: pl.DataFrame, checks: Sequence[Check], against: Against, *, now: datetime) -> tuple[CheckOutcome, ...]:
    """Return what each of `checks`, which are of whole batches, finds in a batch of at least one row. Raises as `find`."""
    need_columns(frame, checks)
    outcomes = []
    for check in checks:
        passes, found = _FINDERS[check.kind](check, frame, against, now)
        outcomes.append(CheckOutcome(check, 0 if passes else frame.height, found=found))
    return tuple(outcomes)


def find_alone(frame: pl.DataFrame, checks: Sequence[Check], *, now: datetime) -> tuple[CheckOutcome, ...]:
    """Return what each check finds in rows that no dataset stands beside: checks of rows come first. Raises as `find`."""
    of_rows = [check for check in checks if scope_of(check) is Scope.ROW]
    whole = [check for check in checks if scope_of(check) is not Scope.ROW]
    return (
        *find(frame, of_rows, now=now).outcomes(frame),
        *find_whole(frame, whole, Against(frame.schema, None, ()), now=now),
    )


# One function a kind: whether the batch passes, and what was found


def _row_count(check: Check, frame: pl.DataFrame, _: Against, now: datetime) -> tuple[bool, str]:
    return _within(check, frame.height), f"{frame.height:,} rows"


def _row_count_like_history(check: Check, frame: pl.DataFrame, against: Against, now: datetime) -> tuple[bool, str]:
    entered = len(against.sizes)
    if entered < LEAST_HISTORY:
        return True, f"{frame.height:,} rows; {entered} batches entered before, too few to compare with"
    usual, factor = median(against.sizes), check.params["factor"]
    passes = usual / factor <= frame.height <= usual * factor
    return passes, f"{frame.height:,} rows; the median of the last {entered} batches is {usual:,.0f}"


def _fresh(check: Check, frame: pl.DataFrame, _: Against, now: datetime) -> tuple[bool, str]:
    column = frame[check.columns[0]]
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        raise unfit(check, f"the column's values are {column.dtype}")
    newest = in_utc(column.max())
    if newest is None:
        return False, "no time at all"
    return now - newest <= timedelta(seconds=span_s(check.params["within"])), f"the newest is of {newest:%Y-%m-%d %H:%M:%S} UTC"


def _no_new_columns(check: Check, frame: pl.DataFrame, against: Against, now: datetime) -> tuple[bool, str]:
    new = [] if against.held is None else [name for name in against.came if name not in against.held]
    return not new, f"new: {', '.join(new)}" if new else "none is new"


def _same_schema(check: Check, frame: pl.DataFrame, against: Against, now: datetime) -> tuple[bool, str]:
    same, told = _no_new_columns(check, frame, against, now)
    retyped = [
        f"{name} came as {dtype}, not {against.held[name]}"
        for name, dtype in against.came.items()
        if against.held is not None and name in against.held and dtype != pl.Null and stored_type(dtype) != against.held[name]
    ]
    return same and not retyped, "; ".join([*([] if same else [told]), *retyped]) or "as the dataset's"


def _dtype(check: Check, frame: pl.DataFrame, _: Against, now: datetime) -> tuple[bool, str]:
    has = str(frame.schema[check.columns[0]])
    return check.params["dtype"] in (has, has.partition("(")[0]), has


def _share_null(check: Check, frame: pl.DataFrame, _: Against, now: datetime) -> tuple[bool, str]:
    share = 1 - _values(frame, check).len() / frame.height
    return share <= check.params["most"], f"{share:.2%} have no value"


def _mean_between(check: Check, frame: pl.DataFrame, _: Against, now: datetime) -> tuple[bool, str]:
    values = _values(frame, check)
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise unfit(check, f"the column's values are {values.dtype}")
    if not values.len():
        return True, "no value"
    mean = float(values.cast(pl.Float64).mean())  # type: ignore[arg-type] # of numbers it is one
    return _within(check, mean), f"the mean is {mean:.6g}"


def _distinct_between(check: Check, frame: pl.DataFrame, _: Against, now: datetime) -> tuple[bool, str]:
    try:
        count = frame[check.columns[0]].drop_nulls().n_unique()
    except pl.exceptions.PolarsError as error:
        raise unfit(check, str(error).strip().splitlines()[0]) from error
    return _within(check, count), f"{count:,} different values"


def _values(frame: pl.DataFrame, check: Check) -> pl.Series:
    known = frame[check.columns[0]].drop_nulls()
    return known.drop_nans() if known.dtype.is_float() else known


def _within(check: Check, value: Any) -> bool:
    low, high = check.params["low"], check.params["high"]
    return (low is None or value >= low) and (high is None or value <= high)


_FINDERS: Mapping[str, Callable[[Check, pl.DataFrame, Against, datetime], tuple[bool, str]]] = {
    "row_count": _row_count,
    "row_count_like_history": _row_count_like_history,
    "fresh": _fresh,
    "no_new_columns": _no_new_columns,
    "same_schema": _same_schema,
    "dtype": _dtype,
    "share_null": _share_null,
    "mean_between": _mean_between,
    "distinct_between": _distinct_between,
}
