"""scikit-learn behind the framework port: models kept by skops (no pickle), converted by skl2onnx."""

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.base import BaseEstimator, is_classifier
from sklearn.ensemble import BaseEnsemble

from modelyard.core import Problem
from modelyard.training.matrix import MatrixFramework, unconvertible

# Types that skops does not trust by itself, read and found to hold arrays and numbers only. A model with any other is refused.
TRUSTED = frozenset(
    {
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    }
)


class SklearnFramework(MatrixFramework):
    """scikit-learn's estimators and pipelines of them."""

    name = "sklearn"

    def owns(self, model: object) -> bool:
        """Return whether `model` is a fitted estimator of scikit-learn's kind."""
        return isinstance(model, BaseEstimator) and hasattr(model, "predict")

    def save(self, model: object, to: Path) -> None:
        """Write the model as a skops archive."""
        skops.io.dump(model, to)

    def load(self, path: Path) -> object:
        """Read a skops archive that holds trusted types only.

        Raises
        ------
        Problem
            `model.refused` for a type outside the trust list, `model.invalid` for a file that is no skops archive.
        """
        try:
            strange = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED)
        except Exception as error:
            raise Problem(
                "model.invalid", "The model file cannot be read", f"it is no skops archive ({error})", "register the run again"
            ) from error
        if strange:
            raise Problem(
                "model.refused",
                "The model is not loaded",
                f"it holds types that this server does not trust: {', '.join(strange)}",
                "train it with scikit-learn's own estimators, or keep only its ONNX form",
            )
        loaded: object = skops.io.load(path, trusted=sorted(TRUSTED))
        return loaded

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities (classifiers) or values (regressors); see the port."""
        assert isinstance(model, BaseEstimator)  # noqa: S101 - tells mypy what `owns` has established
        if is_classifier(model):
            shares = np.asarray(model.predict_proba(features), dtype=np.float64)
            return shares[:, 1] if shares.shape[1] == 2 else shares  # noqa: PLR2004 - two classes: the second is the positive
        return np.asarray(model.predict(features), dtype=np.float64).reshape(len(features))

    def to_onnx(self, model: object, features: int) -> bytes:
        """Return the model as ONNX with plain probability tensors.

        Raises
        ------
        Problem
            `model.invalid` when skl2onnx knows no converter for a part of it.
        """
        model = _with_float32_splits(model)
        options = {id(model): {"zipmap": False}} if is_classifier(model) else None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # skl2onnx's own, about NumPy
                converted = to_onnx(model, np.zeros((1, features), dtype=np.float32), options=options)
        except Exception as error:  # skl2onnx raises a dozen kinds for one cause
            raise unconvertible(type(model).__name__, error) from error
        return bytes(converted.SerializeToString())

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        """Return the split values of trees and of ensembles of them, by feature; empty for other models."""
        found: list[list[float]] = [[] for _ in range(features)]
        for feature, value in _splits(model):
            found[feature].append(value)
        return [np.unique(np.asarray(values, dtype=np.float32)) for values in found]

    def width(self, model: object) -> int | None:
        """Return how many features a model takes; None where it does not say."""
        return getattr(model, "n_features_in_", None)


def _with_float32_splits(model: object) -> object:
    """Return histogram gradient boosting with its split values rounded down to float32; any other model as it is.

    A float32 feature is at or under a split value exactly when it is at or under the next float32 below that value. skl2onnx
    rounds to the nearest one instead, which sends a feature that lies between the two down the other branch.
    """
    if not hasattr(model, "_predictors"):
        return model
    rounded = copy.deepcopy(model)
    for stage in rounded._predictors:
        for tree in stage:
            exact = tree.nodes["num_threshold"]
            near = exact.astype(np.float32)
            above = near.astype(np.float64) > exact
            near[above] = np.nextafter(near[above], np.float32(-np.inf))
            tree.nodes["num_threshold"] = near
    return rounded


def _splits(model: object) -> Iterator[tuple[int, float]]:
    for stage in getattr(model, "_predictors", ()):
        for tree in stage:
            inner = tree.nodes[(tree.nodes["is_leaf"] == 0) & (tree.nodes["is_categorical"] == 0)]
            yield from zip(inner["feature_idx"].tolist(), inner["num_threshold"].tolist(), strict=True)
    for tree in _trees(model):
        inner = tree.feature >= 0
        yield from zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True)


def _trees(model: object) -> Iterator[Any]:
    if hasattr(model, "tree_"):
        yield model.tree_
    if isinstance(model, BaseEnsemble):
        yield from (one.tree_ for one in np.ravel(np.asarray(model.estimators_, dtype=object)))
