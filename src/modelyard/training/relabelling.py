"""Labels that the other rows speak against: by the answers of models that were not fitted on the row."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelyard.training.influence import Array

_FAR = 6.0  # standard deviations of the middle of the errors
_NORMAL = 1.4826  # the standard deviation of a normal law, in median absolute deviations


@dataclass(frozen=True)
class Doubts:
    """How far each label is doubted, and what it would rather be; arrays of shape (n,)."""

    score: Array  # from 0 to 1
    suggested: Array
    disputed: NDArray[np.bool_]  # whether it is doubted enough to be looked at


def doubt_labels(labels: Array, answers: Array) -> Doubts:
    """Return how far answers of models that did not see the rows speak against their labels.

    Of two classes, 0 and 1, the score is the probability of the other one, and a label is disputed where that is at least what
    rows of the other class have on average: confident learning, Northcutt et al. 2021. Of other labels the score is the share
    of rows whose error is smaller, and a label is disputed from six standard deviations on, taken from the median error.

    >>> doubt_labels(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.9, 0.9, 0.8])).disputed.tolist()
    [False, True, False, False]
    """
    if np.isin(labels, (0.0, 1.0)).all():
        positive = labels == 1
        other = np.where(positive, 1 - answers, answers)
        usual = np.array(
            [answers[positive].mean() if positive.any() else 1.0, 1 - answers[~positive].mean() if (~positive).any() else 1.0]
        )
        return Doubts(np.clip(other, 0.0, 1.0), 1 - labels, other >= usual[positive.astype(np.int64)])
    errors = np.abs(answers - labels - np.median(answers - labels))
    ranks = np.searchsorted(np.sort(errors), errors, side="left") / len(errors)
    return Doubts(ranks, answers, errors > _FAR * _NORMAL * max(float(np.median(errors)), np.finfo(np.float64).tiny))
