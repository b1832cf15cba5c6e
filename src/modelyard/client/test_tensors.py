from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.client.tensors import Rows, tensors_of
from modelyard.core import Problem


def never() -> Mapping[str, str]:
    raise AssertionError("nothing has to be asked")


def columns(rows: Rows) -> dict[str, tuple[str, list[Any]]]:
    return {one["name"]: (one["datatype"], one["data"]) for one in tensors_of(rows, never)}


def test_a_row_rows_and_a_frame_say_the_same() -> None:
    at = datetime(2013, 6, 24, 5, tzinfo=UTC)
    row = {"n": 3, "x": 1.5, "s": "EWR", "b": True, "at": at, "d": date(2013, 6, 24)}
    wanted = {
        "n": ("INT64", [3]),
        "x": ("FP64", [1.5]),
        "s": ("BYTES", ["EWR"]),
        "b": ("BOOL", [True]),
        "at": ("BYTES", ["2013-06-24T05:00:00+00:00"]),
        "d": ("BYTES", ["2013-06-24"]),
    }
    assert columns(row) == columns([row]) == columns(pl.DataFrame([row])) == wanted


def test_missing_values_are_null_and_do_not_change_the_type() -> None:
    rows: list[dict[str, Any]] = [{"x": 1, "y": None}, {"x": float("nan"), "y": 2}, {"x": 2.5, "y": 3}]
    assert columns(rows) == {"x": ("FP64", [1, None, 2.5]), "y": ("INT64", [None, 2, 3])}


def test_a_column_of_missing_values_takes_the_type_that_the_model_wants() -> None:
    [tensor] = tensors_of([{"x": None}, {"x": None}], lambda: {"x": "FP32"})
    assert tensor == {"name": "x", "shape": [2], "datatype": "FP32", "data": [None, None]}


def test_numpy_scalars_are_plain_numbers() -> None:
    assert columns({"x": np.float32(0.5), "n": np.int64(2), "b": np.bool_(True)}) == {
        "x": ("FP64", [0.5]),
        "n": ("INT64", [2]),
        "b": ("BOOL", [True]),
    }


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no row"),
        (pl.DataFrame({"x": []}), "no row"),
        ([{"x": 1}, {"y": 1}], "Row 1"),
        ([{"x": 1}, {"x": "a"}], "'x'"),
        ({"x": float("inf")}, "'x'"),
        ({"x": object()}, "'x'"),
    ],
)
def test_what_cannot_be_sent_is_told_by_name(rows: Rows, told: str) -> None:
    with pytest.raises(Problem, match=told) as caught:
        tensors_of(rows, dict)
    assert caught.value.code == "input.invalid"


def test_cells_may_be_arrays_of_one_shape() -> None:
    rows: list[dict[str, Any]] = [{"x": [[1, 2], [3, 4]], "y": (1.5,)}, {"x": np.array([[5, 6], [7, 8]]), "y": [None]}]
    told = {one["name"]: (one["shape"], one["datatype"], one["data"]) for one in tensors_of(rows, never)}
    assert told == {"x": ([2, 2, 2], "INT64", [1, 2, 3, 4, 5, 6, 7, 8]), "y": ([2, 1], "FP64", [1.5, None])}
    assert tensors_of(pl.DataFrame({"x": [["a", "b"]]}), never)[0]["shape"] == [1, 2]


@pytest.mark.parametrize("cells", [([1], [1, 2]), ([1], 2), ([[1]], [1])])
def test_cells_of_different_shapes_are_refused(cells: tuple[Any, Any]) -> None:
    with pytest.raises(Problem, match="different lengths"):
        tensors_of([{"x": one} for one in cells], never)
