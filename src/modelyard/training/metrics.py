"""The metrics that every run is measured by, beside those it logs itself.

Answers are probabilities of the positive class, shape (n,), and labels 0 or 1; for a regression both are values. All means are
over rows.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from modelyard.training.types import Direction

Array = NDArray[np.float64]

CLIP = 1e-6  # log loss of a row is at most 13.8


def log_losses(labels: Array, answers: Array) -> Array:
    """Return each row's negative log likelihood in nats, with answers clipped to [1e-6, 1 - 1e-6]."""
    p = np.clip(answers, CLIP, 1 - CLIP)
    losses: Array = -(labels * np.log(p) + (1 - labels) * np.log1p(-p))
    return losses


def brier_losses(labels: Array, answers: Array) -> Array:
    """Return each row's squared error of the probability, in [0, 1]. Brier 1950."""
    losses: Array = (answers - labels) ** 2
    return losses


def absolute_errors(labels: Array, answers: Array) -> Array:
    """Return each row's absolute error."""
    losses: Array = np.abs(answers - labels)
    return losses


ROW_LOSSES: Mapping[str, Callable[[Array, Array], Array]] = {
    "log_loss": log_losses,
    "brier": brier_losses,
    "squared_error": brier_losses,
    "absolute_error": absolute_errors,
}

# What is better for each metric known by name; a run may log others, whose direction its trainer states.
DIRECTIONS: Mapping[str, Direction] = {
    "roc_auc": Direction.MAXIMISE,
    "accuracy": Direction.MAXIMISE,
    "r2": Direction.MAXIMISE,
    "log_loss": Direction.MINIMISE,
    "brier": Direction.MINIMISE,
    "rmse": Direction.MINIMISE,
    "mae": Direction.MINIMISE,
}


def roc_auc(labels: Array, answers: Array) -> float:
    """Return the area under the ROC curve, ties counted half; NaN when only one class is there. Hanley and McNeil 1982.

    >>> roc_auc(np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.2, 0.9]))
    0.75
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, where, counts = np.unique(answers, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    ranks = middle[where]
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def measure(labels: Array, answers: Array) -> dict[str, float]:
    """Return the metrics of labelled answers: of a classifier when all labels are 0 or 1, else of a regression.

    No rows give no metrics; a metric that is not defined on these rows (AUC of one class) is left out.
    """
    if not len(labels):
        return {}
    if np.isin(labels, (0.0, 1.0)).all():
        found = {
            "log_loss": float(log_losses(labels, answers).mean()),
            "brier": float(brier_losses(labels, answers).mean()),
            "roc_auc": roc_auc(labels, answers),
            "accuracy": float(((answers >= 0.5) == (labels == 1)).mean()),  # noqa: PLR2004 - the usual cut
            "base_rate": float(labels.mean()),
            "mean_prediction": float(answers.mean()),
        }
    else:
        errors = answers - labels
        spread = float(((labels - labels.mean()) ** 2).mean())
        found = {
            "rmse": float(np.sqrt((errors**2).mean())),
            "mae": float(np.abs(errors).mean()),
            "r2": 1 - float((errors**2).mean()) / spread if spread else float("nan"),
        }
    return {name: value for name, value in found.items() if np.isfinite(value)}
