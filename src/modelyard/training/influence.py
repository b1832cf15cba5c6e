"""What single rows are worth to a model: exact Shapley values of a nearest-neighbour model that stands in for it.

Another model than the trained one, on purpose: these values cost one sort for each row that is asked, where those of the
trained model would cost a fit a row. They say where to look; what a model gains without rows is measured by fitting it again.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Features = NDArray[np.float32]

NEIGHBOURS = 10
MOST_ASKED = 1_000  # rows whose prediction is shared out among the others
_CLIP = 4.0  # spreads: a value in another unit is far away, and no further
_TAIL = 0.01
_BLOCK = 64  # asked rows at once: their distances to a million rows are 250 MB


def scaled(features: Features) -> Features:
    """Return features in units of their spread, such that no outlier sets it: shape (n, k), missing values in the middle.

    The spread is the standard deviation of the values between the 1 % and the 99 % quantile, or of all where those are one.
    """
    with np.errstate(invalid="ignore"):
        values = np.where(np.isfinite(features), features, np.nan).astype(np.float64)
    values = values[:, ~np.isnan(values).all(axis=0)]
    low, middle, high = np.nanquantile(values, [_TAIL, 0.5, 1 - _TAIL], axis=0)
    inner, whole = np.nanstd(np.clip(values, low, high), axis=0), np.nanstd(values, axis=0)
    spread = np.where(inner > 0, inner, np.where(whole > 0, whole, 1.0))
    near: Features = np.nan_to_num(np.clip((values - middle) / spread, -_CLIP, _CLIP), nan=0.0).astype(np.float32)
    return near


def agreeable(labels: Array) -> Array:
    """Return labels on a scale from 0 to 1, where two are alike by 1 less their distance: ranks, and of two classes 0 and 1."""
    _, where, counts = np.unique(labels, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - (counts + 1) / 2
    reach = middles[-1] - middles[0]
    ranks: Array = (middles[where] - middles[0]) / (reach if reach else 1.0)
    return ranks


def row_values(features: Features, labels: Array, asked: NDArray[np.int64], neighbours: int = NEIGHBOURS) -> Array:
    """Return each row's Shapley value, shape (n,): what it adds to predicting the asked rows by their nearest others.

    A set of rows is worth, to an asked row, the mean of 1 - |difference of labels| over its `neighbours` rows nearest to that
    one, where missing neighbours count 0; an asked row is no neighbour of itself. The values are exact and sum up to what all
    rows together are worth, averaged over the asked ones; rows worth less than nothing make that model worse. Jia et al. 2019,
    "Efficient task-specific data valuation for nearest neighbor algorithms", theorem 1.

    Parameters
    ----------
    features
        Shape (n, k), finite and on comparable scales: see `scaled`.
    labels
        Shape (n,), from 0 to 1: see `agreeable`.
    asked
        Places of rows, at least one.

    >>> places = np.array([[0.0], [0.1], [0.2], [9.0]], dtype=np.float32)
    >>> row_values(places, np.array([1.0, 1.0, 0.0, 1.0]), np.array([0]), neighbours=1).round(2).tolist()
    [0.0, 0.83, -0.17, 0.33]
    """
    total = np.zeros(len(labels))
    others = len(labels) - 1
    ranks = np.arange(1, others)
    weights = np.minimum(neighbours, ranks) / (ranks * neighbours)  # of the step from the next farther row to this one
    squares = np.einsum("nk,nk->n", features, features)
    for start in range(0, len(asked), _BLOCK):
        block = asked[start : start + _BLOCK]
        distances = squares - 2 * features[block] @ features.T  # but for a constant of each asked row
        for row, place in enumerate(block):
            distances[row, place] = np.inf
            order = np.argsort(distances[row], kind="stable")[:-1]
            alike = 1 - np.abs(labels[order] - labels[place])
            farthest = alike[-1] * min(neighbours, others) / (neighbours * others)
            steps = (alike[:-1] - alike[1:]) * weights
            total[order] += farthest + np.append(np.cumsum(steps[::-1])[::-1], 0.0)
    return total / len(asked)
