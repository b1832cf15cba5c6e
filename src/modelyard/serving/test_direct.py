from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.prepare.values import InputColumn
from modelyard.serving.direct import Direct
from modelyard.serving.ledger import input_series
from modelyard.serving.tensors import tensor_of


class Sums:
    """A framework whose models add up what they are given, and say how much came together."""

    name = "sums"

    def owns(self, model: object) -> bool:
        return True

    def save(self, model: object, to: Path) -> None:
        to.write_bytes(b"")

    def load(self, path: Path) -> object:
        return "model"

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        raise NotImplementedError

    def to_onnx(self, model: object, features: int) -> bytes:
        raise NotImplementedError

    def thresholds(self, model: object, features: int) -> list[NDArray[np.float32]]:
        return []

    def describe(self, model: object) -> tuple[Column, ...]:
        return (Column("x", "Array[Float32, ?]"), Column("who", "String"))

    def run(self, model: object, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        if model == "broken":
            raise RuntimeError("out of luck")
        rows = 1 if model == "short" else len(inputs["x"])
        return {"sum": inputs["x"].sum(axis=1)[:rows], "who": inputs["who"][:rows], "more": inputs["x"]}


def direct(model: object = "model") -> Direct:
    cells = {"x": Cell("Float32", (None,)), "who": Cell("String")}
    return Direct(cells, version=7, outputs=("sum", "who"), framework=Sums(), model=model)


ROWS: list[dict[str, Any]] = [{"x": [1.0, 2], "who": "ann", "other": 1}, {"x": [3, float("nan")], "who": "bob"}]


def test_rows_frames_and_columns_are_answered_alike() -> None:
    version = direct()
    frame = pl.DataFrame({"who": ["ann", "bob"], "x": [[1.0, 2.0], [3.0, float("nan")]]})
    columns: dict[str, list[Any]] = {"x": [1.0, 2.0, 3.0, None], "who": ["ann", "bob"]}
    for batch in (ROWS, frame, version.batch(columns, {"x": [2, 2]})):
        answers = version.infer(batch)
        assert list(answers) == ["sum", "who"]
        assert answers["who"].tolist() == ["ann", "bob"]
        assert answers["sum"].dtype == np.float32
        assert answers["sum"][0] == 3
        assert np.isnan(answers["sum"][1])


def test_requests_are_joined_along_the_rows() -> None:
    version = direct()
    parts = [version.batch({"x": [[1, 2]], "who": ["a"]}, {}), version.batch({"x": [[3, 4], [5, 6]], "who": ["b", "c"]}, {})]
    answers = version.infer(version.joined(parts))
    assert answers["sum"].tolist() == [3, 7, 11]
    assert answers["who"].tolist() == ["a", "b", "c"]
    with pytest.raises(Problem) as told:
        version.joined([*parts, version.batch({"x": [[1, 2, 3]], "who": ["d"]}, {})])
    assert told.value.code == "batch.invalid"


def test_a_wrong_row_is_named() -> None:
    wrong: list[tuple[dict[str, Any], str, int]] = [
        ({"x": ["a", "b"], "who": "eve"}, "tensor.invalid", 2),
        ({"x": [1, 2], "who": None}, "tensor.invalid", 2),
        ({"x": [1, 2]}, "column.missing", 2),
        ({"x": [[1], [2]], "who": "eve"}, "tensor.invalid", 2),
        ({"x": 1.5, "who": "eve"}, "tensor.invalid", 2),
    ]
    for bad, code, row in wrong:
        with pytest.raises(Problem) as told:
            direct().infer([*ROWS, bad])
        assert (told.value.code, told.value.detail["row"]) == (code, row)


def test_a_missing_input_is_told_with_the_nearest_name() -> None:
    with pytest.raises(Problem, match="did you mean 'whom'") as told:
        direct().batch({"x": [[1]], "whom": ["a"]}, {})
    assert told.value.code == "column.missing"


def test_inputs_of_different_numbers_of_rows_are_refused() -> None:
    with pytest.raises(Problem, match="different numbers of rows"):
        direct().batch({"x": [[1]], "who": ["a", "b"]}, {})


@pytest.mark.parametrize("model", ["broken", "short"])
def test_a_model_that_fails_is_the_versions_fault(model: str) -> None:
    with pytest.raises(Problem) as told:
        direct(model).infer(ROWS)
    assert told.value.code == "version.failed"


def test_it_warms_itself_on_zeros() -> None:
    direct().warm()
    with pytest.raises(Problem):
        direct("broken").warm()


@pytest.mark.parametrize(
    ("dtype", "values", "shape", "expected"),
    [
        ("Float32", [1, 2.5, None], None, [1, 2.5, None]),
        ("Float32", [[1], [2]], None, [1, 2]),
        ("Float32", [1, 2], [2, 1], [1, 2]),
        ("Int32", [1, 2.0, 2**31 - 1], None, [1, 2, 2**31 - 1]),
        ("Int64", [2**63 - 1, -(2**63)], None, [2**63 - 1, -(2**63)]),
        ("UInt8", np.array([0, 255]), None, [0, 255]),
        ("Boolean", [True, False], None, [True, False]),
        ("String", ["a", ""], None, ["a", ""]),
        ("Array[Float64, 2]", [1, 2, 3, 4], [2, 2], [[1, 2], [3, 4]]),
        ("Array[Float64, 1x2]", [[[1, 2]], [[3, 4]]], None, [[[1, 2]], [[3, 4]]]),
        ("Array[String, ?]", [["a", "b"]], None, [["a", "b"]]),
    ],
)
def test_what_the_type_holds_is_taken(dtype: str, values: Any, shape: list[int] | None, expected: list[Any]) -> None:
    found = tensor_of("x", Cell.parse(dtype), values, shape)
    assert found.dtype == Cell.parse(dtype).numpy
    assert [None if one != one else one for one in found.tolist()] == expected  # noqa: PLR0124 - so is NaN alone


@pytest.mark.parametrize(
    ("dtype", "values", "shape"),
    [
        ("Float32", ["1.5"], None),
        ("Float32", [1, "a"], None),
        ("Float32", [True], None),
        ("Float32", [{}], None),
        ("Float32", [[1, 2]], None),
        ("Float32", 5, None),
        ("Int64", [1.5], None),
        ("Int64", [None], None),
        ("Int64", [float("nan")], None),
        ("Int64", [2**63], None),
        ("Int64", [float(2**63)], None),
        ("Int8", [128], None),
        ("UInt8", [-1], None),
        ("Boolean", [1], None),
        ("Boolean", ["true"], None),
        ("String", [1], None),
        ("String", [None], None),
        ("String", [["a"], ["b", "c"]], None),
        ("Array[Float32, 2]", [[1, 2], [3]], None),
        ("Array[Float32, 2]", [[1, 2, 3]], None),
        ("Array[Float32, 2]", [1, 2, 3], [2, 2]),
        ("Array[Float32, 2]", [1, 2], [-1, -2]),
        ("Array[Float32, ?]", [[[1]]], None),
    ],
)
def test_what_the_type_does_not_hold_is_refused(dtype: str, values: Any, shape: list[int] | None) -> None:
    with pytest.raises(Problem, match="'x'") as told:
        tensor_of("x", Cell.parse(dtype), values, shape)
    assert told.value.code == "tensor.invalid"
    assert told.value.detail == {"column": "x", "expected": dtype}


@pytest.mark.parametrize(
    "dtype", ["", "float", "Array[Float32]", "Array[Float32, ]", "Array[Date, 3]", "Float32 ", "Array[Int8, 3y4]"]
)
def test_a_type_that_is_none_is_refused(dtype: str) -> None:
    with pytest.raises(Problem) as told:
        Cell.parse(dtype)
    assert told.value.code == "dtype.invalid"


@pytest.mark.parametrize(
    ("dtype", "values", "kept"),
    [
        ("Int32", [1, 2], pl.Int64()),
        ("UInt64", [2**64 - 1], pl.Decimal(20, 0)),
        ("Float16", [0.5, None], pl.Float32()),
        ("Array[Float32, 2]", [[0.5, None]], pl.List(pl.Float32())),
        ("Array[UInt64, ?]", [[2**64 - 1], []], pl.List(pl.Decimal(20, 0))),
        ("Array[String, 1]", [["a"]], pl.List(pl.String())),
        ("Boolean", [True], pl.Boolean()),
    ],
)
def test_the_ledger_keeps_tensors_as_they_were(dtype: str, values: list[Any], kept: pl.DataType) -> None:
    series = input_series(InputColumn("x", dtype), values)
    assert (series.name, series.dtype, series.to_list()) == ("input.x", kept, values)
    if None not in values and "?" not in dtype and None not in np.ravel(np.array(values, dtype=object)):
        array = np.array(values, dtype=Cell.parse(dtype).numpy)
        assert Cell.parse(dtype).series("x", array).to_list() == values


def test_a_table_keeps_cells_as_lists() -> None:
    assert Cell.parse("Array[Float16, 3x?]").kept == pl.List(pl.List(pl.Float32()))
    assert Cell.parse("UInt8").kept == pl.Int64()
