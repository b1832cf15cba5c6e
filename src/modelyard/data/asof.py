"""As-of join: to each row what was known before it. Feature computation over sets, done before training and serving."""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from modelyard.core import Problem
from modelyard.data.schema import column_missing

_PLACE = "__place"


def last_before(
    left: pl.DataFrame,
    right: pl.DataFrame,
    *,
    on: str,
    by: str | Sequence[str],
    right_on: str | None = None,
    strict: bool = True,
    tolerance: str | timedelta | None = None,
    suffix: str = "_right",
) -> pl.DataFrame:
    """Join to each row of `left` the last row of `right` with the same `by` before its time; the order of `left` is kept.

    `on` and `right_on` (the same name when None) are the columns of time. Rows of `left` without a match, a time or a `by` get
    nulls. Of rows of `right` with one time the last one in its order counts. The time of the matched row is kept, under its own
    name, or with the `suffix` where `left` has that name too, as has every other such column: so it can be seen how old it is.

    Parameters
    ----------
    strict
        Only rows before the time count; False: also those of that very time, which at that time may not have been known.
    tolerance
        How old a match may be, both ends included, such as `"6h"`.

    Raises
    ------
    Problem
        `column.missing`; `column.invalid` when the columns of time are no times, or one has a zone and the other has none;
        `asof.failed` should a matched row not lie before its row: the result is checked for that leak.

    >>> flights = pl.DataFrame({"at": [5, 9], "origin": ["JFK", "JFK"]}, schema_overrides={"at": pl.Datetime})
    >>> weather = pl.DataFrame({"at": [4, 5], "origin": ["JFK", "JFK"], "wind": [1, 2]}, schema_overrides={"at": pl.Datetime})
    >>> last_before(flights, weather, on="at", by="origin")["wind"].to_list()
    [1, 2]
    """
    keys = [by] if isinstance(by, str) else list(by)
    right_on = right_on or on
    for frame, time in ((left, on), (right, right_on)):
        for name in (*keys, time):
            if name not in frame.columns:
                raise column_missing(name, frame.columns)
    unit = _common_type(left[on], right[right_on])
    kept = right_on if right_on not in left.columns else right_on + suffix
    known = right.filter(pl.col(right_on).is_not_null()).with_columns(pl.col(right_on).cast(unit))
    known = known.rename({right_on: kept}).sort(kept, maintain_order=True)
    placed = left.with_row_index(_PLACE).with_columns(pl.col(on).cast(unit).alias(_PLACE + on))
    joined = (
        placed.filter(pl.col(on).is_not_null())
        .sort(_PLACE + on, maintain_order=True)
        .join_asof(
            known,
            left_on=_PLACE + on,
            right_on=kept,
            by=keys,
            strategy="backward",
            allow_exact_matches=not strict,
            tolerance=tolerance,
            suffix=suffix,
            coalesce=False,
            check_sortedness=False,
        )
    )
    _refuse_leak(joined, _PLACE + on, kept, strict=strict)
    timeless = placed.filter(pl.col(on).is_null())
    return pl.concat([joined, timeless], how="diagonal").sort(_PLACE).drop(_PLACE, _PLACE + on)


def _common_type(left: pl.Series, right: pl.Series) -> pl.Datetime:
    zones = []
    for column in (left, right):
        if not isinstance(column.dtype, pl.Date | pl.Datetime):
            raise _invalid(column, "holds no times", "cast it to a date or datetime")
        zones.append(column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None)
    if (zones[0] is None) != (zones[1] is None):
        bare = left if zones[0] is None else right
        raise _invalid(bare, "has no zone, and the other one has", "say which is meant: .dt.replace_time_zone('UTC')")
    return pl.Datetime("us", zones[0])


def _refuse_leak(joined: pl.DataFrame, on: str, kept: str, *, strict: bool) -> None:
    late = pl.col(kept) >= pl.col(on) if strict else pl.col(kept) > pl.col(on)
    leaks = joined.filter(late).height
    if leaks:
        raise Problem(
            "asof.failed", f"{leaks} rows met what was not known yet", "the join did not look back only", "report this"
        )


def _invalid(column: pl.Series, why: str, step: str) -> Problem:
    return Problem("column.invalid", f"The column '{column.name}' {why}", f"its values are {column.dtype}", step)
