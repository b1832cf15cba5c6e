"""Steps on categories: two together."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.prepare import Pipeline, Transform, fit, prep, preview

words = st.text("a|\\", max_size=4)


@given(st.tuples(words, words), st.tuples(words, words))
def test_two_pairs_are_one_category_only_when_they_are_the_same(first: tuple[str, str], second: tuple[str, str]) -> None:
    steps = (prep.cross("l", "r"), prep.ordinal("l_x_r"), prep.keep("l_x_r"))
    found = preview(*steps, l=[first[0], second[0]], r=[first[1], second[1]])["l_x_r"]
    assert (found[0] == found[1]) == (first == second)


def test_a_pair_that_was_not_seen_and_one_with_a_missing_part_are_told_apart() -> None:
    steps = (prep.cross("l", "r", "pair"), prep.ordinal("pair"), prep.keep("pair"))
    frame = pl.DataFrame({"l": ["a", "a", "b"], "r": [1, 1, 2]})
    transform = Transform(fit(Pipeline(steps), frame))
    rows: list[dict[str, object]] = [{"l": "a", "r": 1}, {"l": "b", "r": 2}, {"l": "a", "r": 2}, {"l": None, "r": 1}]
    assert str(transform.rows(rows)[:, 0].tolist()) == "[0.0, 1.0, -1.0, nan]"


def test_a_number_is_no_category() -> None:
    with pytest.raises(Problem, match="it takes integer or boolean or text, and the column holds number"):
        preview(prep.cross("l", "r"), l=["a"], r=[1.5])
