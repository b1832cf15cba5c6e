"""Rows that came column by column are the rows that came as mappings, also where one of them is wrong."""

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.prepare import Pipeline, Transform, fit, prep
from modelyard.prepare.columnar import ColumnarRows

PARTS: list[Mapping[str, Any]] = [
    {"a": [1.0], "k": ["x"]},
    {"a": [2.0, None], "k": ["y", "é"]},
    {"k": ["x"], "a": np.array([4.0])},
]
ROWS: list[Mapping[str, object]] = [
    {"a": 1.0, "k": "x"},
    {"a": 2.0, "k": "y"},
    {"a": None, "k": "é"},
    {"a": 4.0, "k": "x"},
]
WRONG: list[tuple[Mapping[str, Any], str, int]] = [  # a part, its problem, and the row, counted from the part's first
    ({"a": [3.0, "warm"], "k": ["x", "x"]}, "column.invalid", 1),
    ({"k": ["x"]}, "column.missing", 0),
]


def columnar() -> ColumnarRows:
    return ColumnarRows.joined([ColumnarRows.of(part) for part in PARTS])


def fitted(*columns: str) -> Transform:
    train = pl.DataFrame({"a": [1.0, 2.0, None], "k": ["x", "y", "é"]}).select(columns)
    steps = [step for column, step in (("a", prep.fill_null("a", 7)), ("k", prep.one_hot("k"))) if column in columns]
    return Transform(fit(Pipeline(tuple(steps)), train))


def test_they_are_a_sequence_of_mappings() -> None:
    rows = columnar()
    assert len(rows) == len(ROWS)
    assert list(rows) == ROWS
    assert [rows[place] for place in range(-4, 4)] == ROWS * 2
    assert rows[1:3] == ROWS[1:3]
    assert rows.column("k") == ["x", "y", "é", "x"]
    assert list(pickle.loads(pickle.dumps(rows))) == ROWS  # noqa: S301 - our own
    for beyond in (4, -5):
        with pytest.raises(IndexError):
            rows[beyond]
    assert not ColumnarRows.of({})


@pytest.mark.parametrize("columns", [("a", "k"), ("a",), ("k",)])
@pytest.mark.parametrize("times", [1, 100])  # by Python, and by a frame
def test_they_are_prepared_as_mappings_are(columns: tuple[str, ...], times: int) -> None:
    transform = fitted(*columns)
    rows = ColumnarRows.joined([columnar()] * times)
    np.testing.assert_array_equal(transform.rows(rows), transform.rows(ROWS * times))


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("columns", [("a", "k"), ("a",)])
@pytest.mark.parametrize(("part", "code", "row"), WRONG)
def test_a_problem_names_the_row_among_all(
    part: Mapping[str, Any], code: str, row: int, columns: tuple[str, ...], times: int
) -> None:
    before = ColumnarRows.joined([columnar()] * times)
    with pytest.raises(Problem) as caught:
        fitted(*columns).rows(ColumnarRows.joined([before, ColumnarRows.of(part), columnar()]))
    assert caught.value.code == code
    assert (caught.value.detail["column"], caught.value.detail["row"]) == ("a", row + len(ROWS) * times)


def test_columns_of_several_lengths_are_no_rows() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        fitted("a", "k").rows(ColumnarRows.of({"a": [1.0, 2.0], "k": ["x"]}))


def test_a_number_beyond_float32_is_infinite_by_rows_as_in_a_frame() -> None:
    transform = fitted("a")
    rows = [{"a": 1e300}, {"a": -1e300}, {"a": 5.0}]
    assert transform.rows(rows).tolist() == [[np.inf], [-np.inf], [5.0]]
    assert transform.rows([]).shape == (0, 1)


def test_many_categories_are_told_apart() -> None:
    words = [f"word {place}" for place in range(50)]
    transform = Transform(fit(Pipeline((prep.one_hot("k"),)), pl.DataFrame({"k": words})))
    unseen: list[Mapping[str, object]] = [{"k": "none of them"}, {"k": None}]
    found = transform.rows([*({"k": word} for word in words), *unseen])
    np.testing.assert_array_equal(found, transform.matrix(pl.DataFrame({"k": [*words, "none of them", None]})))
    assert found.sum() == len(words)
