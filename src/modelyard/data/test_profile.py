"""Profiles: what is counted where, merging, and the JSON form."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
import pytest

from modelyard.core import Problem, canonical_json
from modelyard.data.profile import (
    BINS,
    CATEGORIES,
    CategoryProfile,
    NumberKind,
    NumericProfile,
    Profile,
    from_json,
    merge,
    profile,
    to_json,
)


def numeric(of: Profile, name: str) -> NumericProfile:
    column = of.columns[name]
    assert isinstance(column, NumericProfile)
    return column


def category(of: Profile, name: str) -> CategoryProfile:
    column = of.columns[name]
    assert isinstance(column, CategoryProfile)
    return column


def test_bins_hold_equal_shares_of_a_continuous_column() -> None:
    x = np.random.default_rng(1).normal(size=32_000)
    of = numeric(profile(pl.DataFrame({"x": x})), "x")
    assert of.counts == (1000,) * BINS
    assert (of.below, of.above, of.null) == (0, 0, 0)
    assert of.mean == pytest.approx(x.mean())
    assert of.standard_deviation == pytest.approx(x.std(ddof=1))
    assert (of.minimum, of.maximum) == (x.min(), x.max())


def test_a_column_of_few_values_gets_one_bin_a_value() -> None:
    hours = [5] * 50 + [6] * 900 + [23] * 1
    of = numeric(profile(pl.DataFrame({"hour": hours})), "hour")
    assert of.starts == (5.0, 6.0, 23.0)
    assert of.counts == (50, 900, 1)


def test_a_heavy_value_among_many_starts_only_one_bin() -> None:
    rain = np.concatenate([np.zeros(9_000), np.random.default_rng(2).uniform(0.1, 1, 1_000)])
    of = numeric(profile(pl.DataFrame({"rain": rain})), "rain")
    assert of.counts[0] >= 9_000
    assert sum(of.slots) == 10_000
    assert len(set(of.starts)) == len(of.starts) <= BINS


def test_every_row_falls_into_exactly_one_slot() -> None:
    frame = pl.DataFrame({"x": [float("nan"), None, float("inf"), float("-inf"), 1.0, 2.0, 3.0, 9.0, -9.0]})
    reference = profile(pl.DataFrame({"x": [1.0, 2.0, 3.0]}))
    of = numeric(profile(frame, reference), "x")
    assert (of.null, of.below, of.above, of.counts) == (2, 2, 2, (1, 1, 1))
    assert of.finite == 5
    assert of.minimum == -9.0


def test_categories_beyond_the_hundred_most_frequent_are_unseen() -> None:
    planes = [f"N{i:03}" for i in range(150) for _ in range(1 + (i < 100))] + [None]
    of = category(profile(pl.DataFrame({"plane": planes})), "plane")
    assert len(of.names) == CATEGORIES
    assert of.names[0] == "N000"
    assert (of.unseen, of.null) == (50, 1)


def test_booleans_dates_times_and_nested_columns_have_a_stated_place() -> None:
    frame = pl.DataFrame(
        {
            "late": [True, False, None],
            "day": [date(1970, 1, 2), date(1970, 1, 3), None],
            "at": [datetime(1970, 1, 1, 1, tzinfo=UTC), None, datetime(1970, 1, 1, 2, tzinfo=UTC)],
            "clock": [time(0, 1), time(0, 2), None],
            "taken": [timedelta(seconds=3), timedelta(seconds=4), None],
            "tags": [["a"], None, ["b"]],
        }
    )
    of = profile(frame)
    assert category(of, "late") == CategoryProfile(("false", "true"), (1, 1), unseen=0, null=1)
    assert (numeric(of, "day").starts, numeric(of, "day").kind) == ((86_400.0, 172_800.0), NumberKind.TIME)
    assert (numeric(of, "at").starts, numeric(of, "at").kind) == ((3_600.0, 7_200.0), NumberKind.TIME)
    assert (numeric(of, "clock").starts, numeric(of, "clock").kind) == ((60.0, 120.0), NumberKind.NUMBER)
    assert numeric(of, "taken").starts == (3.0, 4.0)
    assert category(of, "tags") == CategoryProfile((), (), unseen=2, null=1)
    assert profile(frame, of) == of


def test_a_column_that_is_missing_or_of_another_kind_counts_as_null() -> None:
    reference = profile(pl.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [1.0, 2.0]}))
    of = profile(pl.DataFrame({"c": ["1", "one"], "extra": [0, 0]}), reference)
    assert numeric(of, "a").null == 2
    assert category(of, "b").null == 2
    assert (numeric(of, "c").null, numeric(of, "c").counts) == (1, (1, 0))
    assert "extra" not in of.columns


def test_merging_is_the_profile_of_all_rows_over_the_same_slots() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=3_000)
    frame = pl.DataFrame({"x": x, "carrier": rng.choice(["AA", "UA", "ZZ"], 3_000)})
    reference = profile(frame.head(1_000).filter(pl.col("carrier") != "ZZ"))
    whole = profile(frame, reference)
    parts = merge(profile(frame.head(700), reference), profile(frame.tail(2_300), reference))
    a, b = numeric(parts, "x"), numeric(whole, "x")
    assert parts.rows == whole.rows
    assert category(parts, "carrier") == category(whole, "carrier")
    assert a.slots == b.slots
    assert a.mean == pytest.approx(b.mean)
    assert a.deviations == pytest.approx(b.deviations)
    ranks = np.searchsorted(np.sort(x), a.quantiles) / x.size
    assert np.abs(ranks - (np.arange(200) + 0.5) / 200).max() < 0.01


def test_profiles_over_other_slots_do_not_merge() -> None:
    a, b = profile(pl.DataFrame({"x": [1, 2]})), profile(pl.DataFrame({"x": [1, 3]}))
    with pytest.raises(Problem, match="slots of 'x' differ"):
        merge(a, b)
    with pytest.raises(Problem, match="columns differ"):
        merge(a, profile(pl.DataFrame({"y": [1, 2]})))


def test_the_json_form_gives_the_profile_back() -> None:
    frame = pl.DataFrame(
        {
            "x": [1.5, None, 2.5],
            "huge": [1e308, -1e308, 1e308],
            "who": ["é", None, "b"],
            "on": [date(2013, 1, 1)] * 3,
            "none": [None] * 3,
        }
    )
    of = profile(frame)
    assert canonical_json(to_json(of)).startswith('{"columns"')
    assert from_json(to_json(of)) == of


def test_an_empty_frame_has_a_profile_and_can_be_a_reference() -> None:
    empty = profile(pl.DataFrame(schema={"x": pl.Float64, "who": pl.String}))
    assert (empty.rows, numeric(empty, "x").slots) == (0, (0, 0))
    of = profile(pl.DataFrame({"x": [1.0, 2.0], "who": ["a", None]}), empty)
    assert numeric(of, "x").above == 2
    assert (category(of, "who").unseen, category(of, "who").null) == (1, 1)


def test_the_largest_floats_of_both_signs_have_a_profile_and_merge_with_nothing() -> None:
    far = profile(pl.DataFrame({"x": [1.7e308, 1.7e308, -1.7e308, -1.7e308]}))
    assert (numeric(far, "x").minimum, numeric(far, "x").finite) == (-1.7e308, 4)
    empty = profile(pl.DataFrame({"x": [None]}, schema={"x": pl.Float64}))
    whole = merge(empty, profile(pl.DataFrame({"x": [1.3e154, -1.3e154, 1.5e154]}), empty))
    assert numeric(whole, "x").deviations == numeric(profile(pl.DataFrame({"x": [1.3e154, -1.3e154, 1.5e154]})), "x").deviations
