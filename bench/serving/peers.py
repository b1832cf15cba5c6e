"""The peers: where each is installed, how it is started, and how it is asked."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.serving.models import MATRIX, Model, Row

INSTALL_S = 1800.0


class Unavailable(Exception):
    """A peer cannot be installed or started, or does not answer as ours does: why."""


@dataclass(frozen=True)
class Peer:
    """A model server that ours stands beside."""

    name: str
    title: str
    requirements: tuple[str, ...]  # the first one names it
    path: str
    body: Callable[[Model, Sequence[Row]], bytes]
    pausable: bool = True  # False: it dies of being held still, and idles while others are timed

    @property
    def release(self) -> str:
        """Its version."""
        return self.requirements[0].partition("==")[2]

    def command(self, model: Model, port: int) -> list[str]:
        """Return what starts it; its environment is made at the first call. Raises Unavailable."""
        python = installed(self.name, self.requirements)
        return [str(python), "-m", f"bench.serving.apps.{self.name}", model.form, str(model.file), str(port)]


def installed(name: str, requirements: Sequence[str]) -> Path:
    """Return the Python of an environment in the user's cache that holds the requirements, made where it is not there."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelyard" / f"bench-serving-{name}"
    python = home / "bin" / "python"
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
    stamp = home / f"{requirements[0].replace('/', '-')}-{digest}"
    if stamp.exists():
        return python
    print(f"installing {requirements[0]} into an environment of its own (once)", file=sys.stderr, flush=True)
    made = [sys.executable, "-m", "venv", "--clear", str(home)]
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    for command in (made, install):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
        if done.returncode:
            told = (done.stderr.strip() or "no word why").splitlines()[-1]
            raise Unavailable(f"{requirements[0]} could not be installed: {told}")
    stamp.touch()
    return python


def same(*packages: str) -> tuple[str, ...]:
    """Return packages in the releases that we have: so a model kept here loads there."""
    return tuple(f"{package}=={version(package)}" for package in packages)


def tensor(name: str, datatype: str, shape: Sequence[int], data: Sequence[Any], content: str | None = None) -> dict[str, Any]:
    """Return an input tensor of the Open Inference Protocol."""
    told = {"name": name, "shape": list(shape), "datatype": datatype, "data": list(data)}
    return told if content is None else {**told, "parameters": {"content_type": content}}


def matrix_tensor(rows: Sequence[Row]) -> dict[str, Any]:
    """Return plain features as one tensor."""
    return tensor("x", "FP32", (len(rows), len(MATRIX)), [row[name] for row in rows for name in MATRIX])


def column_tensors(rows: Sequence[Row], *, text: str | None = None, flat: bool = False) -> list[dict[str, Any]]:
    """Return raw columns as one tensor each, of the shape [n, 1] or [n]."""
    shape = (len(rows),) if flat else (len(rows), 1)
    told = []
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        told.append(
            tensor(name, "BYTES", shape, values, text) if isinstance(first, str) else tensor(name, "FP64", shape, values)
        )
    return told


def ours(name: str, rows: Sequence[Row]) -> bytes:
    """Return a request of our gateway: the tensor of an imported model, the raw columns of one trained here."""
    return orjson.dumps({"inputs": [matrix_tensor(rows)] if name == "small" else column_tensors(rows, flat=True)})


def protocol(model: Model, rows: Sequence[Row]) -> bytes:
    """Return a request of the Open Inference Protocol."""
    return orjson.dumps({"inputs": [matrix_tensor(rows)] if model.is_matrix else column_tensors(rows)})


def mlserver(model: Model, rows: Sequence[Row]) -> bytes:
    """Return the same with MLServer's hints."""
    if model.form != "columns-sklearn":
        return protocol(model, rows)
    inputs = column_tensors(rows, text="str")
    told = {"parameters": {"content_type": "pd"}, "inputs": inputs, "outputs": [{"name": "predict_proba"}]}
    return orjson.dumps(told)


def records(model: Model, rows: Sequence[Row]) -> bytes:
    """Return rows as a FastAPI server by hand takes them."""
    return orjson.dumps({"rows": [list(row.values()) for row in rows] if model.is_matrix else rows})


def columns(model: Model, rows: Sequence[Row]) -> bytes:
    """Return columns by name, or a matrix under `x`."""
    if model.is_matrix:
        return orjson.dumps({"x": [list(row.values()) for row in rows]})
    return orjson.dumps({name: [row[name] for row in rows] for name in rows[0]})


def wrapped(model: Model, rows: Sequence[Row]) -> bytes:
    """Return the same as the only argument of a BentoML service."""
    return b'{"columns":' + columns(model, rows) + b"}"


def scoring(model: Model, rows: Sequence[Row]) -> bytes:
    """Return a request of MLflow's scoring server."""
    if model.is_matrix:
        return orjson.dumps({"inputs": [list(row.values()) for row in rows]})
    split = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    return orjson.dumps({"dataframe_split": split})


def answers(body: bytes, rows: int) -> NDArray[np.float64]:
    """Return the probabilities that any of these servers told, shape (rows,). Problem: ValueError."""
    told = orjson.loads(body)
    if "outputs" in told:
        found = told["outputs"][-1]["data"]
    elif "probability" in told:
        found = told["probability"]
    else:
        found = told["predictions"]
        found = list(found.values())[-1] if isinstance(found, dict) else found
    values = np.asarray(found, dtype=np.float64).ravel()
    return values if values.size == rows else values.reshape(rows, 2)[:, 1]


def peers() -> dict[str, Peer]:
    """Return all, by name."""
    model = (*same("scikit-learn", "onnxruntime", "joblib"), "pandas")
    by_hand = same("fastapi", "uvicorn", "uvloop", "httptools", "orjson", "pydantic")
    v2 = "/v2/models/m/infer"
    listed = [
        Peer("mlserver", "MLServer", ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", *model), v2, mlserver),
        Peer("fastapi", "FastAPI by hand", (*by_hand, *model), "/predict", records),
        Peer("kserve", "KServe", ("kserve==0.21.0", *model), v2, protocol),
        Peer("pytriton", "pytriton", ("nvidia-pytriton==0.7.0", *model), v2, protocol, pausable=False),
        Peer("bentoml", "BentoML", ("bentoml==1.4.39", *model), "/predict", wrapped),
        Peer("litserve", "LitServe", ("litserve==0.2.19", *model), "/predict", columns),
        Peer("mlflow", "mlflow models serve", ("mlflow==3.17.2", "onnx", *model), "/invocations", scoring),
        Peer("ray", "Ray Serve", ("ray[serve]==2.60.0", *model), "/", columns, pausable=False),
    ]
    return {peer.name: peer for peer in listed}
