"""Folders whose models are code, and weights as `safetensors` keeps them: a length, a header in JSON, and the numbers."""

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)

MODEL = b'''"""A linear model; what reads its weights stands beside it."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .weights import read


@dataclass
class Linear:
    """Scores of three classes."""

    weights: np.ndarray
    inputs = {"pixels": "Array[Float32, 4]"}
    outputs = {"scores": "Array[Float32, 3]", "best": "Int64", "process": "Int64"}

    def predict(self, pixels):
        scores = (pixels[:, :, None] * self.weights).sum(axis=1)
        return {
            "scores": scores,
            "best": scores.argmax(axis=1),
            "process": np.full(len(pixels), os.getpid()),
            "more": None,
        }


def load(folder: Path) -> Linear:
    return Linear(read(folder / "model.safetensors")["weights"])
'''

READER = b'''"""Reads safetensors."""

import json
from pathlib import Path

import numpy as np

KINDS = {"F32": np.float32}


def read(path: Path):
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    return {
        name: np.frombuffer(content[start:][slice(*one["data_offsets"])], KINDS[one["dtype"]]).reshape(one["shape"])
        for name, one in header.items()
    }
'''


def safetensors(tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return float32 tensors in the format of the package safetensors."""
    header: dict[str, object] = {}
    body = b""
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(body), len(body) + values.nbytes]}
        body += values.tobytes()
    told = json.dumps(header).encode()
    return len(told).to_bytes(8, "little") + told + body


FOLDER = {"model.py": MODEL, "weights.py": READER, "model.safetensors": safetensors({"weights": WEIGHTS})}


def scores(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the model of the folder gives."""
    found: NDArray[np.float32] = (pixels[:, :, None] * WEIGHTS).sum(axis=1)
    return found
