"""As-of join: to each row what was known before it. Feature computation over sets, done before training and serving."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from modelyard.core import Problem
from modelyard.data.schema import column_missing

_PLACE, _AT, _MET, _KNOWN_AT, _KEY = "place", "at", "met", "known_at", "key"  # frames of these alone


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
        `column.missing`; `column.exists` for two of one name without a suffix; `column.invalid` when the columns of time are no
        times, or one has a zone and the other has none;
        `asof.failed` should a matched row not lie before its row: the result is checked for that leak.

    >>> flights = pl.DataFrame({"at": [5, 9], "origin": ["JFK", "JFK"]}, schema_overrides={"at": pl.Datetime})
    >>> weather = pl.DataFrame({"at": [4, 5], "origin": ["JFK", "JFK"], "wind": [1, 2]}, schema_overrides={"at": pl.Datetime})
    >>> last_before(flights, weather, on="at", by="origin")["wind"].to_list()
    [1, 2]
    """
    keys = [by] if isinstance(by, str) else list(dict.fromkeys(by))
    right_on = right_on or on
    for frame, time in ((left, on), (right, right_on)):
        for name in (*keys, time):
            if name not in frame.columns:
                raise column_missing(name, frame.columns)
    unit = _common_type(left[on], right[right_on])
    # Only keys, times and places are sorted and joined; of all other columns each value is copied once, to where it belongs.
    joined = _sorted(left, keys, on, unit, _AT, _PLACE).join_asof(
        _sorted(right, keys, right_on, unit, _KNOWN_AT, _MET),
        left_on=_AT,
        right_on=_KNOWN_AT,
        by=[f"{_KEY}{number}" for number in range(len(keys))],
        strategy="backward",
        allow_exact_matches=not strict,
        tolerance=tolerance,
        coalesce=False,
        check_sortedness=False,
    )
    _refuse_leak(joined, strict=strict)
    met, is_met = np.zeros(left.height, dtype=np.uint32), np.zeros(left.height, dtype=np.bool_)
    places = joined[_PLACE].to_numpy()
    met[places], is_met[places] = joined[_MET].fill_null(0).to_numpy(), joined[_MET].is_not_null().to_numpy()
    others = [name for name in right.columns if name not in keys]
    values = right.select(pl.col(name).cast(unit) if name == right_on else name for name in others)
    # To gather by places some of which are null takes three times as long.
    gathered = pl.when(pl.Series(is_met)).then(pl.all().gather(pl.Series(met)))
    found = values.select(gathered) if right.height else values.clear(left.height)
    return left.hstack(found.rename(_named(others, left.columns, suffix)))


def _named(names: Sequence[str], taken: Sequence[str], suffix: str) -> dict[str, str]:
    """Return what columns are called beside others: with the suffix where the name is taken, as often as it takes."""
    found: dict[str, str] = {}
    for name in names:
        free = name
        while free in taken or free in found.values() or (free != name and free in names):
            if not suffix:
                why, step = "both sides have it, and there is no suffix", "give one, or rename the column before"
                raise Problem("column.exists", f"Two columns would be called '{name}'", why, step)
            free += suffix
        found[name] = free
    return found


def _sorted(frame: pl.DataFrame, keys: Sequence[str], time: str, unit: pl.Datetime, at: str, place: str) -> pl.DataFrame:
    """Return keys, times and places of the rows that have a time, by time and as they stood."""
    by = [pl.col(name).alias(f"{_KEY}{number}") for number, name in enumerate(keys)]
    rows = frame.select(*by, pl.col(time).cast(unit).alias(at), pl.int_range(pl.len(), dtype=pl.UInt32).alias(place))
    return (rows.filter(pl.col(at).is_not_null()) if frame[time].null_count() else rows).sort(at, maintain_order=True)


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


def _refuse_leak(joined: pl.DataFrame, *, strict: bool) -> None:
    late = pl.col(_KNOWN_AT) >= pl.col(_AT) if strict else pl.col(_KNOWN_AT) > pl.col(_AT)
    leaks = joined.select(late.sum()).item()
    if leaks:
        raise Problem(
            "asof.failed", f"{leaks} rows met what was not known yet", "the join did not look back only", "report this"
        )


def _invalid(column: pl.Series, why: str, step: str) -> Problem:
    return Problem("column.invalid", f"The column '{column.name}' {why}", f"its values are {column.dtype}", step)
