"""Raw tensors as callers send them, made into checked arrays: the rules of inputs that no pipeline prepares.

Numbers are taken where the type holds them: whole numbers for integers, also written as 3.0, within their range; any number
for floats, NaN and infinity as well, null as NaN. Truth values, texts and numbers never become one another.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.data.cell import Cell

_SHOWN = 80  # characters of a wrong value in a problem


def tensor_of(name: str, cell: Cell, values: Sequence[Any] | NDArray[Any], shape: Sequence[int] | None = None) -> NDArray[Any]:
    """Return values as the array of an input: shape (n, *cell), in the element type.

    Parameters
    ----------
    values
        Nested by row, or flat with their `shape`, rows first. A plain value may also stand in a row of its own: (n, 1).

    Raises
    ------
    Problem
        `tensor.invalid`, naming the input, what is expected and what came.
    """
    try:
        found = values if isinstance(values, np.ndarray) else _array(cell, values)
    except (ValueError, TypeError, OverflowError) as error:
        raise _wrong(name, cell, "its rows are not all of one shape") from error
    if shape is not None:
        sizes = tuple(shape)
        if any(size < 0 for size in sizes) or prod(sizes) != found.size:
            raise _wrong(name, cell, f"{found.size} values came for the shape {list(sizes)[:8]}")
        found = found.reshape(sizes)
    if not cell.shape and found.ndim == 2 and found.shape[1] == 1:  # noqa: PLR2004 - (n, 1): each value in a row of its own
        found = found[:, 0]
    if found.ndim == 0 or not cell.admits(found.shape[1:]):
        raise _wrong(name, cell, f"it has the shape {list(found.shape)[:8]}")
    return np.ascontiguousarray(_converted(name, cell, found))


def joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the tensors of several requests as those of one, along the rows.

    Raises
    ------
    Problem
        `batch.invalid` where a length that is not fixed differs between them: they are then asked one by one.
    """
    if len(parts) == 1:
        return dict(parts[0])
    try:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except (ValueError, KeyError) as error:
        raise Problem("batch.invalid", "The requests cannot be answered together", str(error)) from error


def neutral(cell: Cell, rows: int = 1, length: int = 1) -> NDArray[Any]:
    """Return rows of zeros, of empty texts; `length` stands for each length that is not fixed."""
    shape = (rows, *(length if size is None else size for size in cell.shape))
    return np.full(shape, "", dtype=object) if cell.element == "String" else np.zeros(shape, dtype=cell.numpy)


def _array(cell: Cell, values: Sequence[Any]) -> NDArray[Any]:
    """Return nested or flat values as an array in whatever type they have."""
    if cell.element == "String":
        return np.array(values, dtype=object)
    found = np.array(values)  # raises where rows are uneven
    if found.dtype.kind == "O" and cell.numpy.kind == "f":
        flat = [np.nan if one is None else one for one in found.ravel().tolist()]
        found = np.array(flat).reshape(found.shape)
    return found


def _converted(name: str, cell: Cell, found: NDArray[Any]) -> NDArray[Any]:
    kind = cell.numpy.kind
    if found.dtype == cell.numpy and kind != "O":
        return found
    if found.size == 0:
        return found.astype(cell.numpy)
    if kind == "O":
        texts = found.astype(object)
        strange = next((one for one in texts.ravel() if not isinstance(one, str)), None)
        if strange is not None or any(one is None for one in texts.ravel()):
            raise _wrong(name, cell, f"it holds {_shown(strange)}")
        return texts
    if kind == "b" or found.dtype.kind not in "iuf":
        raise _wrong(name, cell, f"it holds {_shown(_first(found))}")
    if kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):  # beyond the type is infinite
            return found.astype(cell.numpy)
    limits = np.iinfo(cell.numpy)
    with np.errstate(invalid="ignore"):
        whole = (found >= limits.min) & (found <= limits.max)
        if found.dtype.kind == "f":  # the nearest float to a 64-bit limit is beyond it
            whole = (found == np.trunc(found)) & (found >= float(limits.min)) & (found < float(limits.max) + 1)
    if not whole.all():
        raise _wrong(name, cell, f"it holds {_shown(found[~whole].ravel()[0].item())}")
    return found.astype(cell.numpy)


def _first(found: NDArray[Any]) -> object:
    one = found.ravel()[0]
    return one.item() if isinstance(one, np.generic) else one


def _shown(value: object) -> str:
    told = "null" if value is None else repr(value)
    return told if len(told) <= _SHOWN else told[:_SHOWN] + "…"


def _wrong(name: str, cell: Cell, came: str) -> Problem:
    sizes = ", ".join("any" if size is None else str(size) for size in ("n", *cell.shape))
    return Problem(
        "tensor.invalid",
        f"The input '{name[:100]}' cannot be taken",
        f"{cell.element} of the shape [{sizes}] is expected, n being the rows; {came}",
        "see the inputs: GET /v2/models/NAME",
        {"column": name[:100], "expected": str(cell)},
    )
