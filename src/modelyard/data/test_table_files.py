"""Files of one form as one table: columns, types and counts are known before a row is given."""

from pathlib import Path

import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.data.csv_types import find_types, type_of
from modelyard.data.table_files import Tables, look, together


def tables(*paths: Path) -> Tables:
    return together([path.name for path in paths], [look(path) for path in paths])


def test_types_of_texts_are_those_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x,at,zip\n1,1,2013-01-01T05:00:00Z,10001\n")
    (tmp_path / "b.csv").write_text("id,x,at,zip\n2,2.5,,00501\n3,,2013-01-01T05:00:00.5Z,1\n")
    found = tables(tmp_path / "a.csv", tmp_path / "b.csv")
    assert found.rows == (1, 2)
    rows = pl.concat([found.scan(tmp_path / name) for name in ("a.csv", "b.csv")]).collect()
    assert rows.schema == found.schema == {"id": pl.Int64, "x": pl.Float64, "at": pl.Datetime("us", "UTC"), "zip": pl.String}
    assert rows["x"].to_list() == [1.0, 2.5, None]


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize(
    "values",
    [
        ["1", "2", "3.5", "4"],
        ["1", "x", "3", "4"],
        [None, None, "true", "False"],
        ["2013-01-01", "2013-01-02", "2013-01-01T05:00:00", None],
        ["2013-01-01T05:00:00Z", "2013-01-01T05:00:00+02:00", None, "2013-01-01T05:00:00.25Z"],
        ["2013-01-01 05:00", "2013-01-01 05:00:00", None, None],
        ["9223372036854775808", "1", "2", "3"],
        ["01", "2", "3", "4"],
    ],
)
def test_the_type_of_stretches_is_that_of_the_whole(values: list[str | None], cut: int) -> None:
    whole = pl.Series("x", values, dtype=pl.String)
    stretches = [whole[:cut].to_frame(), whole[cut:].to_frame()]
    assert find_types(stretches, ["x"]) == ({"x": type_of(whole)}, len(values))


def test_ndjson_takes_the_types_that_hold_all(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"id": 1, "x": 1}\n')
    (tmp_path / "b.ndjson").write_text('{"id": 2, "x": 1.5, "y": "new"}\n')
    found = tables(tmp_path / "a.ndjson", tmp_path / "b.ndjson")
    assert found.schema == {"id": pl.Int64, "x": pl.Float64, "y": pl.String}
    assert found.scan(tmp_path / "a.ndjson").collect().rows() == [(1, 1.0, None)]


def test_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1], "b": ["x"]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"b": ["y"], "a": [2]}).write_parquet(tmp_path / "2.parquet")
    found = tables(tmp_path / "1.parquet", tmp_path / "2.parquet")
    assert found.scan(tmp_path / "2.parquet").collect().rows() == [(2, "y")]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (pl.DataFrame({"a": [1]}), "2.parquet .*has no b"),
        (pl.DataFrame({"a": [1], "b": ["x"], "c": [1]}), "2.parquet .*has also c"),
        (pl.DataFrame({"a": [1.5], "b": ["x"]}), "2.parquet .*its a is Float64, and that of 1.parquet is Int64"),
    ],
)
def test_files_that_differ_are_told_by_file_and_column(tmp_path: Path, other: pl.DataFrame, told: str) -> None:
    pl.DataFrame({"a": [1], "b": ["x"]}).write_parquet(tmp_path / "1.parquet")
    other.write_parquet(tmp_path / "2.parquet")
    with pytest.raises(Problem, match=told) as problem:
        tables(tmp_path / "1.parquet", tmp_path / "2.parquet")
    assert problem.value.code == "source.invalid"


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.csv", "a,b\n1,2\n1,2,3\n"), ("x.csv", ""), ("x.ndjson", ""), ("x.parquet", ""), ("x.arrow", ""), ("x.xlsx", "x")],
)
def test_what_cannot_be_read_is_told_before_any_row(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(Problem, match=name) as problem:
        look(tmp_path / name)
    assert problem.value.code == "source.invalid"
