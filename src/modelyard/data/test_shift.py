import polars as pl

from modelyard.data.profile import merge, profile
from modelyard.data.shift import compare_profiles


def test_a_columns_shift_is_told_from_the_profiles() -> None:
    before = profile(pl.DataFrame({"x": range(1000), "c": ["a"] * 500 + ["b"] * 500, "n": [None, 1] * 500, "old": range(1000)}))
    after = profile(pl.DataFrame({"x": range(500, 1500), "c": ["b"] * 750 + ["c"] * 250, "n": [1] * 1000, "c2": [""] * 1000}))
    x, c, n = compare_profiles(before, after)
    assert (x.mean_before, x.mean_after, x.distance) == (499.5, 999.5, 0.5)
    assert (c.distinct_before, c.distinct_after, c.distance) == (2, 2, 0.5)
    assert [(one.name, one.before, one.after) for one in c.categories] == [("a", 0.5, 0.0), ("b", 0.5, 0.75), ("c", 0.0, 0.25)]
    assert (n.name, n.nulls_before, n.nulls_after, n.distance) == ("n", 0.5, 0.0, 0.0)


def test_a_profile_beside_itself_and_beside_nothing_has_not_moved() -> None:
    rows = pl.DataFrame({"x": [1.0, 2.0, None], "c": ["a", None, "b"], "gone": [None, None, None]})
    whole = profile(rows)
    assert [one.distance for one in compare_profiles(whole, merge(whole, whole))] == [0.0, 0.0, None]
    assert [one.distance for one in compare_profiles(whole, profile(rows.clear()))] == [None, None, None]


def test_of_categories_that_a_profile_does_not_name_nothing_is_said() -> None:
    before = profile(pl.DataFrame({"c": ["a"] * 70 + ["b"] * 30}))
    grown = merge(before, profile(pl.DataFrame({"c": ["a"] * 20 + ["c"] * 80}), before))
    fresh = profile(pl.DataFrame({"c": ["a"] * 90 + ["b"] * 30 + ["c"] * 80}))
    [shift] = compare_profiles(grown, fresh)
    assert (shift.categories, shift.distance, shift.distinct_before, shift.distinct_after) == ((), 0.0, None, 3)
    [shift] = compare_profiles(before, grown)
    assert [(one.name, one.before, one.after) for one in shift.categories] == [("a", 0.7, 0.45), ("b", 0.3, 0.15)]
    assert round(shift.distance or 0, 9) == 0.4
