from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.data.schema import RESERVED, conform, refuse_reserved, schema_of, stored_type
from modelyard.data.types import Column, Schema

NAIVE, ZONED = pl.Datetime("us"), pl.Datetime("us", "UTC")


def cast(values: list[Any], to: pl.DataType, of: pl.DataType | None = None) -> pl.Series:
    return conform(pl.DataFrame({"x": pl.Series(values, dtype=of)}), pl.Schema({"x": to}))["x"]


@pytest.mark.parametrize(
    ("values", "of", "to", "expected"),
    [
        ([1, None, 3], pl.UInt32(), pl.Int64(), [1, None, 3]),
        ([1, 2], pl.Int64(), pl.Float64(), [1.0, 2.0]),
        ([1.0, float("nan")], pl.Float32(), pl.Float64(), [1.0, float("nan")]),
        ([1.0, 2.0, None], pl.Float64(), pl.Int64(), [1, 2, None]),
        ([0, 1], pl.Int64(), pl.Boolean(), [False, True]),
        (["12", None], pl.String(), pl.Int64(), [12, None]),
        (["1.5"], pl.String(), pl.Float64(), [1.5]),
        (["True", "false", None], pl.String(), pl.Boolean(), [True, False, None]),
        (["2013-01-01T06:00:00Z"], pl.String(), ZONED, [datetime(2013, 1, 1, 6, tzinfo=UTC)]),
        (["2013-01-01T06:00:00"], pl.String(), ZONED, [datetime(2013, 1, 1, 6, tzinfo=UTC)]),
        (["2013-01-01T06:00:00"], pl.String(), NAIVE, [datetime(2013, 1, 1, 6)]),
        (["2013-01-01"], pl.String(), pl.Date(), [date(2013, 1, 1)]),
        ([date(2013, 1, 1)], pl.Date(), NAIVE, [datetime(2013, 1, 1)]),
        ([None, None], pl.Null(), pl.Int64(), [None, None]),
        ([None], pl.Duration(), pl.Int64(), [None]),
        (["a", "b"], pl.Categorical(), pl.String(), ["a", "b"]),
        ([[1], None], pl.List(pl.Int32()), pl.List(pl.Int64()), [[1], None]),
    ],
)
def test_a_cast_that_changes_no_value_is_done(values: list[Any], of: pl.DataType, to: pl.DataType, expected: list[Any]) -> None:
    found = cast(values, to, of)
    assert found.dtype == to
    assert found.equals(pl.Series("x", expected, dtype=to), null_equal=True)


@pytest.mark.parametrize(
    ("values", "of", "to", "row"),
    [
        ([1.0, 2.5], pl.Float64(), pl.Int64(), 1),
        ([1, 2, 300], pl.Int64(), pl.Int8(), 2),
        ([2**53 + 1], pl.Int64(), pl.Float64(), 0),
        ([0.1], pl.Float64(), pl.Float32(), 0),
        (["1", "abc"], pl.String(), pl.Int64(), 1),
        ([None, "yes"], pl.String(), pl.Boolean(), 1),
        (["2013-01-01T06:00:00Z", "soon"], pl.String(), ZONED, 1),
        (["2013-01-01T06:00:00Z"], pl.String(), NAIVE, 0),
        ([None, 501], pl.Int64(), pl.String(), 1),
        ([datetime(2013, 1, 1)], NAIVE, ZONED, 0),
        ([datetime(2013, 1, 1, 6)], NAIVE, pl.Date(), 0),
        ([1], pl.Int64(), NAIVE, 0),
        ([2**63], pl.UInt64(), pl.Int64(), 0),
        (["a"], pl.String(), pl.List(pl.String()), 0),
    ],
)
def test_a_cast_that_would_change_a_value_names_column_and_row(
    values: list[Any], of: pl.DataType, to: pl.DataType, row: int
) -> None:
    with pytest.raises(Problem, match=rf"'x' \(first in row {row}\)") as told:
        cast(values, to, of)
    assert (told.value.code, told.value.detail) == ("column.invalid", {"column": "x", "row": row})


def test_expected_columns_come_first_and_new_ones_after() -> None:
    frame = pl.DataFrame({"new": [1], "b": [2], "a": [3]})
    assert conform(frame, pl.Schema({"a": pl.Int64(), "b": pl.Int64()})).columns == ["a", "b", "new"]


def test_a_missing_column_is_told_with_the_nearest() -> None:
    with pytest.raises(Problem, match="did you mean 'dep_tme'") as told:
        conform(pl.DataFrame({"dep_tme": [1]}), pl.Schema({"dep_time": pl.Int64()}))
    assert told.value.code == "column.missing"


@pytest.mark.parametrize("names", [[""], [" "], ["id", "ID"]])
def test_a_name_that_cannot_be_a_columns_is_refused(names: list[str]) -> None:
    with pytest.raises(Problem) as told:
        conform(pl.DataFrame({name: [1] for name in names}))
    assert told.value.code == "column.invalid"


def test_a_new_column_may_not_shadow_an_expected_one() -> None:
    with pytest.raises(Problem, match="upper and lower case"):
        conform(pl.DataFrame({"id": [1], "ID": [1]}), pl.Schema({"id": pl.Int64()}))


def test_the_lakes_own_names_are_refused() -> None:
    refuse_reserved(["commit", "reasons"])
    for name in RESERVED:
        with pytest.raises(Problem, match=name) as told:
            refuse_reserved(["id", name])
        assert told.value.code == "column.invalid"


@pytest.mark.parametrize("value", [time(1), timedelta(1), [time(1)], {"a": timedelta(1)}])
def test_what_no_table_holds_is_refused(value: object) -> None:
    with pytest.raises(Problem, match="no table holds") as told:
        conform(pl.DataFrame({"x": [value]}))
    assert told.value.code == "column.invalid"


def test_stored_types_of_nested_columns_are_those_of_their_parts() -> None:
    nested = pl.Struct({"a": pl.UInt8(), "b": pl.List(pl.Categorical())})
    assert stored_type(nested) == pl.Struct({"a": pl.Int16(), "b": pl.List(pl.String())})
    assert schema_of(pl.DataFrame({"t": [datetime(2013, 1, 1)]})) == Schema(
        (Column("t", "Datetime(time_unit='us', time_zone=None)"),)
    )
