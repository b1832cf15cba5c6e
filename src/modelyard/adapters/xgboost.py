"""XGBoost behind the framework port: models kept as its own JSON (no pickle), converted by onnxmltools."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from modelyard.core import Problem, first_line
from modelyard.training.matrix import MatrixFramework, unconvertible
from modelyard.training.trees import is_tree

_CLASSES = 2
_MATRIX = 2


@dataclass(frozen=True)
class XgboostModel:
    """A booster, and what its configuration says of how it answers."""

    booster: xgboost.Booster
    trees: bool  # else linear
    labels: bool  # its objective gives a class, so the shares are made of its margins
    until: int  # how many rounds count; 0: all


class XgboostFramework(MatrixFramework):
    """Boosters, and the estimators around them. Each runs on one thread: processes are what scales."""

    name = "xgboost"

    def owns(self, model: object) -> bool:
        """Return whether `model` is a booster or a fitted estimator of XGBoost's."""
        fitted = isinstance(model, xgboost.XGBModel) and bool(model.__sklearn_is_fitted__())
        return fitted or isinstance(model, XgboostModel | xgboost.Booster)

    def save(self, model: object, to: Path) -> None:
        """Write the model as XGBoost's JSON."""
        to.write_bytes(_own(model).booster.save_raw("json"))

    def load(self, path: Path) -> object:
        """Read a model in XGBoost's JSON or UBJSON.

        Raises
        ------
        Problem
            `model.invalid` for any other file.
        """
        content = path.read_bytes()
        if not content.startswith(b"{"):
            raise _invalid("it is neither XGBoost's JSON nor its UBJSON")
        try:
            booster = xgboost.Booster(model_file=bytearray(content))
            booster.set_param({"nthread": 1})
            own = _own(booster)
            sound = not own.trees or all(_is_sound(tree, booster.num_features()) for tree in _trees(booster))
        except (xgboost.core.XGBoostError, ValueError, TypeError, KeyError) as error:
            raise _invalid(first_line(error)) from error
        if not sound:
            raise _invalid("a tree of it leads outside of itself")
        return own

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities (classifiers) or values; of a training that was stopped early, by its best round."""
        own = _own(model)
        until = (0, own.until)
        if own.trees:
            kind = "margin" if own.labels else "value"
            found = own.booster.inplace_predict(features, iteration_range=until, predict_type=kind, validate_features=False)
        else:
            found = own.booster.predict(xgboost.DMatrix(features), output_margin=own.labels, validate_features=False)
        answers = np.asarray(found, dtype=np.float64)
        if own.labels:
            return _shares(answers)
        return answers[:, 0] if answers.ndim == _MATRIX and answers.shape[1] == 1 else answers

    def to_onnx(self, model: object, features: int) -> bytes:
        """Return the model as ONNX.

        Raises
        ------
        Problem
            `model.invalid` when onnxmltools cannot convert it.
        """
        from onnxmltools.convert import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        own = _own(model)
        booster = own.booster[: own.until] if own.until else own.booster.copy()
        booster.feature_names = None  # the converter takes none but f0, f1, …
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the converter's own
                converted = convert_xgboost(booster, initial_types=[("features", FloatTensorType([None, features]))])
        except Exception as error:  # it raises a dozen kinds for one cause
            raise unconvertible("The XGBoost model", error) from error
        return bytes(converted.SerializeToString())

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        """Return the split values of the trees, by feature; empty for linear models."""
        found: list[list[float]] = [[] for _ in range(features)]
        own = _own(model)
        for tree in _trees(own.booster) if own.trees else ():
            nodes = zip(tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True)
            for left, feature, value in nodes:
                if left >= 0:
                    found[feature].append(value)
        return [np.unique(np.asarray(values, dtype=np.float32)) for values in found]

    def width(self, model: object) -> int | None:
        """Return how many features a model takes."""
        return int(_own(model).booster.num_features())


def _own(model: object) -> XgboostModel:
    if isinstance(model, XgboostModel):
        return model
    booster = model.get_booster() if isinstance(model, xgboost.XGBModel) else model
    if not isinstance(booster, xgboost.Booster):
        raise _invalid(f"it is a {type(model).__name__}")
    learner = json.loads(booster.save_config())["learner"]
    trained = learner["learner_train_param"]
    best = int(booster.attributes().get("best_iteration") or -1)
    return XgboostModel(booster, trained["booster"] != "gblinear", trained["objective"] == "multi:softmax", best + 1)


def _trees(booster: xgboost.Booster) -> list[dict[str, Any]]:
    document = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    document = document.get("gbtree", document)  # of dart it lies within
    trees: list[dict[str, Any]] = document["model"]["trees"]
    return trees


def _is_sound(tree: dict[str, Any], features: int) -> bool:
    """Return whether a walk down a tree ends, and looks at features that there are."""
    left, right, split = (
        np.asarray(tree[name], dtype=np.int64) for name in ("left_children", "right_children", "split_indices")
    )
    inner = left >= 0
    whole = len(left) == len(right) == len(split) == len(tree["split_conditions"]) == len(tree["default_left"])
    if not len(left) or not whole or not np.array_equal(inner, right >= 0):
        return False
    within = bool(((split[inner] >= 0) & (split[inner] < features)).all())
    return within and is_tree(np.concatenate([left[inner], right[inner]]), len(left))


def _shares(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of margins, shape (n, classes); of two classes the second one's share."""
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares[:, 1] if shares.shape[1] == _CLASSES else shares


def _invalid(why: str) -> Problem:
    return Problem("model.invalid", "The model file is no XGBoost model", why, "register the run again")
