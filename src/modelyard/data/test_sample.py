import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.data.sample import sample_places, sample_rows
from modelyard.data.split import split_frame
from modelyard.data.types import Split, SplitKind


@given(st.integers(0, 400), st.integers(1, 450), st.integers(-5, 5))
def test_as_many_places_are_drawn_as_asked_for_each_once_in_their_order(height: int, size: int, seed: int) -> None:
    found = sample_places(height, size, seed)
    assert found.size == min(height, size)
    assert (np.diff(found) > 0).all()
    assert ((found >= 0) & (found < height)).all()
    assert np.array_equal(found, sample_places(height, size, seed))


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 3))
def test_a_smaller_sample_is_part_of_a_larger_one(size: int, more: int, seed: int) -> None:
    assert set(sample_places(500, size, seed)) <= set(sample_places(500, size + more, seed))


def test_every_place_is_drawn_as_often_as_any_other() -> None:
    counts = np.zeros(40)
    for seed in range(1500):
        counts[sample_places(40, 10, seed)] += 1
    spread = 4.5 * (1500 * 0.25 * 0.75) ** 0.5
    assert np.abs(counts - 1500 * 0.25).max() < spread


def test_places_past_a_block_are_drawn_too() -> None:
    found = sample_places(3_000_000, 3000)
    assert found.size == 3000
    thirds = np.bincount(found // 1_000_000)
    assert np.abs(thirds - 1000).max() < 4.5 * (3000 * 2 / 9) ** 0.5


def test_a_sample_has_no_more_to_do_with_the_rows_that_are_tested_on_than_with_others() -> None:
    rows = pl.DataFrame({"x": range(10_000)})
    _, test = split_frame(rows, Split(SplitKind.RANDOM), key=(), time=None)
    both = len(set(sample_places(10_000, 2000).tolist()) & set(test["x"]))
    assert abs(both - 400) < 4.5 * (2000 * 0.16) ** 0.5


def test_rows_are_drawn_by_their_place_and_keep_their_order() -> None:
    rows = pl.DataFrame({"x": [f"r{n}" for n in range(5000)], "y": [None, 1.0] * 2500})
    drawn = sample_rows(rows.lazy(), rows.height, 100, seed=7)
    assert drawn.equals(rows[sample_places(5000, 100, 7).tolist()])
    assert sample_rows(rows.lazy(), rows.height, 5000).equals(rows)
    assert sample_rows(rows.lazy(), rows.height, 9999).equals(rows)


def test_a_sample_of_nothing_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        sample_rows(pl.LazyFrame({"x": [1]}), 1, 0)
    assert refused.value.code == "sample.invalid"
