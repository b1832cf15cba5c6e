from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.data import Check, quality
from modelyard.data.batch_findings import HISTORY, Against, find_alone, find_whole

NOW = datetime(2013, 4, 1, tzinfo=UTC)
NAN = float("nan")


def outcome(check: Check, frame: pl.DataFrame, held: pl.Schema | None = None, sizes: tuple[int, ...] = ()) -> tuple[bool, str]:
    """Return whether the batch passes, and what was found."""
    [one] = find_whole(frame, [check], Against(frame.schema, held, sizes), now=NOW)
    assert one.rows_failed in (0, frame.height)
    return one.rows_failed == 0, one.found


@pytest.mark.parametrize(
    ("check", "values", "passes", "found"),
    [
        (quality.row_count(2, 3), [1, 2], True, "2 rows"),
        (quality.row_count(2, 3), [1], False, "1 rows"),
        (quality.row_count(None, 3), [1] * 4, False, "4 rows"),
        (quality.fresh("x", "2d"), [NOW - timedelta(days=9), NOW - timedelta(days=2), None], True, "2013-03-30 00:00:00"),
        (quality.fresh("x", "2d"), [NOW - timedelta(days=2, seconds=1)], False, "2013-03-29 23:59:59"),
        (quality.fresh("x", "1h"), [datetime(2013, 3, 31, 23, 30)], True, "23:30:00"),
        (quality.fresh("x", "1d"), [date(2013, 3, 31)], True, "2013-03-31"),
        (quality.fresh("x", "1d"), pl.Series([None], dtype=pl.Date), False, "no time at all"),
        (quality.share_null("x", 0.25), [1.0, 2.0, 3.0, None], True, "25.00% have no value"),
        (quality.share_null("x", 0.25), [1.0, 2.0, NAN, None], False, "50.00% have no value"),
        (quality.mean_between("x", 1, 2), [1, 2, None], True, "the mean is 1.5"),
        (quality.mean_between("x", 1, 2), [1.0, 4.0, NAN], False, "the mean is 2.5"),
        (quality.mean_between("x", 0.5, None), [True, False, False], False, "the mean is 0.333333"),
        (quality.mean_between("x", 0, 1), [float("inf"), 0.5], False, "inf"),
        (quality.mean_between("x", 1, 2), pl.Series([None], dtype=pl.Float64), True, "no value"),
        (quality.distinct_between("x", 2, 2), ["a", "b", "a", None], True, "2 different values"),
        (quality.distinct_between("x", 2, None), ["a", "a"], False, "1 different values"),
        (quality.dtype("x", "Int64"), [1], True, "Int64"),
        (quality.dtype("x", "Int64"), ["1"], False, "String"),
        (quality.dtype("x", "Datetime"), [NOW], True, "Datetime"),
    ],
)
def test_each_check_of_a_batch_passes_or_fails_it_whole(check: Check, values: Any, passes: bool, found: str) -> None:
    told = outcome(check, pl.DataFrame({"x": values}))
    assert told[0] is passes
    assert found in told[1]


@pytest.mark.parametrize("check", [quality.mean_between("x", 0, 1), quality.fresh("x", "1d"), quality.share_null("y", 0.5)])
def test_a_check_of_a_batch_that_does_not_fit_is_told(check: Check) -> None:
    with pytest.raises(Problem) as told:
        outcome(check, pl.DataFrame({"x": ["a"]}))
    assert told.value.code == ("column.missing" if check.columns == ("y",) else "check.invalid")


def test_schema_drift_is_told_with_what_is_new_and_what_came_otherwise() -> None:
    held = pl.Schema({"id": pl.Int64(), "at": pl.Datetime("us", "UTC"), "origin": pl.String()})
    frame = pl.DataFrame({"id": ["1"], "at": [NOW], "origin": [None], "seats": [1]}).with_columns(
        pl.col("at").dt.cast_time_unit("ns"), pl.col("origin").cast(pl.Null)
    )
    assert outcome(quality.no_new_columns(), frame, held) == (False, "new: seats")
    assert outcome(quality.same_schema(), frame, held) == (False, "new: seats; id came as String, not Int64")
    same = frame.drop("seats").with_columns(pl.col("id").cast(pl.Int64))
    assert outcome(quality.same_schema(), same, held) == (True, "as the dataset's")
    assert outcome(quality.same_schema(), frame, None)[0], "a first batch decides the columns"
    assert outcome(quality.no_new_columns(), frame, None)[0]


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=HISTORY), st.integers(1, 100_000), st.floats(1.01, 10))
def test_a_batch_like_history_is_within_the_factor_of_the_median_on_both_sides(
    sizes: list[int], rows: int, factor: float
) -> None:
    usual = sorted(sizes)[len(sizes) // 2] if len(sizes) % 2 else sum(sorted(sizes)[len(sizes) // 2 - 1 :][:2]) / 2
    passes, found = outcome(quality.row_count_like_history(factor), pl.DataFrame({"x": range(rows)}), None, tuple(sizes))
    assert passes is (usual / factor <= rows <= usual * factor)
    assert f"{rows:,} rows" in found


def test_two_batches_are_too_few_to_compare_with() -> None:
    assert outcome(quality.row_count_like_history(), pl.DataFrame({"x": range(99)}), None, (1, 1))[0]


def test_rows_that_stand_alone_are_judged_by_both_sorts_of_checks() -> None:
    frame = pl.DataFrame({"x": [1, None]})
    found = find_alone(frame, [quality.row_count(3, None), quality.not_null("x")], now=NOW)
    assert [(one.check.kind, one.rows_failed, one.found) for one in found] == [("not_null", 1, ""), ("row_count", 2, "2 rows")]
