"""Harm: the closed forms against the recursions, resuming, false alarms and delay."""

import numpy as np
import pytest

from modelyard.core import Problem, canonical_json
from modelyard.monitoring.harm import BETS, BLOCK_BETS, Cusum, EDetector


def bernoulli(seed: int, share: float, rows: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return (np.random.default_rng(seed).random(rows) < share).astype(np.float64)


def e_detector_by_loop(losses: np.ndarray[tuple[int], np.dtype[np.float64]], p: float, threshold: float) -> list[int]:
    sizes = np.minimum(np.array(BETS) / max(p, 0.02), 0.99 / p)
    evidence, alarms = np.zeros(len(BETS)), []
    for index, loss in enumerate(losses):
        evidence = (1 + evidence) * (1 + sizes * (loss - p))
        if evidence.mean() >= threshold:
            alarms.append(index)
            evidence = np.zeros(len(BETS))
    return alarms


def test_the_closed_form_is_the_recursion() -> None:
    losses = np.concatenate([bernoulli(1, 0.2, 3_000), bernoulli(2, 0.4, 1_500)])
    _, alarms = EDetector(expected=0.2, tolerance=0.01, threshold=1e3).update(losses)
    assert list(alarms) == e_detector_by_loop(losses, 0.21, 1e3)
    assert len(alarms) > 1


def test_cusum_is_the_recursion() -> None:
    losses = np.concatenate([bernoulli(3, 0.2, 2_000), bernoulli(4, 0.4, 1_000)])
    up, down = np.log(0.25 / 0.2), np.log(0.75 / 0.8)
    score, alarms = 0.0, []
    for index, loss in enumerate(losses):
        score = max(0.0, score + loss * up + (1 - loss) * down)
        if score > 8:
            alarms.append(index)
            score = 0.0
    detector, found = Cusum(expected=0.2).update(losses)
    assert list(found) == alarms
    assert len(alarms) > 1
    assert detector.score == pytest.approx(score)


@pytest.mark.parametrize("detector", [EDetector(expected=0.2, threshold=1e3), Cusum(expected=0.2)])
def test_a_detector_goes_on_from_its_json(detector: EDetector | Cusum) -> None:
    losses = np.concatenate([bernoulli(5, 0.2, 500), bernoulli(6, 0.45, 700)])
    whole, alarms = detector.update(losses)
    found, state = [], detector
    for start in range(0, losses.size, 97):
        state = type(state).from_json(state.to_json())
        state, part = state.update(losses[start : start + 97])
        found += [start + index for index in part]
    assert tuple(found) == alarms
    assert (state.labels, state.alarms) == (1_200, len(alarms))
    assert state.level == pytest.approx(whole.level)
    assert canonical_json(state.to_json())


def test_false_alarms_are_rarer_than_promised() -> None:
    rows, threshold = 200_000, 1e3
    detector, alarms = EDetector(expected=0.2, tolerance=0.0, threshold=threshold).update(bernoulli(7, 0.2, rows))
    assert len(alarms) <= rows / threshold
    assert detector.alarms == len(alarms)
    assert len(EDetector(expected=0.2).update(bernoulli(8, 0.2, rows))[1]) <= rows / 1e4
    assert len(Cusum(expected=0.2).update(bernoulli(9, 0.2, rows))[1]) <= rows // 10_000


@pytest.mark.parametrize(("rise", "labels"), [(0.05, 1_500), (0.1, 400), (0.2, 130)])
def test_harm_is_found_soon(rise: float, labels: int) -> None:
    delays = []
    for seed in range(15):
        quiet, before = EDetector(expected=0.2).update(bernoulli(100 + seed, 0.2, 1_000))
        assert before == ()
        delays.append((*quiet.update(bernoulli(200 + seed, 0.2 + rise, 6_000))[1], 6_000)[0])
    assert np.median(delays) < labels


@pytest.mark.parametrize("expected", [0.0, 1e-6, 0.5, 0.99, 1.0])
def test_any_expected_loss_will_do(expected: float) -> None:
    for detector in (EDetector(expected=expected), Cusum(expected=expected)):
        after, alarms = detector.update(np.full(3_000, expected))
        assert alarms == ()
        assert np.isfinite(after.level)
        assert after.update(np.ones(3_000))[1] or expected >= 0.99


def test_rows_that_err_together_are_fed_as_blocks() -> None:
    rng = np.random.default_rng(10)
    storm = np.clip(rng.normal(0.16, 0.07, 400), 0.02, 0.9)  # mean loss of a day; its 800 flights share the weather
    rows = (rng.random((400, 800)) < storm[:, None]).astype(np.float64)
    assert len(EDetector(expected=0.16).update(rows.ravel())[1]) > 50  # a false alarm a week
    daily = EDetector(expected=0.16, tolerance=0.02, threshold=30, bets=BLOCK_BETS)
    quiet, alarms = daily.update(rows.mean(axis=1))
    assert len(alarms) <= 400 / 30
    harmed = quiet.update(np.clip(rng.normal(0.26, 0.07, 60), 0, 1))[1]
    assert harmed[0] < 15


@pytest.mark.parametrize("loss", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_loss_outside_its_bounds_is_refused(loss: float) -> None:
    for detector in (EDetector(expected=0.2), Cusum(expected=0.2)):
        with pytest.raises(Problem, match="outside 0 to 1"):
            detector.update([0.5, loss])


def test_no_labels_change_nothing() -> None:
    assert EDetector(expected=0.2).update([])[0].level == 0
    assert Cusum(expected=0.2).update([]) == (Cusum(expected=0.2), ())
