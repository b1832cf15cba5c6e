"""LightGBM behind the framework port: models kept as its own text (no pickle), converted by onnxmltools."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from modelyard.core import Problem, first_line
from modelyard.training.matrix import MatrixFramework, unconvertible
from modelyard.training.trees import is_tree

_HEAD = b"tree\n"
_END = b"\nend of trees\n"
_MATRIX = 2
_OPSET = 17
_ZERO = np.float32(1e-35)
_MOST = float(np.finfo(np.float32).max)
_CLASSES = 2


@dataclass(frozen=True)
class LightgbmModel:
    """A booster and the text that it was read from."""

    booster: lightgbm.Booster
    source: str


class LightgbmFramework(MatrixFramework):
    """Boosters, and the estimators around them. Each runs on one thread: processes are what scales."""

    name = "lightgbm"

    def owns(self, model: object) -> bool:
        """Return whether `model` is a booster or a fitted estimator of LightGBM's."""
        fitted = isinstance(model, lightgbm.LGBMModel) and bool(model.__sklearn_is_fitted__())
        return fitted or isinstance(model, LightgbmModel | lightgbm.Booster)

    def save(self, model: object, to: Path) -> None:
        """Write the model as LightGBM's text."""
        to.write_text(_own(model).source)

    def load(self, path: Path) -> object:
        """Read a model in LightGBM's text.

        Raises
        ------
        Problem
            `model.invalid` for any other file, and for one without its end.
        """
        content = path.read_bytes()
        if not content.startswith(_HEAD) or _END not in content:
            raise _invalid("it is no whole text of LightGBM's")
        try:
            source = content.decode()
            if not _is_sound(source):
                raise ValueError("a tree of it leads outside of itself")
            return LightgbmModel(lightgbm.Booster(model_str=source), source)
        except (lightgbm.basic.LightGBMError, ValueError, KeyError) as error:
            raise _invalid(first_line(error)) from error

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities (classifiers) or values; of a training that was stopped early, by its best round."""
        found = _own(model).booster.predict(features, num_threads=1, validate_features=False)
        answers = np.asarray(found, dtype=np.float64)
        if answers.ndim != _MATRIX:
            return answers
        return answers[:, 1] if answers.shape[1] == _CLASSES else answers

    def to_onnx(self, model: object, features: int) -> bytes:
        """Return the model as ONNX.

        Raises
        ------
        Problem
            `model.invalid` when onnxmltools cannot convert it.
        """
        from onnxmltools.convert import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        own = _own(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the converter's own
                booster = lightgbm.Booster(model_str=_with_float32_splits(own.source))
                taken = [("features", FloatTensorType([None, features]))]
                converted = convert_lightgbm(booster, initial_types=taken, zipmap=False)
        except Exception as error:  # it raises a dozen kinds for one cause
            raise unconvertible("The LightGBM model", error) from error
        _fill_gaps(converted, _filled_with_zero(own.booster, features))
        return bytes(converted.SerializeToString())

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        """Return the split values of the trees, by feature."""
        found: list[list[float]] = [[] for _ in range(features)]
        for split in _splits(_own(model).booster):
            if split["decision_type"] == "<=" and split["threshold"] <= _MOST:  # beyond it only gaps are told apart
                found[split["split_feature"]].append(split["threshold"])
        return [np.unique(np.asarray(values, dtype=np.float32)) for values in found]

    def width(self, model: object) -> int | None:
        """Return how many features a model takes."""
        return int(_own(model).booster.num_feature())


def _own(model: object) -> LightgbmModel:
    """Return the model as it is kept: read from its text, so that it answers as the one that is loaded somewhere else."""
    if isinstance(model, LightgbmModel):
        return model
    booster = model.booster_ if isinstance(model, lightgbm.LGBMModel) else model
    if not isinstance(booster, lightgbm.Booster):
        raise _invalid(f"it is a {type(model).__name__}")
    source = booster.model_to_string()
    return LightgbmModel(lightgbm.Booster(model_str=source), source)


def _splits(booster: lightgbm.Booster) -> Iterator[dict[str, Any]]:
    """Give each inner node of the trees."""
    waiting = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while waiting:
        one = waiting.pop()
        if "split_feature" in one:
            yield one
            waiting += [one["left_child"], one["right_child"]]


def _is_sound(source: str) -> bool:
    """Return whether a walk down each tree of a text ends, and looks at features that there are. ValueError for no numbers."""
    head, *trees = source.partition("\nend of trees\n")[0].split("\nTree=")
    features = int(_fields(head).get("max_feature_idx", "-1")) + 1
    return features > 0 and all(_is_tree(_fields(tree), features) for tree in trees)


def _fields(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in text.split("\n"))}


def _is_tree(tree: dict[str, str], features: int) -> bool:
    leaves = int(tree["num_leaves"])
    if leaves < 1 or len(tree.get("leaf_value", "").split()) != leaves:
        return False
    if leaves == 1:
        return True
    split, left, right, kinds = (
        np.array(tree.get(name, "").split(), dtype=np.int64)
        for name in ("split_feature", "left_child", "right_child", "decision_type")
    )
    values = np.array(tree.get("threshold", "").split(), dtype=np.float64)
    if {len(one) for one in (split, left, right, kinds, values)} != {leaves - 1}:
        return False
    children = np.concatenate([left, right])
    ends = ~children[children < 0]
    told = bool(((split >= 0) & (split < features)).all()) and is_tree(children[children >= 0], leaves - 1)
    whole = len(ends) == leaves and np.array_equal(np.sort(ends), np.arange(leaves))
    return told and whole and _knows_categories(tree, values[(kinds & 1) == 1])


def _knows_categories(tree: dict[str, str], asked: NDArray[np.float64]) -> bool:
    """Return whether the sets of categories that splits ask for are there."""
    if not len(asked):
        return True
    count = int(tree.get("num_cat", "0"))
    bounds = np.array(tree.get("cat_boundaries", "").split(), dtype=np.int64)
    words = len(tree.get("cat_threshold", "").split())
    rising = len(bounds) == count + 1 and bounds[0] == 0 and bounds[-1] == words and bool((np.diff(bounds) > 0).all())
    return rising and bool(((asked >= 0) & (asked < count)).all())


def _with_float32_splits(source: str) -> str:
    """Return a model's text with its split values rounded down to float32.

    A float32 feature is at or under a split value exactly when it is at or under the next float32 below that value. The
    converter rounds to the nearest one instead, which sends a feature that lies between the two down the other branch.
    """
    lines = []
    for line in source.split("\n"):
        if line.startswith("tree_sizes="):
            continue  # in bytes, which change; without it the trees are read one after the other
        name, _, values = line.partition("=")
        if name == "threshold" and values:
            lines.append("threshold=" + " ".join(_rounded_down(float(value)) for value in values.split(" ")))
        else:
            lines.append(line)
    return "\n".join(lines)


def _rounded_down(value: float) -> str:
    near = np.float32(min(value, _MOST))
    if float(near) > value or near == -_ZERO:  # what is no further from zero than that counts as zero, and so is above
        near = np.nextafter(near, np.float32(-np.inf))
    return repr(float(near))


def _filled_with_zero(booster: lightgbm.Booster, features: int) -> NDArray[np.bool_]:
    """Return for which features LightGBM takes a gap as zero: those that had none where it was trained."""
    filled = np.zeros((1, features), dtype=np.bool_)
    for split in _splits(booster):
        filled[0, split["split_feature"]] |= split["missing_type"] == "None"
    return filled


def _fill_gaps(model: Any, filled: NDArray[np.bool_]) -> None:
    """Put zero in place of the gaps of some features, before everything else in an ONNX model."""
    from onnx import helper, numpy_helper

    graph = model.graph
    for output in graph.output:  # the converter says that there is one label, however many rows
        output.type.tensor_type.shape.dim[0].dim_param = "n"
    if not filled.any():
        return
    own = [one for one in model.opset_import if one.domain == ""]
    if not own:
        model.opset_import.append(helper.make_opsetid("", _OPSET))
    for one in own:
        one.version = max(one.version, _OPSET)
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == "features":
                node.input[place] = "whole"
    graph.initializer.append(numpy_helper.from_array(filled, "filled"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero"))
    nodes = [
        helper.make_node("IsNaN", ["features"], ["gaps"]),
        helper.make_node("And", ["gaps", "filled"], ["fill"]),
        helper.make_node("Where", ["fill", "zero", "features"], ["whole"]),
    ]
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)


def _invalid(why: str) -> Problem:
    return Problem("model.invalid", "The model file is no LightGBM model", why, "register the run again")
