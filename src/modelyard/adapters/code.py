"""Models that are code: a folder with `model.py` behind the framework port. Opening one runs whatever its maker wrote.

Its kept form is an archive of the folder. It is opened by jobs and by a version's own process, never by the control plane
(docs/decisions/0024).
"""

import importlib.util
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from modelyard.core import Problem, first_line
from modelyard.core.archives import Unpacked, unpacked
from modelyard.data import Column
from modelyard.data.cell import ELEMENTS, Cell

ENTRY = "model.py"
_MATRIX = 2


@dataclass(frozen=True, eq=False)
class CodeModel:
    """What `load` of a folder's `model.py` returned, and what it says of itself."""

    made: Any
    source: Path  # the archive
    inputs: Mapping[str, Cell]
    outputs: Mapping[str, Cell]


class CodeFramework:
    """Folders with a `model.py` that has `load(folder: Path)`.

    That returns an object with `inputs` and `outputs`, each the dtype of a cell by name, and `predict(**arrays)`, which takes
    an array for each input, rows first, and returns one for each output. The folder is a package of its own: its other files
    are `from .net import Net`.
    """

    name = "python"

    def owns(self, model: object) -> bool:
        """Return False: no trainer returns one, since code comes in only where an admin has allowed it."""
        return False

    def save(self, model: object, to: Path) -> None:
        """Write the archive that the model was loaded from."""
        shutil.copyfile(_own(model).source, to)

    def load(self, path: Path) -> CodeModel:
        """Unpack an archive into a private folder and run its code.

        Raises
        ------
        Problem
            `model.invalid` for what is no such archive, has no `model.py`, or whose code raises or gives no model;
            `model.unavailable`, naming the module, when its code imports what is not installed.
        """
        try:
            content = unpacked(path)
        except Problem as problem:
            if problem.code != "archive.invalid":
                raise
            raise _invalid(problem.why or "", "import the folder again") from problem
        try:
            made = _loaded(content.folder)
            model = CodeModel(made, path, _cells(made, "inputs"), _cells(made, "outputs"))
            if not callable(getattr(made, "predict", None)):
                raise _invalid("what load returns has no predict", "give it one: predict(**arrays)")
        except BaseException:
            _forget(content)
            raise
        finalize(model, _forget, content)
        return model

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the one output of a model of one matrix. Problem `model.invalid` for any other."""
        own = _own(model)
        [taken, *more_in], [given, *more_out] = own.inputs, own.outputs
        if more_in or more_out or len(own.inputs[taken].shape) != 1:
            raise _invalid("it does not take one matrix and give one output", "ask it by its inputs")
        answers = np.asarray(self.run(model, {taken: features})[given], dtype=np.float64)
        return answers[:, 0] if answers.ndim == _MATRIX and answers.shape[1] == 1 else answers

    def to_onnx(self, model: object, features: int) -> bytes:
        """Raise Problem `model.invalid`: code has no ONNX form."""
        raise Problem("model.invalid", "Code cannot be converted to ONNX", "only its maker knows what it does", "export it")

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        """Return no thresholds: nothing is known of it."""
        return [np.empty(0, dtype=np.float32) for _ in range(features)]

    def describe(self, model: object) -> tuple[Column, ...]:
        """Return the inputs that it names."""
        return tuple(Column(name, str(cell)) for name, cell in _own(model).inputs.items())

    def run(self, model: object, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Return the outputs that it names.

        Raises
        ------
        Problem
            `model.invalid` when it gives none of them, or one of another type or shape than it says. What its code raises
            passes as it is.
        """
        own = _own(model)
        given = own.made.predict(**inputs)
        if not isinstance(given, Mapping):
            raise _invalid(f"predict returned a {type(given).__name__}", "return an array for each output, by name")
        return {name: _answer(name, cell, given) for name, cell in own.outputs.items()}


def _loaded(folder: Path) -> Any:
    """Return what `load` of the folder's code returns; the folder becomes a package under a name that no other has."""
    name, entry = folder.name.replace("-", "_"), folder / ENTRY
    if not entry.is_file():
        raise _invalid(f"it has no {ENTRY}", "see what such a folder holds: docs/serving/models")
    spec = importlib.util.spec_from_file_location(name, entry, submodule_search_locations=[str(folder)])
    assert spec is not None  # noqa: S101 - for the type checker: a `.py` file always has a loader
    assert spec.loader is not None  # noqa: S101 - as above
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    doing = "its import"
    try:
        spec.loader.exec_module(module)
        doing = "load"
        if not callable(getattr(module, "load", None)):
            raise _invalid(f"{ENTRY} has no function load", "give it one: load(folder: Path)")
        return module.load(folder)
    except Problem:
        raise
    except ModuleNotFoundError as error:
        raise _lacking(error, folder) from error
    except (Exception, SystemExit) as error:
        told = f"{doing} raised {type(error).__name__}: {first_line(error)}"  # type: ignore[arg-type] # takes any
        raise _invalid(told, "mend it, and import it again") from error


def _lacking(error: ModuleNotFoundError, folder: Path) -> Problem:
    lost = (error.name or str(error)).partition(".")[0]
    ours = (folder / lost).is_dir() or (folder / f"{lost}.py").is_file()
    step = f"write `from . import {lost}`: the folder is a package" if ours else "install it where workers and gateways run"
    why = "it is a file of the folder" if ours else "it is not installed here"
    return Problem("model.unavailable", f"The model's code needs the module {lost}", why, step, {"module": lost})


def _cells(made: Any, which: str) -> Mapping[str, Cell]:
    """Return the cells of a model's inputs or outputs. Problem `model.invalid`, `dtype.invalid`."""
    named = getattr(made, which, None)
    known = isinstance(named, Mapping) and all(isinstance(one, str) and one for pair in named.items() for one in pair)
    if not known or not named:
        raise _invalid(f"what load returns has no {which}", f'name them: {which} = {{"x": "Array[Float32, 4]"}}')
    return MappingProxyType({name: Cell.parse(dtype) for name, dtype in named.items()})


def _answer(name: str, cell: Cell, given: Mapping[str, Any]) -> NDArray[Any]:
    if name not in given:
        raise _invalid(f"predict gave no '{name}'", f"it gave {', '.join(map(str, given)) or 'nothing'}")
    found = np.asarray(given[name])
    same = found.dtype.kind in "OU" if cell.element == "String" else found.dtype == ELEMENTS[cell.element]
    fits = bool(found.ndim) and (cell.admits(found.shape[1:]) or (not cell.shape and found.shape[1:] == (1,)))
    if not same or not fits:
        told = f"predict gave '{name}' as {found.dtype}{list(found.shape)}"
        raise _invalid(told, f"it is to be {cell} in each row, rows first")
    return found


def _forget(content: Unpacked) -> None:
    name = content.folder.name.replace("-", "_")
    for known in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        del sys.modules[known]
    content.drop()


def _own(model: object) -> CodeModel:
    if not isinstance(model, CodeModel):
        raise _invalid(f"it is a {type(model).__name__}", "import a folder")
    return model


def _invalid(why: str, step: str) -> Problem:
    return Problem("model.invalid", "The folder is no model that can be served", why, step)
