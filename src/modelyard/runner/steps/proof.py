"""What a model of unknown make gives: it is asked made-up rows, one and several, and has to answer each by itself."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.data import Column
from modelyard.data.cell import ELEMENTS, Cell
from modelyard.serving.tensors import neutral
from modelyard.training import Framework

ROWS = 5
LENGTHS = (4, 6)  # tried for a length that is not fixed
APART = 1e-3  # of an answer's size; rounding in sums of another order is far below
LATENCY_ROUNDS = 200
LATENCY_S = 5.0  # at most spent on them
_WORDS = {dtype: word for word, dtype in ELEMENTS.items()}

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Proof:
    """What asking a model has shown."""

    outputs: tuple[Column, ...]
    rows: int  # asked alone and among others
    worst: float  # largest difference between the two
    latency_us: float  # median of one row


def prove(framework: Framework, model: object, cells: Mapping[str, Cell]) -> Proof:
    """Return what a model gives for rows of these cells, and how fast.

    Raises
    ------
    Problem
        `model.invalid` when it raises, gives an output that has not one entry a row, or answers a row otherwise among others
        than alone: requests are answered together, so none of these can be served.
    """
    free = any(size is None for cell in cells.values() for size in cell.shape)
    rng = np.random.default_rng(0)
    seen: list[Mapping[str, Cell]] = []
    worst = 0.0
    for length in LENGTHS if free else LENGTHS[:1]:
        rows = {name: _made_up(cell, length, rng) for name, cell in cells.items()}
        together = _asked(framework, model, rows)
        alone = [_asked(framework, model, {k: v[row : row + 1] for k, v in rows.items()}) for row in range(ROWS)]
        seen.append({name: _cell_of(name, values) for name, values in together.items()})
        worst = max([worst, *(_apart(name, values, [one[name] for one in alone]) for name, values in together.items())])
    outputs = tuple(Column(name, str(_common(name, [one[name] for one in seen]))) for name in seen[0])
    return Proof(outputs, ROWS * len(seen), worst, _latency(framework, model, cells))


def _made_up(cell: Cell, length: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return rows of normal numbers; of zeros where only the model knows which whole numbers and texts it takes."""
    zeros = neutral(cell, ROWS, length)
    if cell.numpy.kind == "f":
        return rng.normal(size=zeros.shape).astype(cell.numpy)
    return rng.random(zeros.shape) < 0.5 if cell.element == "Boolean" else zeros  # noqa: PLR2004 - a fair coin


def _asked(framework: Framework, model: object, rows: Tensors) -> Tensors:
    count = len(next(iter(rows.values())))
    try:
        answers = framework.run(model, rows)
    except Problem:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {str(error)[:500]}"
        raise _invalid(f"it raised on {count} made-up rows", told) from error
    for name, values in answers.items():
        if values.shape[:1] != (count,):
            raise _invalid(f"its output '{name}' has the shape {values.shape} for {count} rows", "each row has one entry")
    if not answers:
        raise _invalid("it has no outputs", "there is nothing to answer with")
    return answers


def _cell_of(name: str, values: NDArray[Any]) -> Cell:
    word = "String" if values.dtype.kind in "OU" else _WORDS.get(values.dtype)
    if word is None:
        raise _invalid(f"its output '{name}' is of the type {values.dtype}", f"known are {', '.join(ELEMENTS)}")
    return Cell(word, values.shape[1:])


def _common(name: str, cells: Sequence[Cell]) -> Cell:
    """Return what the cells of an output are, with a free length where it differed."""
    first = cells[0]
    if any(len(one.shape) != len(first.shape) or one.element != first.element for one in cells):
        raise _invalid(f"its output '{name}' is of no one type", ", ".join(map(str, cells)))
    sizes = zip(*(one.shape for one in cells), strict=True)
    shape = tuple(found[0] if len(set(found)) == 1 else None for found in sizes)
    return Cell(first.element, () if shape == (1,) else shape)


def _apart(name: str, together: NDArray[Any], alone: Sequence[NDArray[Any]]) -> float:
    """Return how far an output's rows are from the same rows asked alone; 0 for texts and labels that are the same."""
    try:
        single = np.concatenate(alone)
    except ValueError as error:
        raise _invalid(f"its output '{name}' has another shape for one row", str(error)) from error
    if together.dtype.kind not in "fiu":
        same = single.shape == together.shape and bool((single == together).all())
        gap = 0.0 if same else np.inf
    else:
        first, second = single.astype(np.float64), together.astype(np.float64)
        both = np.isfinite(first) & np.isfinite(second)
        gap = float(np.max(np.abs(first - second), where=both, initial=0.0)) if first.shape == second.shape else np.inf
        gap = gap if np.array_equal(np.isfinite(first), np.isfinite(second)) else np.inf
    size = float(np.max(np.abs(together[np.isfinite(together)]), initial=1.0)) if together.dtype.kind == "f" else 1.0
    if gap > APART * max(1.0, size):
        raise _invalid(
            f"it answers a row otherwise among others than alone ('{name}' by {gap:.1e})",
            "requests are answered together, and none may change another's answer",
        )
    return gap


def _latency(framework: Framework, model: object, cells: Mapping[str, Cell]) -> float:
    row = {name: neutral(cell, 1, LENGTHS[0]) for name, cell in cells.items()}
    return median_us(lambda: framework.run(model, row))


def median_us(work: Callable[[], object]) -> float:
    """Return the median time of a piece of work, in microseconds."""
    took: list[float] = []
    until = time.perf_counter() + LATENCY_S
    while len(took) < LATENCY_ROUNDS and (not took or time.perf_counter() < until):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(took), 1)


def _invalid(what: str, why: str) -> Problem:
    return Problem("model.invalid", f"The model cannot be served: {what}", why, "export it again, and import that")
