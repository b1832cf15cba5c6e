"""What an MLflow model folder says of itself: its `MLmodel` file, read as data; nothing of the folder is run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from modelyard.core import Problem
from modelyard.prepare.values import InputColumn

MLMODEL = "MLmodel"
# By flavour: the framework that runs it, and where the flavour says which file its model is.
FLAVOURS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "onnx": ("onnxruntime", "data"),
        "xgboost": ("xgboost", "data"),
        "lightgbm": ("lightgbm", "data"),
        "sklearn": ("sklearn", "pickled_model"),
    }
)
_PICKLED = frozenset({".pkl", ".pickle", ".joblib", ".cloudpickle"})
_DTYPES = MappingProxyType({"double": "Float64", "float": "Float32", "long": "Int64", "integer": "Int64", "boolean": "Boolean"})


@dataclass(frozen=True)
class Flavour:
    """The model of a folder that we can run.

    Parameters
    ----------
    framework
        What runs it.
    path
        Its file, within the folder.
    columns
        The named columns that it takes, in the order of its features; None where its signature names none.
    classifies
        Whether it says that it is a classifier.
    """

    framework: str
    path: str
    columns: tuple[InputColumn, ...] | None
    classifies: bool


def read_mlmodel(folder: Path) -> Flavour:
    """Return what an MLflow folder holds.

    Raises
    ------
    Problem
        `import.invalid` for a folder that is not whole or an `MLmodel` that cannot be read; `import.refused` for pickles, which
        would run whatever their maker wrote, and for flavours that nothing here runs.
    """
    try:
        document = yaml.safe_load((folder / MLMODEL).read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid("it is no YAML", str(error).splitlines()[0]) from error
    flavours = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavours, dict):
        raise _invalid("it names no flavors", "an MLflow model has at least one")
    name = next((one for one in FLAVOURS if isinstance(flavours.get(one), dict)), None)
    if name is None:
        told = ", ".join(str(one) for one in flavours)
        step = "convert it to ONNX, and import the .onnx file"
        raise Problem("import.refused", "The MLflow model is not imported", f"nothing here runs the flavour {told[:200]}", step)
    framework, key = FLAVOURS[name]
    flavour = flavours[name]
    path = str(flavour.get(key) or "")
    if Path(path).suffix.lower() in _PICKLED or (name == "sklearn" and flavour.get("serialization_format") != "skops"):
        raise _pickled(name)
    inside = (folder / path).resolve()
    if not path or not inside.is_file() or not inside.is_relative_to(folder.resolve()):
        raise _invalid(f"its {name} flavour names the file '{path[:100]}'", "there is no such file in the folder")
    classifies = "Classifier" in str(flavour.get("model_class") or "")
    return Flavour(framework, path, None if name == "onnx" else _columns(document.get("signature")), classifies)


def _columns(signature: object) -> tuple[InputColumn, ...] | None:
    """Return the named columns of a signature; None where it is one of tensors, or there is none."""
    told = signature.get("inputs") if isinstance(signature, dict) else None
    if not told:
        return None
    try:
        inputs: list[dict[str, Any]] = json.loads(told) if isinstance(told, str) else told
        if not all("name" in one and one.get("type") != "tensor" for one in inputs):
            return None
        named = [(str(one["name"]), str(one["type"])) for one in inputs]
    except (ValueError, TypeError, KeyError) as error:
        raise _invalid("its signature cannot be read", str(error)) from error
    for column, kind in named:
        if kind not in _DTYPES:
            raise Problem(
                "import.refused",
                "The MLflow model is not imported",
                f"its input '{column[:100]}' is {kind[:50]}, and numbers are what its features can be made of here",
                "convert it with its preparation to ONNX, and import the .onnx file",
            )
    return tuple(InputColumn(column, _DTYPES[kind]) for column, kind in named)


def _pickled(name: str) -> Problem:
    steps = {
        "sklearn": "save it by skops: mlflow.sklearn.save_model(…, serialization_format='skops'), or convert it to ONNX",
        "lightgbm": "save its booster: mlflow.lightgbm.save_model(model.booster_, …), or convert it to ONNX",
        "xgboost": "save it as UBJSON: mlflow.xgboost.save_model(…, model_format='ubj'), or convert it to ONNX",
    }
    why = "it is a pickle, which would run whatever its maker wrote"
    return Problem("import.refused", "The MLflow model is not imported", why, steps.get(name, "convert it to ONNX"))


def _invalid(what: str, why: str) -> Problem:
    return Problem(
        "import.invalid", f"The MLflow model cannot be read: {what}", why, "save it again, and import the whole folder"
    )
