"""Steps on numbers that learn where most of them lie: bounds against outliers, ranks."""

import math
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.prepare import Pipeline, Transform, fit, prep, preview
from modelyard.prepare.types import DeclaredStep

LARGEST = sys.float_info.max
numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30)


def learned(step: DeclaredStep, values: list[float]) -> Transform:
    return Transform(fit(Pipeline((step,)), pl.DataFrame({"x": values})))


def answers(transform: Transform, values: list[float]) -> list[float]:
    return [float(value) for value in transform.frame(pl.DataFrame({"x": values}))["x"]]


def test_outliers_end_at_the_fence_of_the_training_rows() -> None:
    values = np.random.default_rng(3).normal(size=500)
    first, third = np.quantile(values, [0.25, 0.75])
    step = learned(prep.clamp_outliers("x", factor=2), values.tolist())
    low, high, inside, missing = answers(step, [-1e9, math.inf, 0.25, math.nan])
    assert low == pytest.approx(first - 2 * (third - first), rel=1e-6)
    assert high == pytest.approx(third + 2 * (third - first), rel=1e-6)
    assert (inside, math.isnan(missing)) == (0.25, True)
    share = learned(prep.clamp_outliers("x", method="quantile", share=0.1), values.tolist())
    assert answers(share, [-1e9, 1e9]) == pytest.approx(np.quantile(values, [0.1, 0.9]).tolist(), rel=1e-6)


def test_a_column_that_is_mostly_one_value_is_not_made_constant() -> None:
    assert preview(prep.clamp_outliers("x"), x=[0, 0, 0, 0, 9])["x"] == [0, 0, 0, 0, 9]


@given(numbers)
@example([LARGEST, -LARGEST])
@example([LARGEST, -LARGEST, 0.0, 1e-320])
@example([-0.0, 0.0])
def test_ranks_rise_from_0_to_1_over_any_numbers(values: list[float]) -> None:
    transform = learned(prep.quantile_rank("x", count=7), values)
    probes = sorted([*values, *(value / 2 for value in values), *(value / 2 + max(values) / 2 for value in values)])
    found = answers(transform, probes)
    assert all(0 <= rank <= 1 for rank in found)
    assert found == sorted(found)
    assert answers(transform, [-math.inf, math.inf]) == [0, 1]


def test_ranks_are_even_whatever_the_distribution() -> None:
    values = np.random.default_rng(5).lognormal(sigma=2, size=4000)
    found = np.array(answers(learned(prep.quantile_rank("x", count=101), values.tolist()), values.tolist()))
    assert np.histogram(found, bins=10, range=(0, 1))[0] == pytest.approx([400] * 10, rel=0.02)
    exact = (values.argsort().argsort()) / (len(values) - 1)
    assert np.abs(found - exact).max() < 0.01


def test_between_two_quantiles_ranks_lie_on_a_line_and_equal_ones_have_their_middle() -> None:
    transform = learned(prep.quantile_rank("x"), [0, 0, 0, 10, 20])
    assert answers(transform, [-1, 0, 5, 10, 15, 20, 21]) == pytest.approx([0, 0.25, 0.5, 0.75, 0.875, 1, 1])
    assert answers(learned(prep.quantile_rank("x"), [7.0]), [6.0, 7.0, 8.0]) == [0, 0.5, 1]


@given(st.floats(-1e30, 1e30))
def test_the_logarithm_with_a_sign_is_odd(value: float) -> None:
    found = preview(prep.sign_log("x"), prep.absolute("y"), x=[value, -value], y=[value, -value])
    assert found["x"][0] == -found["x"][1]
    assert found["x"][0] == pytest.approx(math.copysign(math.log1p(abs(value)), value))
    assert found["y"] == pytest.approx([abs(value)] * 2)
