"""Models that take one matrix of features: how they are asked by tensors, in terms of how they predict."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard.core import Problem, first_line
from modelyard.data import Column
from modelyard.data.cell import Cell

FEATURES: Final = "features"
ANSWER: Final = "answer"


class MatrixFramework(ABC):
    """The part of a framework's port that is the same for all whose models take a float32 matrix, shape (n, k)."""

    @abstractmethod
    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the answers; see the port."""

    @abstractmethod
    def width(self, model: object) -> int | None:
        """Return how many features a model takes; None where it does not say."""

    def describe(self, model: object) -> tuple[Column, ...]:
        """Return the one input, `features`."""
        return (Column(FEATURES, str(Cell("Float32", (self.width(model),)))),)

    def run(self, model: object, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Return the answers as `predict` gives them, under the name `answer`."""
        return {ANSWER: self.predict(model, inputs[FEATURES])}


def unconvertible(model: str, error: Exception) -> Problem:
    """Return the problem of a model that its converter does not take; `model` names it."""
    return Problem(
        "model.invalid", f"{model} cannot be converted to ONNX", first_line(error), "it is served in its native form"
    )
