"""Verdicts on slices: honest where many are asked about, and where the fits themselves differ by chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.training.examination import (
    Chance,
    Difference,
    SliceHarm,
    adjusted,
    chance_of,
    difference,
    judge,
    student_quantile,
    student_tail,
)
from modelyard.training.slices import RowSlice, SliceKind

stats = pytest.importorskip("scipy.stats")


def harm(name: str) -> SliceHarm:
    """Return a slice that is not judged yet."""
    return SliceHarm(RowSlice(SliceKind.NULL, name, 100, column=name), 1.0)


@given(st.floats(-40, 40), st.integers(1, 250))
def test_the_tail_of_students_t_is_scipys(t: float, freedom: int) -> None:
    assert student_tail(t, freedom) == pytest.approx(
        float(stats.t.sf(t, freedom)), abs=1e-10
    )  # SciPy gives 0.5 for t below 1e-11


@given(st.floats(1e-5, 0.49), st.integers(1, 250))
def test_the_quantile_is_where_the_tail_is_that_chance(chance: float, freedom: int) -> None:
    assert student_tail(student_quantile(chance, freedom), freedom) == pytest.approx(chance, rel=1e-6)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_adjusted_p_values_keep_their_order_and_are_never_smaller(p_values: list[float]) -> None:
    found = adjusted(p_values)
    assert all(new >= old for new, old in zip(found, p_values, strict=True))
    assert all(new <= 1 for new in found)
    ranked = [found[place] for place in np.argsort(p_values, kind="stable")]
    assert ranked == sorted(ranked)


def test_of_many_sound_slices_none_is_called_harmful_but_seldom() -> None:
    rng, wrong = np.random.default_rng(5), 0
    for _ in range(400):
        controls = [Difference(float(rng.normal(0, 2)), 1.0) for _ in range(10)]  # fits differ more than the rows tell
        measured = [(harm(str(number)), Difference(float(rng.normal(0, 2)), 1.0)) for number in range(20)]
        wrong += any(one.harmful for one in judge(measured, controls))
    assert wrong / 400 < 0.07


def test_a_large_gain_is_called_harmful_and_comes_first() -> None:
    controls = [Difference(value, 0.001) for value in (-0.001, 0.0, 0.001, -0.002, 0.0005)]
    measured = [
        (harm("none"), Difference(0.0005, 0.001)),
        (harm("bad"), Difference(0.05, 0.01)),
        (harm("good"), Difference(-0.1, 0.01)),
    ]
    found = judge(measured, controls)
    assert [one.slice.name for one in found] == ["bad", "none", "good"]
    assert [one.harmful for one in found] == [True, False, False]
    bad = found[0]
    assert bad.low is not None
    assert bad.high is not None
    assert 0 < bad.low < 0.05 < bad.high
    assert judge([], []) == []


def test_a_gain_that_any_rows_left_out_would_bring_is_no_harm() -> None:
    lucky = [Difference(0.02 + 0.0001 * number, 0.001) for number in range(5)]  # the model of all rows is an unlucky one
    [found] = judge([(harm("slice"), Difference(0.0202, 0.001))], lucky)
    assert not found.harmful


def test_chance_takes_only_as_much_from_controls_as_they_show() -> None:
    chance = Chance(0.0, 3.0, 0.001, 10)
    assert chance.error_of(Difference(0, 0.0001)) == pytest.approx(0.0001 * np.sqrt(1 + 8 * 1.1)), "as controls, three times"
    assert chance.error_of(Difference(0, 0.1)) == pytest.approx(0.1, rel=0.01), "no more than theirs"
    assert chance.freedom_of(Difference(0, 0.1)) == 200
    assert chance.freedom_of(Difference(0, 0.0001)) in range(9, 13)
    assert chance_of([Difference(0, 0.1), Difference(0, 0.1)]).inflation == 1.0
    assert chance.tail_of(Difference(0.0, 0.0)) == 1.0, "a slice without which nothing changes"


def test_errors_of_one_storm_are_one_piece_of_evidence() -> None:
    rng = np.random.default_rng(3)
    storms = np.repeat(rng.normal(0, 1, 100), 20)
    losses, order = rng.random(2000) + storms, np.arange(2000.0)
    alone = difference(losses, np.zeros(2000))
    together = difference(losses, np.zeros(2000), order)
    assert together.mean == alone.mean
    assert together.error > 2 * alone.error
    shuffled = rng.permutation(2000)
    assert difference(losses[shuffled], np.zeros(2000), order[shuffled]).error == pytest.approx(together.error)
