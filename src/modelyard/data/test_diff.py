from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core import Problem
from modelyard.data.diff import (
    ChangedRow,
    Retyped,
    RowDiff,
    RowExample,
    all_added,
    compare_batches,
    compare_rows,
    compare_schemas,
    turned,
)
from modelyard.data.schema import schema_of
from modelyard.data.types import Column

NAN = float("nan")
SCHEMA = {"id": pl.Int64, "x": pl.Float64, "name": pl.String}
CELLS = st.tuples(st.sampled_from([None, NAN, 0.0, -0.0, 1.5]), st.sampled_from([None, "", "a", "b"]))
BY_KEY = st.dictionaries(st.integers(0, 12), CELLS, max_size=12)
ROWS = st.lists(st.tuples(st.integers(0, 2), CELLS), max_size=12)


def frame(rows: list[tuple[int, tuple[Any, Any]]]) -> pl.DataFrame:
    return pl.DataFrame([(number, *cells) for number, cells in rows], schema=SCHEMA, orient="row")


def told(value: Any) -> Any:
    return "nan" if value != value else value  # noqa: PLR0124 - only NaN is no equal of itself


def same(one: Any, other: Any) -> bool:
    return bool(told(one) == told(other))


def test_columns_are_added_removed_and_retyped() -> None:
    before = schema_of(pl.DataFrame({"id": [1], "x": [1], "gone": [""]}))
    after = schema_of(pl.DataFrame({"id": [1], "x": [1.0], "new": [True]}))
    found = compare_schemas(before, after)
    assert found.added == (Column("new", "Boolean"),)
    assert found.removed == (Column("gone", "String"),)
    assert found.retyped == (Retyped("x", "Int64", "Float64"),)


@given(BY_KEY, BY_KEY, st.integers(1, 20))
def test_rows_are_compared_by_key_cell_by_cell(before: dict[int, Any], after: dict[int, Any], part_rows: int) -> None:
    old, new = (frame(list(rows.items())).lazy() for rows in (before, after))
    found = compare_rows(old, new, ["id"], examples=99, part_rows=part_rows)
    both = [key for key in after if key in before]
    differ = {name: [key for key in both if not same(before[key][n], after[key][n])] for n, name in enumerate(("x", "name"))}
    changed = [key for key in both if key in differ["x"] or key in differ["name"]]
    assert (found.added, found.removed, found.changed) == (len(after) - len(both), len(before) - len(both), len(changed))
    assert found.cells == {name: len(keys) for name, keys in differ.items() if keys}
    assert [one.row["id"] for one in found.added_examples] == [key for key in after if key not in before]
    assert [one.row["id"] for one in found.removed_examples] == [key for key in before if key not in after]
    assert list(found.changed_examples) == [
        ChangedRow({"id": key}, *({name: told(side[key][n]) for n, name in enumerate(("x", "name")) if key in differ[name]}
                                  for side in (before, after)))
        for key in changed
    ]  # fmt: skip


@given(ROWS, ROWS, st.integers(1, 20))
def test_without_a_key_rows_are_a_multiset(before: list[Any], after: list[Any], part_rows: int) -> None:
    found = compare_rows(frame(before).lazy(), frame(after).lazy(), [], examples=99, part_rows=part_rows)
    old, new = (Counter((number, told(x), name) for number, (x, name) in rows) for rows in (before, after))
    assert (found.added, found.removed) == ((new - old).total(), (old - new).total())
    assert (found.changed, found.cells, found.changed_examples) == (0, {}, ())
    for examples, surplus in ((found.added_examples, new - old), (found.removed_examples, old - new)):
        assert Counter({tuple(one.row.values()): one.times for one in examples}) == surplus


