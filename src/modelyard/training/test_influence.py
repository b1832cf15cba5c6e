"""Worths of rows: exact Shapley values, on scales that no outlier sets."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.training.influence import agreeable, row_values, scaled


def by_definition(features: np.ndarray, labels: np.ndarray, asked: int, neighbours: int) -> np.ndarray:
    """Return the values from every subset of the other rows."""
    others = [row for row in range(len(labels)) if row != asked]
    distances = ((features - features[asked]) ** 2).sum(axis=1)

    def worth(rows: tuple[int, ...]) -> float:
        nearest = sorted(rows, key=lambda row: (distances[row], row))[:neighbours]
        return float(sum(1 - abs(labels[row] - labels[asked]) for row in nearest)) / neighbours

    found = np.zeros(len(labels))
    for row in others:
        rest = [one for one in others if one != row]
        for size in range(len(others)):
            for chosen in combinations(rest, size):
                gain = worth((*chosen, row)) - worth(chosen)
                found[row] += gain / (len(others) * comb(len(rest), size))
    return found


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(1, 8))
def test_values_are_those_of_the_definition(seed: int, rows: int, neighbours: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(rows, 2)).astype(np.float32), rng.random(rows)
    expected = (by_definition(features, labels, 0, neighbours) + by_definition(features, labels, rows - 1, neighbours)) / 2
    assert row_values(features, labels, np.array([0, rows - 1]), neighbours) == pytest.approx(expected, abs=1e-9)


def test_a_wrong_label_is_worth_less_than_a_right_one() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(400, 3)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.float64)
    wrong = np.arange(0, 400, 20)
    labels[wrong] = 1 - labels[wrong]
    values = row_values(scaled(features), agreeable(labels), np.arange(400))
    assert set(np.argsort(values)[:10]) <= set(wrong)


def test_scales_are_not_set_by_a_value_in_another_unit() -> None:
    sound = np.linspace(0, 1, 1000, dtype=np.float32)[:, None]
    faulty = np.vstack([sound, np.full((5, 1), 1e9, dtype=np.float32)])
    told = scaled(faulty)
    assert np.ptp(told[:1000]) == pytest.approx(np.ptp(scaled(sound)), rel=0.02)
    assert (told[1000:] == 4).all()


def test_missing_and_infinite_and_single_values_have_a_place() -> None:
    strange = np.array([[np.nan, 1, np.nan], [np.inf, 1, np.nan], [2, 1, np.nan], [3, 1, np.nan]], dtype=np.float32)
    told = scaled(strange)
    assert told.shape == (4, 2), "a column without a value tells nothing"
    assert np.isfinite(told).all()
    assert (told[:, 1] == 0).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_labels_keep_their_order_and_lie_between_0_and_1(labels: list[float]) -> None:
    told, values = agreeable(np.array(labels)), np.array(labels)
    assert ((told >= 0) & (told <= 1)).all()
    assert (np.sign(told[:, None] - told) == np.sign(values[:, None] - values)).all()


def test_two_classes_are_alike_or_not_at_all() -> None:
    assert agreeable(np.array([1.0, 0.0, 0.0, 1.0, 0.0])).tolist() == [1, 0, 0, 1, 0]
