"""Raw rows as the input tensors of the Open Inference Protocol: one a column."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite, prod
from typing import Any

import polars as pl

from modelyard.core import Problem

Rows = Mapping[str, Any] | Sequence[Mapping[str, Any]] | pl.DataFrame


def tensors_of(rows: Rows, types: Callable[[], Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return one input tensor a column; missing values, NaN among them, are null. A cell may hold an array, as nested lists.

    `types` gives the datatypes that the model wants, for columns in which every value is missing.

    Raises
    ------
    Problem
        `input.invalid` for no rows, uneven rows, and values that have no datatype.

    >>> tensors_of({"tenure": 12, "contract": "monthly"}, dict)[0]
    {'name': 'tenure', 'shape': [1], 'datatype': 'INT64', 'data': [12]}
    >>> tensors_of([{"x": [1.5, 2]}, {"x": [3, 4]}], dict)[0]["shape"]
    [2, 2]
    """
    columns = _columns(rows)
    count = len(next(iter(columns.values()), ()))
    if not count:
        raise Problem("input.invalid", "There is no row to ask about", "", "predict({…}), predict([{…}, …]) or predict(frame)")
    tensors = []
    for name, raw in columns.items():
        shape, cells = _flat(name, raw)
        values = [_plain(value) for value in cells]
        datatype = _datatype(name, values) or types().get(name, "BYTES")
        tensors.append({"name": name, "shape": [count, *shape], "datatype": datatype, "data": values})
    return tensors


def _columns(rows: Rows) -> dict[str, list[Any]]:
    if isinstance(rows, pl.DataFrame):
        return {column.name: column.to_list() for column in rows}
    listed = [rows] if isinstance(rows, Mapping) else list(rows)
    names = list(listed[0]) if listed else []
    for place, row in enumerate(listed):
        if row.keys() != listed[0].keys():
            differing = ", ".join(sorted(set(row) ^ set(names)))
            raise Problem("input.invalid", f"Row {place} has other columns than row 0", f"they differ in {differing}")
    return {name: [row[name] for row in listed] for name in names}


def nested(values: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    """Return flat values by row, as their shape says.

    >>> nested([1, 2, 3, 4], [2, 2])
    [[1, 2], [3, 4]]
    """
    if len(shape) <= 1:
        return list(values)
    step = prod(shape[1:])
    return [nested(values[place * step : (place + 1) * step], shape[1:]) for place in range(shape[0])]


def _flat(name: str, cells: list[Any]) -> tuple[list[int], list[Any]]:
    """Return the shape of a column's cells, empty for plain values, and all values one after the other."""
    shape: list[int] = []
    cells = [_listed(one) for one in cells]
    while any(isinstance(one, list) for one in cells):
        sizes = {len(one) if isinstance(one, list) else -1 for one in cells}
        if len(sizes) > 1:
            why = "the arrays in its cells have different lengths"
            raise Problem("input.invalid", f"The column '{name}' cannot be sent", why, "send rows of one shape together")
        shape.append(sizes.pop())
        cells = [_listed(value) for one in cells for value in one]
    return shape, cells


def _listed(cell: Any) -> Any:
    if isinstance(cell, tuple):
        return list(cell)
    if isinstance(cell, pl.Series):
        return cell.to_list()
    return cell.tolist() if getattr(cell, "ndim", 0) else cell  # an array of NumPy's, or of another framework's


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()  # a NumPy scalar
    if isinstance(value, float):
        return None if value != value else value  # noqa: PLR0124 - NaN alone differs from itself
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _datatype(name: str, values: Sequence[Any]) -> str | None:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        for value in values:
            if value is not None and not isfinite(value):
                raise Problem(
                    "input.invalid", f"The column '{name}' holds {value}", "JSON has no infinite numbers", "send null"
                )
        return "FP64"
    if not kinds:
        return None
    found = {bool: "BOOL", int: "INT64", str: "BYTES"}.get(next(iter(kinds)))
    if len(kinds) == 1 and found is not None:
        return found
    told = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise Problem("input.invalid", f"The column '{name}' cannot be sent", f"it holds {told}", "one kind of value a column")
