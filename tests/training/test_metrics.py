"""The metrics against scikit-learn's, on the same answers."""

import numpy as np
import pytest
from sklearn import metrics as peer

from modelyard.training.metrics import measure, roc_auc


def test_a_classifier_is_measured_as_scikit_learn_measures_it() -> None:
    rng = np.random.default_rng(3)
    answers = np.round(rng.random(5000), 2)  # rounded: many ties
    labels = (rng.random(5000) < answers).astype(float)
    found = measure(labels, answers)
    clipped = np.clip(answers, 1e-6, 1 - 1e-6)
    assert found["roc_auc"] == pytest.approx(peer.roc_auc_score(labels, answers), abs=1e-12)
    assert found["log_loss"] == pytest.approx(peer.log_loss(labels, clipped), abs=1e-12)
    assert found["brier"] == pytest.approx(peer.brier_score_loss(labels, answers), abs=1e-12)
    assert found["accuracy"] == pytest.approx(peer.accuracy_score(labels, answers >= 0.5), abs=1e-12)


def test_a_regression_is_measured_as_scikit_learn_measures_it() -> None:
    rng = np.random.default_rng(4)
    labels = rng.normal(size=1000)
    answers = labels + rng.normal(size=1000)
    found = measure(labels, answers)
    assert found["rmse"] == pytest.approx(peer.root_mean_squared_error(labels, answers))
    assert found["mae"] == pytest.approx(peer.mean_absolute_error(labels, answers))
    assert found["r2"] == pytest.approx(peer.r2_score(labels, answers))


def test_one_class_has_no_auc_and_no_rows_have_no_metrics() -> None:
    assert np.isnan(roc_auc(np.zeros(3), np.array([0.1, 0.2, 0.3])))
    assert "roc_auc" not in measure(np.zeros(3), np.array([0.1, 0.2, 0.3]))
    assert measure(np.empty(0), np.empty(0)) == {}


def test_a_certain_wrong_answer_costs_a_bounded_loss() -> None:
    assert measure(np.array([1.0, 0.0]), np.array([0.0, 1.0]))["log_loss"] == pytest.approx(13.8155, abs=1e-3)