@given(BY_KEY, ROWS, st.integers(1, 20))
def test_batches_that_came_make_what_comparing_the_wholes_finds(held: dict[int, Any], came: list[Any], part_rows: int) -> None:
    before, batches = frame(list(held.items())), frame(came)
    found = compare_batches(before.lazy(), batches.lazy(), ["id"], part_rows=part_rows, examples=99)
    whole = compare_rows(before.lazy(), pl.concat([before, batches]).lazy(), ["id"], examples=99)
    assert found == whole
    assert found.removed == 0


def test_the_other_side_sees_the_same_turned_round() -> None:
    old, new = frame([(1, (1.0, "a")), (2, (2.0, "b"))]).lazy(), frame([(2, (NAN, "b")), (3, (None, "c"))]).lazy()
    there, back = compare_rows(old, new, ["id"]), compare_rows(new, old, ["id"])
    assert turned(there) == back
    assert there.changed_examples == (ChangedRow({"id": 2}, {"x": 2.0}, {"x": "nan"}),)
    assert turned(back) == there


def test_examples_are_the_first_of_the_order_whatever_the_parts() -> None:
    old = frame([(n, (n * 1.0, "a")) for n in range(0, 500)]).lazy()
    new = frame([(n, (n * 2.0, "a")) for n in range(900, 99, -1)]).lazy()
    one, many = (compare_rows(old, new, ["id"], examples=2, part_rows=rows) for rows in (10_000, 37))
    assert one == many
    assert [one.row["id"] for one in many.added_examples] == [900, 899]
    assert [one.row["id"] for one in many.removed_examples] == [0, 1]
    assert [one.key["id"] for one in many.changed_examples] == [499, 498]
    assert compare_rows(old, new, ["id"], examples=0).added_examples == ()


def test_rows_that_were_only_added_are_counted_without_reading_them_all() -> None:
    rows = pl.LazyFrame({"x": [2, 1, 2, 2], "y": [None, "a", None, "b"]})
    assert all_added(rows, 4, ["x"], examples=1) == RowDiff(added=4, added_examples=(RowExample({"x": 2, "y": None}),))
    assert all_added(rows, 4, [], examples=3).added_examples == (
        RowExample({"x": 2, "y": None}, times=2),
        RowExample({"x": 1, "y": "a"}),
    )
    assert all_added(rows, 4, [], examples=0) == RowDiff(added=4)


def test_cells_of_every_type_are_compared_and_told_as_json() -> None:
    at = datetime(2013, 1, 1, tzinfo=UTC)
    before = pl.DataFrame(
        {"k": ["a"], "at": [at], "raw": [b"\x00"], "many": [[1, None]], "deep": [{"x": NAN}], "money": [Decimal("1.10")]}
    )
    after = before.with_columns(
        raw=pl.lit(b"\xff"), many=pl.Series([[1, 2]]), deep=pl.Series([{"x": float("inf")}]), money=pl.lit(Decimal("1.20"))
    )
    found = compare_rows(before.lazy(), after.lazy(), ["k", "at"])
    assert compare_rows(before.lazy(), before.lazy(), ["k", "at"]) == RowDiff()
    [changed] = found.changed_examples
    assert changed.key == {"k": "a", "at": "2013-01-01T00:00:00+00:00"}
    assert changed.before == {"raw": "00", "many": [1, None], "deep": {"x": "nan"}, "money": "1.10"}
    assert changed.after == {"raw": "ff", "many": [1, 2], "deep": {"x": "inf"}, "money": "1.20"}
    keyless = compare_rows(before.lazy(), after.lazy(), [])
    assert (keyless.added, keyless.removed) == (1, 1)


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [({"id": [1]}, {"id": ["1"]}, ["id"]), ({"id": [1]}, {"x": [1]}, ["id"]), ({"id": [1]}, {"x": [1]}, [])],
)
def test_rows_that_nothing_relates_are_not_compared(before: Any, after: Any, key: list[str]) -> None:
    with pytest.raises(Problem) as refused:
        compare_rows(pl.LazyFrame(before), pl.LazyFrame(after), key)
    assert refused.value.code == "diff.invalid"
